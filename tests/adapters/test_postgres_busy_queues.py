"""Claims of a busy queue begin behind what was claimed before, and miss nothing by it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
import pytest

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres import PostgresBroker
from qcore.adapters.postgres.scan_starts import (
    BUSY,
    WHOLE_EVERY,
    ScanStarts,
)
from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Released, RunNow, Succeeded
from qcore.testing.builders import NOW, a_task, some_tasks
from tests.adapters.postgres_kit import StillClock, blocking_on, fresh_schema
from tests.servers.postgres import PostgresServer

BATCH: Final = 100


@pytest.fixture
def schema() -> str:
    """Return the name of a schema of the test's own."""
    return fresh_schema()


@pytest.fixture
def clock() -> StillClock:
    """Return the clock of the test's broker."""
    return StillClock()


@pytest.fixture
def broker(
    postgres_server: PostgresServer, schema: str, clock: StillClock, monkeypatch: pytest.MonkeyPatch
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
    clock = StillClock()
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
    postgres_server: PostgresServer, broker: PostgresBroker, clock: StillClock
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
    postgres_server: PostgresServer, broker: PostgresBroker, clock: StillClock
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
    postgres_server: PostgresServer, schema: str, broker: PostgresBroker, clock: StillClock
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
        monkeypatch.setattr(broker, "_starts", ScanStarts(StillClock()))
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
