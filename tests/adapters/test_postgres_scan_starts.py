"""Where claims begin to read the index of pending tasks, and that they miss nothing by it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
import pytest
from attrs import define

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres import PostgresBroker
from qcore.adapters.postgres.scan_starts import (
    ABOVE_ALL,
    BELOW_ALL,
    BUSY,
    MAX_PRIORITIES,
    WHOLE_AT_LATEST,
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

    def claim(self, last: int, *, priority: int, is_all: bool = False) -> Scan:
        """Claim tasks up to this `sequence`."""
        scan = self.starts.begin("q")
        found = [(priority, last - n) for n in reversed(range(min(last, BUSY)))]
        self.starts.end(scan, found, is_all=is_all)
        return scan

    def test_a_quiet_queue_is_read_from_its_first_entry(self) -> None:
        """Few entries are in the way there, and nothing is passed over."""
        starts = ScanStarts(self.clock)
        scan = starts.begin("q")
        starts.end(scan, [(0, n) for n in range(BUSY - 1)], is_all=False)
        assert scan.is_whole
        assert starts.begin("q").is_whole
        assert starts.begin("other").is_whole

    def test_each_priority_of_a_busy_one_is_read_from_its_last_task(self) -> None:
        """And between them is read what has a priority of which none was claimed."""
        scan = self.starts.begin("q")
        assert scan.above == [ABOVE_ALL, 3, -2]
        assert scan.priorities == [3, -2, BELOW_ALL]
        assert scan.behind == [BUSY, 1, None]

    def test_a_claim_that_took_longer_does_not_lead_back(self) -> None:
        """Claims are answered in any order."""
        self.claim(5, priority=3)
        assert self.starts.begin("q").behind == [BUSY, 1, None]

    def test_a_claim_that_was_not_filled_is_followed_by_one_of_all(self) -> None:
        """What it did not find may lie ahead."""
        self.claim(BUSY + 1, priority=3, is_all=True)
        assert self.starts.begin("q").is_whole

    def read_whole(self, last: int, *, took: float = 0.0, priority: int = 3) -> None:
        """Have the time pass, and a claim read all of the index."""
        self.clock.now += WHOLE_AT_LATEST
        scan = self.starts.begin("q")
        assert scan.is_whole
        self.clock.now += took
        self.starts.end(scan, [(priority, last)], is_all=False)

    @pytest.mark.parametrize(
        ("took", "pause"),
        [(0.001, WHOLE_EVERY), (0.1, 0.1 * WHOLE_SHARE), (1.0, WHOLE_AT_LATEST)],
    )
    def test_all_is_read_from_time_to_time(self, took: float, pause: float) -> None:
        """The longer that takes, the less often; but for what takes long only once."""
        self.read_whole(BUSY + 9, took=took)
        self.clock.now += WHOLE_EVERY * 0.99
        assert not self.starts.begin("q").is_whole
        self.read_whole(BUSY + 19, took=took)
        self.clock.now += pause * 0.99
        assert not self.starts.begin("q").is_whole
        self.clock.now += pause * 0.02
        assert self.starts.begin("q").is_whole

    def test_claims_go_on_behind_what_was_found_ahead(self) -> None:
        """More may lie there than one claim takes."""
        self.read_whole(7)
        assert self.starts.begin("q").behind == [7, None]

    def test_a_claim_that_was_on_its_way_meanwhile_does_not_pass_over_it(self) -> None:
        """It has begun behind what lies ahead."""
        before = self.starts.begin("q")
        self.read_whole(7)
        self.starts.end(before, [(3, BUSY + 9), (1, 5)], is_all=False)
        assert self.starts.begin("q").behind == [7, 5, None]

    def test_a_priority_that_was_not_reached_is_read_from_its_first_entry_when_it_is(self) -> None:
        """However often all was read, and filled by a higher one."""
        self.read_whole(BUSY + 9)
        scan = self.starts.begin("q")
        assert scan.priorities == [3, BELOW_ALL]
        self.starts.end(scan, [(-2, 1)], is_all=False)
        assert self.starts.begin("q").priorities == [3, -2, BELOW_ALL]

    def test_a_priority_of_which_nothing_is_left_is_not_read_so_by_every_claim(self) -> None:
        """There, what was claimed is passed over once."""
        self.read_whole(2, priority=-2)
        assert self.starts.begin("q").behind == [BUSY, 2, None]

    def test_few_priorities_are_remembered(self) -> None:
        """Each is searched for by every claim."""
        for priority in range(100):
            self.claim(5, priority=priority)
        assert len(self.starts.begin("q").starts) == MAX_PRIORITIES

    def test_places_may_be_less_than_nothing(self) -> None:
        """An operator may have set the sequence to whatever it takes."""
        self.claim(1, priority=7)
        scan = self.starts.begin("q")
        self.starts.end(scan, [(8, -5)], is_all=False)
        assert self.starts.begin("q").behind[0] == -5

    def test_all_is_read_once_where_a_task_was_put_back(self) -> None:
        """A queue stays a busy one: some worker may give tasks back all the time."""
        self.starts.put_back(["other"])
        assert not self.starts.begin("q").is_whole
        self.starts.put_back(["q"])
        self.claim(7, priority=3)
        assert self.starts.begin("q").behind == [7, None]

    def test_a_claim_that_was_on_its_way_when_a_task_was_put_back_is_not_noted(self) -> None:
        """It may have passed over that one."""
        scan = self.starts.begin("q")
        self.starts.put_back(["q"])
        self.starts.end(scan, [(3, BUSY + 9)], is_all=False)
        assert self.starts.begin("q").is_whole

    def test_a_queue_that_is_removed_is_a_quiet_one(self) -> None:
        """Nothing is kept of it."""
        self.starts.forget(["q"])
        self.claim(7, priority=3)
        assert self.starts.begin("q").is_whole


@pytest.fixture
def schema() -> str:
    """Return the name of a schema of the test's own."""
    return fresh_schema()


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the test's broker."""
    return Clock()


@pytest.fixture
def broker(
    postgres_server: PostgresServer, schema: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresBroker]:
    """Give a broker that reads no index whole merely because time has passed."""
    with blocking_on(postgres_server, schema) as opened:
        monkeypatch.setattr(opened, "_starts", ScanStarts(clock))
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


@pytest.mark.parametrize("pause", [0.0, WHOLE_EVERY / 10])
@pytest.mark.parametrize("queues", [("default",), ("default", "other")])
def test_claims_of_a_busy_queue_do_not_pass_over_what_was_claimed(
    postgres_server: PostgresServer,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    queues: tuple[str, ...],
    pause: float,
) -> None:
    """Though an older transaction keeps every entry in the index, of whatever priority."""
    clock = Clock()
    with (
        psycopg.connect(postgres_server.conninfo) as old,
        blocking_on(postgres_server, schema) as broker,
    ):
        monkeypatch.setattr(broker, "_starts", ScanStarts(clock))
        for queue in queues:
            for priority in range(4):
                enqueue(broker, some_tasks(BUSY, queue=queue, priority=priority))
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        for _ in range(4 * BUSY // BATCH):
            work_off(broker, BATCH, *queues)
            clock.now += pause
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


@pytest.mark.parametrize("queues", [("default",), ("default", "other")])
def test_a_claim_takes_as_many_as_there_are(
    postgres_server: PostgresServer, broker: PostgresBroker, queues: tuple[str, ...]
) -> None:
    """Of which one lies ahead: a worker that gets less than it asks for waits for a wake-up."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        enqueue(within(broker, connection), [a_task(id="late")])
        for queue in queues:
            enqueue(broker, some_tasks(2 * BUSY + 1, queue=queue))
        work_off(broker, 2 * BUSY, *queues)
        connection.commit()
    assert len(claim(broker, BATCH, *queues)) == len(queues) + 1


def test_it_is_claimed_when_the_time_for_that_has_come(
    postgres_server: PostgresServer, broker: PostgresBroker, clock: Clock
) -> None:
    """However many others there are."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        enqueue(within(broker, connection), [a_task(id="late")])
        enqueue(broker, some_tasks(3 * BUSY))
        work_off(broker, 2 * BUSY)
        connection.commit()
    assert ids(claim(broker, 1)) != ["late"]
    clock.now += WHOLE_EVERY
    assert ids(claim(broker, 1)) == ["late"]


def test_many_that_come_late_are_claimed_one_claim_after_the_other(
    postgres_server: PostgresServer, broker: PostgresBroker, clock: Clock
) -> None:
    """As a call that enqueues many takes long, beside which single ones are enqueued."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        enqueue(within(broker, connection), [a_task(id=str(n)) for n in range(4 * BATCH)])
        enqueue(broker, some_tasks(3 * BUSY))
        work_off(broker, BUSY)
        connection.commit()
    clock.now += WHOLE_EVERY
    late = [each for _ in range(4) for each in ids(claim(broker, BATCH))]
    assert late == [str(n) for n in range(4 * BATCH)]


def test_places_that_begin_anew_change_no_order(
    postgres_server: PostgresServer, schema: str, broker: PostgresBroker, clock: Clock
) -> None:
    """As where the tables were restored from a copy while workers run."""
    enqueue(broker, some_tasks(2 * BUSY, priority=5))
    work_off(broker, 2 * BUSY)
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as owner:
        owner.execute(f"ALTER SEQUENCE {schema}.sequence RESTART")  # type: ignore[arg-type]
    enqueue(broker, some_tasks(2 * BATCH, priority=5))
    enqueue(broker, some_tasks(2 * BATCH))
    clock.now += WHOLE_EVERY
    claims = [each for _ in range(2) for each in claim(broker, BATCH)]
    assert {each.task.spec.priority for each in claims} == {5}


def test_a_queue_before_others_is_read_whole_where_it_leaves_them_room(
    postgres_server: PostgresServer, broker: PostgresBroker
) -> None:
    """Served strictly in order, what lies ahead in it comes before all of theirs."""
    demand = Demand(BATCH, {"default": 0, "other": 0})
    with psycopg.connect(postgres_server.conninfo) as connection:
        enqueue(within(broker, connection), [a_task(id="late")])
        enqueue(broker, some_tasks(2 * BUSY))
        work_off(broker, 2 * BUSY)
        connection.commit()
    enqueue(broker, some_tasks(2 * BATCH, queue="other"))
    claims = [run_to_end(broker.claim(demand, now=NOW, until=NOW + 30)) for _ in range(2)]
    assert claims[1][0].task.id == "late"


def test_a_claim_of_nothing_is_answered_at_once(broker: PostgresBroker) -> None:
    """Of a busy queue, too."""
    enqueue(broker, some_tasks(3 * BUSY))
    work_off(broker, 2 * BUSY)
    demand = Demand(0, {"default": 0})
    assert not run_to_end(broker.claim(demand, now=NOW, until=NOW + 30))


def test_a_task_that_is_given_back_slows_down_one_claim(
    postgres_server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker does that claims ahead: the claims after it pass over nothing."""
    with (
        psycopg.connect(postgres_server.conninfo) as old,
        blocking_on(postgres_server, schema) as broker,
    ):
        monkeypatch.setattr(broker, "_starts", ScanStarts(Clock()))
        enqueue(broker, some_tasks(6 * BUSY))
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        for _ in range(5):
            first, *others = claim(broker, BATCH)
            settle(broker, others)
            run_to_end(broker.settle([Verdict(first.lease, Released())], now=NOW))
            work_off(broker, BUSY)
    claims = 5 * (BUSY + BATCH) // BATCH
    assert entries_read(postgres_server, schema) < sum(range(0, claims * BATCH, BATCH)) / 2
