"""No token is given twice, though claims do not wait for the disk (ADR 10)."""

from collections.abc import Iterator

import pytest

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres import PostgresBroker
from qcore.adapters.postgres.tokens import AHEAD
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.states import State
from qcore.domain.task import Claim, Verdict, token_floor
from qcore.domain.transitions import Succeeded
from qcore.testing.builders import LEASE, NOW, a_demand, a_task
from tests.adapters.postgres_kit import blocking_on, fresh_schema
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES

GONE = Settled(State.GONE)
LAZY = {"fsync": "on", "wal_writer_delay": "10s"}
"""Settings of a server that writes what nobody waits for some ten seconds later."""


@pytest.fixture(scope="module", params=POSTGRES, ids=str)
def lazy_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Give a server that may be killed, and forgets by that what nobody has waited for."""
    with PostgresServer(request.param, **LAZY) as server:
        yield server


@pytest.fixture
def schema() -> str:
    """Return the name of a schema of the test's own."""
    return fresh_schema()


def enqueue(broker: PostgresBroker, number: int) -> None:
    """Enqueue so many tasks."""
    run_to_end(broker.enqueue([a_task() for _ in range(number)], now=NOW))


def claim(broker: PostgresBroker, limit: int = 10) -> list[Claim]:
    """Claim at one and the same time: so it is not the time that makes tokens grow."""
    return [*run_to_end(broker.claim(a_demand(limit), now=NOW, until=NOW + LEASE))]


def tokens(claims: list[Claim]) -> list[int]:
    """Return the tokens of the claims' leases."""
    return [each.lease.token for each in claims]


def settle(broker: PostgresBroker, claims: list[Claim]) -> list[Settled | LeaseLost]:
    """Settle all as successes."""
    return [
        *run_to_end(broker.settle([Verdict(each.lease, Succeeded()) for each in claims], now=NOW))
    ]


def last_token(server: PostgresServer, schema: str) -> int:
    """Return where the sequence is."""
    ((last,),) = server.sql(f"SELECT last_value FROM {schema}.token")  # noqa: S608
    return int(last)


def restart(server: PostgresServer) -> None:
    """Kill the server, all at once, and start it."""
    server.kill()
    server.start()


def test_claims_that_a_server_forgets_are_made_again_under_greater_tokens(
    lazy_server: PostgresServer, schema: str
) -> None:
    """The runs of the forgotten claims can settle nothing."""
    with blocking_on(lazy_server, schema, timeout="20") as broker:
        # more than a sequence that is logged has ahead in its log, which is 32
        enqueue(broker, 101)
        # in a transaction of more than one statement, as tokens are to be raised
        assert settle(broker, claim(broker, 1)) == [GONE]
        forgotten = claim(broker, 100)
        restart(lazy_server)
        again = claim(broker, 100)
        assert [each.task.id for each in again] == [each.task.id for each in forgotten]
        assert min(tokens(again)) > max(tokens(forgotten))
        assert settle(broker, forgotten) == [LeaseLost()] * 100
        assert settle(broker, again) == [GONE] * 100
        restart(lazy_server)
        assert run_to_end(broker.count()) == {}


def test_tokens_grow_however_often_a_server_fails(lazy_server: PostgresServer, schema: str) -> None:
    """Also of claims that it has not forgotten."""
    given: list[int] = []
    with blocking_on(lazy_server, schema, timeout="20") as broker:
        enqueue(broker, 9)
        for _ in range(3):
            claims = claim(broker, 2)
            given += tokens(claims)
            assert settle(broker, claims) == [GONE, GONE]
            given += tokens(claim(broker, 1))
            restart(lazy_server)
    assert given == sorted(set(given))
    assert min(given) > token_floor(NOW)


def test_tokens_grow_where_a_sequence_comes_to_its_bound(
    postgres_server: PostgresServer, schema: str
) -> None:
    """None above it is given before it is raised."""
    with blocking_on(postgres_server, schema) as broker:
        enqueue(broker, 20)
        given = tokens(claim(broker, 1))
        for short in (0, 1, 3, 5, 6):
            last = last_token(postgres_server, schema)
            postgres_server.sql(f"UPDATE {schema}.token_bound SET bound = {last + short}")  # noqa: S608
            given += tokens(claim(broker, 3))
            ((bound,),) = postgres_server.sql(f"SELECT bound FROM {schema}.token_bound")  # noqa: S608
            assert given[-1] <= bound
    assert len(given) == 16
    assert given == sorted(set(given))


def test_a_sequence_that_is_not_just_below_its_bound_has_begun_anew(
    postgres_server: PostgresServer, schema: str
) -> None:
    """Whoever has raised it since, such as a worker of an older qcore that knows no bound."""
    with blocking_on(postgres_server, schema) as broker:
        enqueue(broker, 10)
        given = tokens(claim(broker, 1))
        for _ in range(3):
            postgres_server.sql(f"SELECT setval('{schema}.token', {token_floor(NOW) + 5})")
            given += tokens(claim(broker, 3))
    assert given == sorted(set(given))


def test_a_claim_of_many_statements_raises_the_bound_above_its_tokens(
    postgres_server: PostgresServer, schema: str
) -> None:
    """As where a queue has limits, or a task has crashed."""
    with blocking_on(postgres_server, schema) as broker:
        enqueue(broker, 5)
        given = tokens(claim(broker, 1))
        last = last_token(postgres_server, schema)
        postgres_server.sql(f"UPDATE {schema}.token_bound SET bound = {last + 2}")  # noqa: S608
        postgres_server.sql(f"UPDATE {schema}.tasks SET crashes = 1 WHERE state = 'pending'")  # noqa: S608
        given += tokens(claim(broker))
        ((bound,),) = postgres_server.sql(f"SELECT bound FROM {schema}.token_bound")  # noqa: S608
    assert given == sorted(set(given))
    assert given[-1] <= bound <= given[-1] + 2 * AHEAD


def test_tokens_grow_where_a_copy_was_restored_into_tables_that_were_there(
    lazy_server: PostgresServer, schema: str
) -> None:
    """As `pg_restore --data-only` does it: of two bounds the greater one counts."""
    with blocking_on(lazy_server, schema) as broker:
        enqueue(broker, 3)
        before = tokens(claim(broker, 1))
        restored = before[-1] + 10 * AHEAD
        lazy_server.sql(f"INSERT INTO {schema}.token_bound VALUES ({restored})")  # noqa: S608
        (token,) = tokens(claim(broker, 1))
        assert token > restored
        assert len(claim(broker, 1)) == 1


def test_a_server_without_unlogged_sequences_has_no_bound(
    postgres_server: PostgresServer, schema: str
) -> None:
    """As before PostgreSQL 15: its claims wait for the disk."""
    with blocking_on(postgres_server, schema) as broker:
        postgres_server.sql(f"DELETE FROM {schema}.token_bound")  # noqa: S608
        postgres_server.sql(f"ALTER SEQUENCE {schema}.token SET LOGGED")
        enqueue(broker, 5)
        given = [*tokens(claim(broker, 1)), *tokens(claim(broker, 2))]
        given += tokens([*run_to_end(broker.claim(a_demand(2), now=NOW + 5, until=NOW + LEASE))])
    assert given == sorted(set(given))
    assert given[-1] > token_floor(NOW + 5)
