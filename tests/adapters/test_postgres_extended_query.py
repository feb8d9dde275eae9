"""Statements below psycopg's cursors: prepared once, and errors as psycopg has them."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.postgres.extended_query import numbered
from qcore.adapters.links.postgres.interfaces import Row
from qcore.adapters.links.postgres.sessions import AsyncSession, SyncSession
from qcore.domain.states import State
from tests.servers.postgres import PostgresServer

PATIENCE = 30.0
PREPARED = "SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture
def session(postgres_server: PostgresServer) -> Iterator[SyncSession]:
    """Give a session that blocks."""
    opened = run_to_end(SyncSession.connect(conninfo_to_dict(postgres_server.conninfo), PATIENCE))
    yield opened
    opened.close()


def rows(session: SyncSession, sql: str, **values: object) -> list[Row]:
    """Run a statement."""
    return run_to_end(session.execute(sql, values or None))


def test_values_are_numbered_by_name_and_a_percent_sign_is_written_twice() -> None:
    """A name that comes again has the number that it had."""
    sql = "SELECT %(one)s, %(two)s, %(one)s %% 2"
    assert numbered(sql) == (b"SELECT $1, $2, $1 % 2", ("one", "two"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", 2**63 - 1),
        ("int", -1),
        ("float8", 0.1),
        ("float8", float("inf")),
        ("text", "ü'\\\""),
        ("text", State.PENDING),
        ("bytea", b"\0\xff"),
        ("boolean", True),
        ("boolean", False),
        ("text", None),
    ],
)
def test_what_is_sent_comes_back(session: SyncSession, kind: str, value: object) -> None:
    """Each type that statements have, the first time and when it is prepared."""
    for _ in range(2):
        assert rows(session, f"SELECT %(it)s::{kind}", it=value) == [(value,)]


def test_a_statement_is_prepared_once_for_values_of_a_type(session: SyncSession) -> None:
    """And not at all where it has no values."""
    for value in (1, 2, None, 3, None):
        assert rows(session, "SELECT %(it)s::int + 1", it=value) == [
            (None if value is None else value + 1,)
        ]
    assert rows(session, PREPARED) == [(2,)]
    session.prepare_nothing()
    assert rows(session, "SELECT %(it)s::int + 2", it=1) == [(3,)]
    assert rows(session, PREPARED) == [(2,)]


def test_a_pipeline_prepares_what_it_repeats_once_and_gives_the_rows_of_the_last(
    session: SyncSession,
) -> None:
    """Statements see what those before them have done."""
    rows(session, "CREATE TEMP TABLE seen (it int)")
    insert = "INSERT INTO seen VALUES (%(it)s)"
    answer = run_to_end(
        session.pipeline(
            [("BEGIN", {}), (insert, {"it": 1}), (insert, {"it": 2}), ("SELECT * FROM seen", {})]
        )
    )
    assert answer == [(1,), (2,)]
    assert run_to_end(session.pipeline([(insert, {"it": 3}), ("COMMIT", {})])) == []
    assert session.is_usable
    assert rows(session, PREPARED) == [(1,)]


def test_the_first_error_of_a_pipeline_is_raised_and_the_session_goes_on(
    session: SyncSession,
) -> None:
    """What came after it was not run, and what was prepared before it stays so."""
    good, bad = "SELECT %(it)s::int", "SELECT 1 / %(it)s::int"
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_to_end(session.pipeline([(good, {"it": 1}), (bad, {"it": 0}), (good, {"it": 2})]))
    assert session.is_usable
    assert rows(session, good, it=1) == [(1,)]
    assert rows(session, bad, it=1) == [(1,)]
    with pytest.raises(psycopg.errors.SyntaxError):
        rows(session, "SELEC %(it)s", it=1)
    assert session.is_usable


def test_what_is_sent_behind_a_pipeline_is_run_when_that_is_committed_or_undone(
    session: SyncSession,
) -> None:
    """What becomes of it is not told: the rows are those of the pipeline, and so is the error."""
    rows(session, "CREATE TEMP TABLE seen (it int)")
    insert, double = "INSERT INTO seen VALUES (%(it)s)", "SELECT 2 * %(it)s::int"
    behind = (insert, {"it": 2})
    assert run_to_end(session.pipeline([(insert, {"it": 1}), (double, {"it": 4})], behind)) == [
        (8,)
    ]
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        run_to_end(session.pipeline([(insert, {"it": 3}), (double, {"it": 2**31})], behind))
    assert run_to_end(session.pipeline([(insert, {"it": 4})], ("SELEC", {}))) == []
    assert session.is_usable
    assert rows(session, "SELECT it FROM seen ORDER BY it") == [(1,), (2,), (2,), (4,)]
    assert rows(session, PREPARED) == [(2,)]


@pytest.mark.parametrize("value", ["a\0b", object()])
def test_what_cannot_be_sent_is_refused_before_anything_is(
    session: SyncSession, value: object
) -> None:
    """The statement before it is not run either."""
    rows(session, "CREATE TEMP TABLE seen (it text)")
    insert = "INSERT INTO seen VALUES (%(it)s)"
    with pytest.raises(psycopg.DataError):
        run_to_end(session.pipeline([(insert, {"it": "a"}), (insert, {"it": value})]))
    assert session.is_usable
    assert rows(session, "SELECT * FROM seen") == []


def test_why_a_server_has_ended_a_session_is_told(
    session: SyncSession, postgres_server: PostgresServer
) -> None:
    """The reason, not that the connection is lost."""
    ((pid,),) = rows(session, "SELECT pg_backend_pid()")
    postgres_server.sql("SELECT pg_terminate_backend(%s, 5000)", pid)
    with pytest.raises(psycopg.errors.AdminShutdown):
        rows(session, "SELECT %(it)s::int", it=1)
    assert not session.is_usable


@pytest.mark.parametrize("number", [1, 2])
async def test_what_is_cancelled_here_is_cancelled_on_the_server(
    postgres_server: PostgresServer, number: int
) -> None:
    """The session is as it was, alone or in a pipeline."""
    conninfo = conninfo_to_dict(postgres_server.conninfo)
    session = await AsyncSession.connect(conninfo, PATIENCE)
    statements = [("SELECT pg_sleep(%(seconds)s)", {"seconds": 60.0})] * number
    waiting = asyncio.create_task(session.pipeline(statements))
    active = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    while postgres_server.sql(active) == [(0,)]:  # noqa: ASYNC110  (a server tells nobody)
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert session.is_usable
    assert postgres_server.sql(active) == [(0,)]
    assert await session.execute("SELECT %(it)s::int", {"it": 1}) == [(1,)]
    session.close()


def test_a_statement_has_the_same_name_in_every_session(postgres_server: PostgresServer) -> None:
    """So a pooler that gives a call another's session never has it run another statement."""
    conninfo = conninfo_to_dict(postgres_server.conninfo)
    statements: list[tuple[str, dict[str, object]]] = [
        ("SELECT %(n)s::text || 1", {"n": "1"}),
        ("SELECT %(n)s::text || 2", {"n": "1"}),
        # as a text is sent, but prepared for itself
        ("SELECT %(n)s::text || 1", {"n": None}),
    ]
    names = []
    for order in (statements, statements[::-1]):
        opened = run_to_end(SyncSession.connect(conninfo, PATIENCE))
        for sql, values in order:
            run_to_end(opened.execute(sql, values))
        found = run_to_end(opened.execute("SELECT statement, name FROM pg_prepared_statements"))
        names.append(sorted(found))
        opened.close()
    assert names[0] == names[1]
    assert len({*names[0]}) == len(statements)
