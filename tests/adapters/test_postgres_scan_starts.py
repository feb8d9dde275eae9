"""Where claims begin to read the index of pending tasks, and that they miss nothing by it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
import pytest
from attrs import define

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres import PostgresBroker, scan_starts
from qcore.adapters.postgres.scan_starts import (
    ABOVE_ALL,
    BELOW_ALL,
    BUSY,
    WHOLE_EVERY,
    WHOLE_SHARE,
    Scan,
    ScanStarts,
)
from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Released, RunNow, Succeeded
from qcore.testing.builders import NOW, a_task, some_tasks
from tests.adapters.postgres_kit import blocking_on, fresh_schema
from tests.servers.postgres import PostgresServer

BATCH: Final = 100


@define
class Clock:
    """A monotonic clock that stands still."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class TestStarts:
    """What a claim is to read, by what was claimed before."""

    clock: Clock
    starts: ScanStarts

    @pytest.fixture(autouse=True)
    def busy(self) -> None:
        """Have a queue from which tasks of two priorities were claimed."""
        self.clock = Clock()
        self.starts = ScanStarts(self.clock)
        self.claim(BUSY, priority=3)
        self.claim(1, priority=-2)

    def claim(self, last: int, *, priority: int, is_filled: bool = True) -> Scan:
        """Claim tasks up to this `sequence`."""
        scan = self.starts.begin("q")
        found = [(priority, last - n) for n in reversed(range(min(last, BUSY)))]
        self.starts.end(scan, found, is_filled=is_filled)
        return scan

    def test_a_quiet_queue_is_read_from_its_first_entry(self) -> None:
        """Few entries are in the way there, and nothing is passed over."""
        starts = ScanStarts(self.clock)
        scan = starts.begin("q")
        starts.end(scan, [(0, n) for n in range(BUSY - 1)], is_filled=True)
        assert scan.is_whole
        assert starts.begin("q").is_whole
        assert starts.begin("other").is_whole

    def test_each_priority_of_a_busy_one_is_read_from_its_last_task(self) -> None:
        """And between them is read what has a priority of which none was claimed."""
        scan = self.starts.begin("q")
        assert scan.above == [ABOVE_ALL, 3, -2]
        assert scan.priorities == [3, -2, BELOW_ALL]
        assert scan.behind == [BUSY, 1, 0]

    def test_a_claim_that_took_longer_does_not_lead_back(self) -> None:
        """Claims are answered in any order."""
        self.claim(5, priority=3)
        assert self.starts.begin("q").behind == [BUSY, 1, 0]

    def test_a_claim_that_was_not_filled_is_followed_by_one_of_all(self) -> None:
        """What it did not find may lie ahead."""
        self.claim(BUSY + 1, priority=3, is_filled=False)
        assert self.starts.begin("q").is_whole

    @pytest.mark.parametrize(("took", "pause"), [(0.001, WHOLE_EVERY), (1.0, WHOLE_SHARE)])
    def test_all_is_read_from_time_to_time(self, took: float, pause: float) -> None:
        """The longer that takes, the less often."""
        self.clock.now += WHOLE_EVERY
        scan = self.starts.begin("q")
        assert scan.is_whole
        self.clock.now += took
        self.starts.end(scan, [(3, BUSY + 9)], is_filled=True)
        self.clock.now += pause * 0.99
        assert not self.starts.begin("q").is_whole
        self.clock.now += pause * 0.02
        assert self.starts.begin("q").is_whole

    def test_what_is_forgotten_is_that_of_some_queues(self) -> None:
        """Those in which a task was put back."""
        self.starts.forget(["other"])
        assert not self.starts.begin("q").is_whole
        self.starts.forget(["q"])
        assert self.starts.begin("q").is_whole


@pytest.fixture
def schema() -> str:
    """Return the name of a schema of the test's own."""
    return fresh_schema()


@pytest.fixture
def broker(
    postgres_server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresBroker]:
    """Give a broker that reads no index whole merely because time has passed."""
    monkeypatch.setattr(scan_starts, "WHOLE_EVERY", 3_600.0)
    with blocking_on(postgres_server, schema) as opened:
        yield opened


def enqueue(broker: PostgresBroker, tasks: Sequence[NewTask]) -> None:
    """Enqueue tasks."""
    run_to_end(broker.enqueue(tasks, now=NOW))


def claim(broker: PostgresBroker, limit: int, *queues: str) -> Sequence[Claim]:
    """Claim from queues, to each of which as many may be given."""
    demand = Demand(limit, dict.fromkeys(queues or ["default"], limit // max(1, len(queues))))
    return run_to_end(broker.claim(demand, now=NOW, until=NOW + 30))


def settle(broker: PostgresBroker, claims: Sequence[Claim]) -> None:
    """Settle all as successes."""
    verdicts = [Verdict(each.lease, Succeeded(), 0.5, 0.1) for each in claims]
    run_to_end(broker.settle(verdicts, now=NOW))


def work_off(broker: PostgresBroker, number: int, *queues: str) -> None:
    """Run so many tasks of each queue."""
    for _ in range(number * max(1, len(queues)) // BATCH):
        claims = claim(broker, BATCH, *queues)
        assert len(claims) == BATCH
        settle(broker, claims)


def within(broker: PostgresBroker, connection: psycopg.Connection[Any]) -> PostgresBroker:
    """Return a broker that writes in the transaction of a connection."""

    async def source() -> psycopg.Connection[Any]:
        return connection

    return broker.borrowing(source)


def ids(claims: Sequence[Claim]) -> list[str]:
    """Return the ids of tasks in the order of their claims."""
    return [each.task.id for each in claims]


@pytest.mark.parametrize("queues", [("default",), ("default", "other")])
def test_claims_of_a_busy_queue_do_not_pass_over_what_was_claimed(
    postgres_server: PostgresServer,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    queues: tuple[str, ...],
) -> None:
    """Though an older transaction keeps every entry in the index."""
    monkeypatch.setattr(scan_starts, "WHOLE_EVERY", 3_600.0)
    with (
        psycopg.connect(postgres_server.conninfo) as old,
        blocking_on(postgres_server, schema) as broker,
    ):
        for queue in queues:
            enqueue(broker, some_tasks(4 * BUSY, queue=queue))
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        work_off(broker, 4 * BUSY, *queues)
    # sessions tell of what they have read when they end
    claims = 4 * BUSY * len(queues) // BATCH
    in_the_way = sum(range(0, claims * BATCH, BATCH))
    assert entries_read(postgres_server, schema) < in_the_way / 3


def entries_read(server: PostgresServer, schema: str) -> int:
    """Return how many entries of the index of pending tasks were read by anyone."""
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        row = connection.execute(
            "SELECT idx_tup_read FROM pg_stat_user_indexes "
            "WHERE schemaname = %s AND indexrelname = 'tasks_pending'",
            [schema],
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_task_of_a_higher_priority_comes_first_all_the_same(broker: PostgresBroker) -> None:
    """Of one between two others, and of one above all, whatever was claimed before."""
    enqueue(broker, [a_task(priority=n % 2 * 2) for n in range(6 * BUSY)])
    work_off(broker, 4 * BUSY)
    enqueue(broker, [a_task(id=str(n), priority=n) for n in (1, 3, 2, -1)])
    assert ids(claim(broker, 3)) == ["3", "2", "1"]


def test_a_task_that_is_given_back_comes_first_again(broker: PostgresBroker) -> None:
    """By a verdict, here; it is the first of its priority."""
    enqueue(broker, some_tasks(3 * BUSY))
    work_off(broker, 2 * BUSY)
    first, *others = claim(broker, BATCH)
    settle(broker, others)
    run_to_end(broker.settle([Verdict(first.lease, Released())], now=NOW))
    assert ids(claim(broker, 1)) == [first.task.id]


def test_a_task_that_an_operator_moves_is_claimed(broker: PostgresBroker) -> None:
    """It may have been put back in front of what was claimed."""
    enqueue(broker, [*some_tasks(3 * BUSY), a_task(id="later", priority=9, due=NOW + 60)])
    work_off(broker, 2 * BUSY)
    run_to_end(broker.execute("default", ["later"], RunNow(), now=NOW))
    assert ids(claim(broker, 1)) == ["later"]


@pytest.mark.parametrize("queues", [("default",), ("default", "other")])
def test_a_task_whose_transaction_took_longer_is_claimed_when_the_others_are(
    postgres_server: PostgresServer, broker: PostgresBroker, queues: tuple[str, ...]
) -> None:
    """Its place is ahead of what was claimed meanwhile; a queue is not empty before it is read."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        slow = within(broker, connection)
        enqueue(slow, [a_task(id="late")])
        for queue in queues:
            enqueue(broker, some_tasks(3 * BUSY, queue=queue))
        work_off(broker, 2 * BUSY, *queues)
        connection.commit()
    work_off(broker, BUSY, *queues)
    [late] = run_to_end(broker.get("default", ["late"]))
    assert late is not None
    assert late.attempts == 0
    assert ids(claim(broker, BATCH, *queues)) == ["late"]


def test_it_is_claimed_when_the_time_for_that_has_come(
    postgres_server: PostgresServer, broker: PostgresBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others there are."""
    monkeypatch.setattr(scan_starts, "WHOLE_EVERY", 0.0)
    monkeypatch.setattr(scan_starts, "WHOLE_SHARE", 0.0)
    with psycopg.connect(postgres_server.conninfo) as connection:
        slow = within(broker, connection)
        enqueue(slow, [a_task(id="late")])
        enqueue(broker, some_tasks(3 * BUSY))
        work_off(broker, 2 * BUSY)
        connection.commit()
    assert ids(claim(broker, 1)) == ["late"]
