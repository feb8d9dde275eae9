"""Claims and verdicts that one statement decides, and where it leaves the rest to others."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest
from attrs import evolve

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres import PostgresBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.errors import BrokerRefused
from qcore.domain.states import State
from qcore.domain.statistics import Resolution
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Cancelled, Succeeded
from qcore.testing.builders import NOW, a_task
from tests.adapters.postgres_kit import blocking_on, fresh_schema
from tests.servers.postgres import PostgresServer

GONE = Settled(State.GONE)


@pytest.fixture
def schema() -> str:
    """Return the name of a schema of the test's own."""
    return fresh_schema()


@pytest.fixture
def broker(postgres_server: PostgresServer, schema: str) -> Iterator[PostgresBroker]:
    """Give a broker that blocks."""
    with blocking_on(postgres_server, schema) as opened:
        yield opened


def fill(broker: PostgresBroker, **numbers: int) -> None:
    """Enqueue so many tasks into each queue; their ids say which of them they are."""
    tasks = [a_task(id=f"{q}{n}", queue=q) for q, number in numbers.items() for n in range(number)]
    run_to_end(broker.enqueue(tasks, now=NOW))


def claim(broker: PostgresBroker, limit: int, quotas: Mapping[str, int]) -> Sequence[Claim]:
    """Claim by quotas."""
    # the first claim raises the tokens, which one statement does not
    run_to_end(broker.claim(Demand(1, {"none": 1}), now=NOW, until=NOW + 30))
    return run_to_end(broker.claim(Demand(limit, quotas), now=NOW, until=NOW + 30))


def ids(claims: Sequence[Claim]) -> list[str]:
    """Return the ids of tasks in the order of their claims."""
    return [each.task.id for each in claims]


def settle(broker: PostgresBroker, claims: Sequence[Claim]) -> Sequence[Settled | LeaseLost]:
    """Settle all as successes."""
    verdicts = [Verdict(each.lease, Succeeded(), 0.5, 0.1) for each in claims]
    return run_to_end(broker.settle(verdicts, now=NOW))


def succeeded(broker: PostgresBroker, queue: str) -> int:
    """Return how many runs of a queue were counted as successes."""
    rows = run_to_end(
        broker.statistics([queue], since=NOW - 60, until=NOW + 60, resolution=Resolution.MINUTE)
    )
    return sum(row.statistics.succeeded for row in rows)


@pytest.mark.parametrize(
    ("limit", "quotas", "expected"),
    [
        (4, {"a": 2, "b": 2}, ["a0", "a1", "b0", "b1"]),
        (5, {"a": 1, "b": 1, "c": 1}, ["a0", "b0", "a1", "a2", "b1"]),
        (6, {"c": 3, "a": 2, "b": 1}, ["a0", "a1", "b0", "a2", "b1", "b2"]),
        (9, {"b": 0, "a": 0}, ["b0", "b1", "b2", "a0", "a1", "a2"]),
        (0, {"a": 0, "b": 0}, []),
    ],
)
def test_quotas_of_several_queues_come_first_and_then_what_room_is_left(
    broker: PostgresBroker, limit: int, quotas: Mapping[str, int], expected: Sequence[str]
) -> None:
    """Queue c is empty, and a and b have three tasks each."""
    fill(broker, a=3, b=3)
    claims = claim(broker, limit, quotas)
    assert ids(claims) == expected
    tokens = [each.lease.token for each in claims]
    assert tokens == sorted(tokens)


def test_what_another_is_claiming_in_one_queue_is_made_up_from_the_next(
    postgres_server: PostgresServer, schema: str, broker: PostgresBroker
) -> None:
    """They are counted as being there, and passed over where they are to be locked."""
    fill(broker, a=2, b=4)
    with psycopg.connect(postgres_server.conninfo) as other:
        other.execute(f"SELECT * FROM {schema}.tasks WHERE queue = 'a' FOR UPDATE")  # type: ignore[arg-type]  # noqa: S608
        claims = claim(broker, 4, {"a": 2, "b": 2})
    assert ids(claims) == ["b0", "b1", "b2", "b3"]


def test_a_task_that_is_changed_while_it_is_claimed_does_not_make_a_queue_look_empty(
    broker: PostgresBroker, postgres_server: PostgresServer, schema: str
) -> None:
    """As by who gives it another priority just before the claim locks its row."""
    fill(broker, a=600)
    claim(broker, 1, {"a": 1})
    ended = Event()
    change = (
        f"UPDATE {schema}.tasks SET due = due WHERE id IN (SELECT id FROM {schema}.tasks "  # noqa: S608
        "WHERE state = 'pending' ORDER BY sequence LIMIT 3)"
    )

    def change_often() -> None:
        with psycopg.connect(postgres_server.conninfo, autocommit=True) as changing:
            while not ended.is_set():
                changing.execute(change.encode())

    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change_often)
        try:
            for demand in (Demand(1, {"a": 1}), Demand(1, {"a": 1, "b": 1})) * 250:
                assert len(run_to_end(broker.claim(demand, now=NOW, until=NOW + 30))) == 1
        finally:
            ended.set()
        changed.result()


def test_claims_are_returned_though_what_follows_on_them_fails(
    broker: PostgresBroker, postgres_server: PostgresServer, schema: str
) -> None:
    """They are committed: lost with the error they would crash when their leases end."""
    fill(broker, a=3)
    postgres_server.sql(f"UPDATE {schema}.tasks SET options = '[' WHERE id = 'a1'")  # noqa: S608
    # what somebody has put in the way of the verdict on the one that cannot be read
    postgres_server.sql(f"ALTER TABLE {schema}.tasks ADD CHECK (state <> 'dead')")
    assert ids(claim(broker, 3, {"a": 3})) == ["a0", "a2"]
    # of nothing but that one nothing is claimed, and the error says why
    postgres_server.sql(
        f"UPDATE {schema}.tasks SET state = 'pending', token = NULL WHERE id = 'a1'"  # noqa: S608
    )
    with pytest.raises(BrokerRefused, match="violates check constraint"):
        claim(broker, 3, {"a": 3})


def test_successes_are_counted_if_a_lease_of_the_batch_is_lost(broker: PostgresBroker) -> None:
    """The others' tasks are gone, and each is counted once."""
    fill(broker, a=5)
    first, *others = claim(broker, 5, {"a": 5})
    assert settle(broker, [first]) == [GONE]
    run_to_end(broker.execute("a", [others[1].task.id], Cancelled(), now=NOW))
    assert settle(broker, others) == [GONE, LeaseLost(), GONE, GONE]
    assert succeeded(broker, "a") == 4
    assert settle(broker, others) == [LeaseLost()] * 4
    assert succeeded(broker, "a") == 4


def test_a_token_settles_only_the_task_that_it_was_given_for(broker: PostgresBroker) -> None:
    """A lease of another task's id with it is lost, and neither task is touched."""
    fill(broker, a=3)
    first, second, third = claim(broker, 3, {"a": 3})
    # of a name that the statistics know, so that it is only the id that speaks against it
    assert settle(broker, [third]) == [GONE]
    forged = evolve(first, lease=evolve(first.lease, id=second.lease.id))
    assert settle(broker, [forged]) == [LeaseLost()]
    assert settle(broker, [first, second]) == [GONE, GONE]


def test_successes_of_several_queues_and_names_are_counted_apart(broker: PostgresBroker) -> None:
    """One statement counts them all."""
    for _ in range(2):
        fill(broker, a=2, b=1)
        assert settle(broker, claim(broker, 3, {"a": 2, "b": 1})) == [GONE] * 3
    assert (succeeded(broker, "a"), succeeded(broker, "b")) == (4, 2)


def test_a_lease_that_another_process_has_claimed_can_be_settled(
    postgres_server: PostgresServer, schema: str, broker: PostgresBroker
) -> None:
    """What its task is called is not known then, and is read."""
    fill(broker, a=2)
    claims = claim(broker, 2, {"a": 2})
    with blocking_on(postgres_server, schema) as other:
        assert settle(other, claims) == [GONE] * 2
    assert succeeded(broker, "a") == 2


def test_a_success_is_found_wherever_its_row_was_moved_to(
    postgres_server: PostgresServer, schema: str, broker: PostgresBroker
) -> None:
    """Another process has renewed some of the leases, and the rows of others took their places."""
    fill(broker, a=6)
    claims = claim(broker, 6, {"a": 6})
    with blocking_on(postgres_server, schema) as other:
        leases = [each.lease for each in claims[1::2]]
        assert run_to_end(other.extend(leases, until=NOW + 60)) == [
            evolve(each, until=NOW + 60) for each in leases
        ]
    postgres_server.sql(f"VACUUM FULL {schema}.tasks")
    fill(broker, b=3)
    assert settle(broker, claims) == [GONE] * 6
    assert succeeded(broker, "a") == 6
    assert ids(claim(broker, 9, {"a": 6, "b": 3})) == ["b0", "b1", "b2"]
