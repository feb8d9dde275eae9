import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import Event

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from qcore import Qcore
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Conflict
from qcore.domain.errors import BrokerUnusable, InvalidOption, QcoreError
from qcore.domain.states import State
from qcore.ports import WorkAvailable
from qcore.testing.builders import NOW, a_task
from tests.adapters.postgres_kit import fresh_schema
from tests.servers.postgres import HOST, PostgresServer

PATIENCE = 30.0


@pytest.fixture
def q(postgres_server: PostgresServer) -> Iterator[Qcore]:
    """Give a queue in a schema of its own, in which the tables are."""
    q = Qcore(postgres_server.url(fresh_schema()))
    assert q.blocking_inspector.counts() == {}
    yield q
    q.blocking.close()


def number(q: Qcore) -> int:
    """Return how many tasks have been committed."""
    return sum(sum(states.values()) for states in q.blocking_inspector.counts().values())


def sqlalchemy_url(server: PostgresServer, driver: str = "psycopg") -> str:
    """Return the URL by which SQLAlchemy finds the server."""
    return f"postgresql+{driver}://postgres@{HOST}:{server.port}/postgres"


@asynccontextmanager
async def async_session(server: PostgresServer) -> AsyncIterator[AsyncSession]:
    """Give a session of SQLAlchemy's that awaits."""
    engine = create_async_engine(sqlalchemy_url(server))
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


def test_a_task_is_there_when_its_transaction_is_committed(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """And not before; one that was undone never was."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        tasks = q.within(connection)
        tasks.enqueue(a_task())
        assert number(q) == 0
        connection.commit()
        assert number(q) == 1
        tasks.enqueue(a_task())
        connection.rollback()
        assert number(q) == 1


def test_a_savepoint_that_is_undone_takes_its_tasks_along(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """Those before and after it stay."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        tasks = q.within(connection)
        kept, undone, last = a_task(), a_task(), a_task()
        tasks.enqueue(kept)
        with connection.transaction(force_rollback=True):
            tasks.enqueue(undone)
        tasks.enqueue(last)
    stored = [q.blocking_inspector.get("default", task.id) for task in (kept, undone, last)]
    assert [task is not None for task in stored] == [True, False, True]


def test_the_first_to_make_the_tables_may_undo_that(postgres_server: PostgresServer) -> None:
    """They are made again by whoever comes next."""
    q = Qcore(postgres_server.url(fresh_schema()))
    with psycopg.connect(postgres_server.conninfo) as connection:
        tasks = q.within(connection)
        tasks.enqueue(a_task())
        connection.rollback()
        tasks.enqueue(a_task())
        connection.commit()
    assert number(q) == 1
    q.blocking.close()


def test_tables_that_were_found_in_the_transaction_that_made_them_may_be_undone(
    postgres_server: PostgresServer,
) -> None:
    """The second call of a transaction finds them there, and they are gone with it."""
    q = Qcore(postgres_server.url(fresh_schema()))
    with psycopg.connect(postgres_server.conninfo) as connection:
        tasks = q.within(connection)
        for _ in range(2):
            tasks.enqueue(a_task())
        connection.rollback()
        tasks.enqueue(a_task())
        connection.commit()
    assert number(q) == 1
    q.blocking.close()


def test_a_call_that_fails_leaves_the_transaction_as_it_was(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """The caller's own rows are committed all the same."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        tasks = q.within(connection)
        tasks.enqueue(task := a_task())
        connection.commit()
        connection.execute("CREATE TABLE IF NOT EXISTS own (id text)")
        assert run_inline(tasks.inner.broker.enqueue([task], now=NOW)) == [
            Conflict(task.id, State.PENDING)
        ]
        connection.execute("INSERT INTO own VALUES ('row')")
        connection.commit()
        assert connection.execute("SELECT count(*) FROM own").fetchone() == (1,)
        connection.execute("DROP TABLE own")


def test_a_transaction_that_has_failed_is_named(q: Qcore, postgres_server: PostgresServer) -> None:
    """It is the caller's to roll it back."""
    with psycopg.connect(postgres_server.conninfo) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT nonsense")
        with pytest.raises(BrokerUnusable, match="roll it back"):
            q.within(connection).enqueue(a_task())
        connection.rollback()


def test_a_connection_that_commits_by_itself_is_refused(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """Unless a transaction was begun."""
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as connection:
        tasks = q.within(connection)
        with pytest.raises(QcoreError, match="autocommit"):
            tasks.enqueue(a_task())
        with connection.transaction():
            tasks.enqueue(a_task())
    assert number(q) == 1


def test_rows_may_be_whatever_the_caller_likes(q: Qcore, postgres_server: PostgresServer) -> None:
    """Their factories and cursors are not used."""
    with psycopg.connect(
        postgres_server.conninfo, row_factory=dict_row, cursor_factory=psycopg.ClientCursor
    ) as connection:
        q.within(connection).enqueue(a_task(unique_key="k"))
    assert number(q) == 1


def test_who_waits_is_told_at_the_commit(q: Qcore, postgres_server: PostgresServer) -> None:
    """NOTIFY is a part of the transaction."""
    told = Event()

    async def scenario() -> None:
        subscription = await q.broker.subscribe(["default"], {WorkAvailable}, lambda _: told.set())
        told.clear()
        with psycopg.connect(postgres_server.conninfo) as connection:
            q.within(connection).enqueue(a_task())
            connection.commit()
        assert await asyncio.to_thread(told.wait, PATIENCE)
        await subscription.close()
        await q.close()

    asyncio.run(scenario())


def test_a_connection_that_awaits_gets_a_client_that_awaits(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """With the same transaction."""

    async def scenario() -> None:
        async with await psycopg.AsyncConnection.connect(postgres_server.conninfo) as connection:
            tasks = q.within(connection)
            await tasks.enqueue(a_task())
            await connection.rollback()
            await tasks.enqueue(a_task())
            await connection.commit()
        await q.close()

    asyncio.run(scenario())
    assert number(q) == 1


def test_a_session_of_sqlalchemy_takes_tasks_along(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """Committed, rolled back, and nested; over the connection that it has at that moment."""
    engine = sa.create_engine(sqlalchemy_url(postgres_server))
    with Session(engine) as session:
        tasks = q.within(session)
        tasks.enqueue(a_task())
        session.rollback()
        assert number(q) == 0
        tasks.enqueue(a_task())
        with session.begin_nested() as nested:
            tasks.enqueue(a_task())
            nested.rollback()
        session.commit()
        assert number(q) == 1
        tasks.enqueue(a_task())
        session.commit()
    with engine.begin() as connection:
        q.within(connection).enqueue(a_task())
    assert number(q) == 3
    engine.dispose()


def test_an_async_session_of_sqlalchemy_takes_tasks_along(
    q: Qcore, postgres_server: PostgresServer
) -> None:
    """And so does a connection of its engine."""

    async def scenario() -> None:
        async with async_session(postgres_server) as session:
            tasks = q.within(session)
            await tasks.enqueue(a_task())
            await session.rollback()
            await tasks.enqueue(a_task())
            await session.commit()
            async with session.bind.begin() as connection:  # type: ignore[union-attr]
                await q.within(connection).enqueue(a_task())
        await q.close()

    asyncio.run(scenario())
    assert number(q) == 2


def test_what_cannot_be_borrowed_is_named(q: Qcore) -> None:
    """With what was expected."""
    with pytest.raises(QcoreError, match=r"builtins\.str.*psycopg connection"):
        q.within("app").enqueue(a_task())  # type: ignore[call-overload]


def test_tasks_that_are_elsewhere_are_no_part_of_a_transaction_here(
    postgres_server: PostgresServer,
) -> None:
    """The queue's own URL has to name a Postgres."""
    with (
        psycopg.connect(postgres_server.conninfo) as connection,
        pytest.raises(InvalidOption, match="to a Postgres"),
    ):
        Qcore("memory://").within(connection)


DJANGO = """
import sys

from django.conf import settings

host, port, url = sys.argv[1:]
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": host,
            "PORT": port,
        }
    }
)
import django

django.setup()
from django.db import connection, transaction

from qcore import Qcore

q = Qcore(url)
tasks = q.within(connection)


@q.task("note")
def note(ctx, text):
    pass


class Undone(Exception):
    pass


def committed():
    return sum(sum(states.values()) for states in q.blocking_inspector.counts().values())


try:
    with transaction.atomic():
        tasks.enqueue(note.call(text="undone"))
        raise Undone
except Undone:
    assert committed() == 0
with transaction.atomic():
    tasks.enqueue(note.call(text="kept"))
    try:
        with transaction.atomic():
            tasks.enqueue(note.call(text="undone, too"))
            raise Undone
    except Undone:
        pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'of Django'")
        assert cursor.fetchone() == ("of Django",)
    assert committed() == 0
print(committed())
q.blocking.close()
connection.close()
"""


def test_a_transaction_of_django_takes_tasks_along(postgres_server: PostgresServer) -> None:
    """Also one within another, which is a savepoint."""
    url = postgres_server.url(fresh_schema())
    command = [sys.executable, "-c", DJANGO, HOST, str(postgres_server.port), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr


@pytest.fixture
def elsewhere(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the conninfo of another database of the same server."""
    name = fresh_schema()
    postgres_server.sql(f"CREATE DATABASE {name}")
    yield f"{postgres_server.conninfo} dbname={name}"
    postgres_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_connection_to_another_database_is_refused(q: Qcore, elsewhere: str) -> None:
    """A task there would be seen by nobody; nothing is written, and the transaction goes on."""
    with psycopg.connect(elsewhere) as connection:
        connection.execute("CREATE TABLE orders (id int)")
        for _ in range(2):
            with pytest.raises(QcoreError, match="the connection is to the database 'qcore_"):
                q.within(connection).enqueue(a_task())
        ours = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'qcore%'"
        assert connection.execute(ours).fetchone() == (0,)
        connection.commit()
    assert number(q) == 0


async def test_a_session_on_another_database_is_refused(
    postgres_server: PostgresServer, elsewhere: str
) -> None:
    """Of a client that awaits, too."""
    q = Qcore(postgres_server.url(fresh_schema()))
    async with await psycopg.AsyncConnection.connect(elsewhere) as connection:
        with pytest.raises(QcoreError, match="the connection is to the database 'qcore_"):
            await q.within(connection).enqueue(a_task())
    await q.close()


async def test_another_name_of_the_same_host_is_the_same_database(
    postgres_server: PostgresServer,
) -> None:
    """The servers are asked who they are."""
    q = Qcore(postgres_server.url(fresh_schema()).replace(HOST, "localhost"))
    with psycopg.connect(postgres_server.conninfo) as connection:
        q.within(connection).enqueue(a_task())
        connection.commit()
    async with await psycopg.AsyncConnection.connect(postgres_server.conninfo) as other:
        await q.within(other).enqueue(a_task())
        await other.commit()
    assert sum((await q.inspector.totals()).values()) == 2
    await q.close()


def test_a_database_that_cannot_be_asked_is_taken_for_the_same(
    postgres_server: PostgresServer,
) -> None:
    """As where the queue's own URL leads nowhere from here; it is asked once."""
    schema = fresh_schema()
    nowhere = Qcore(f"postgresql://postgres@{HOST}:1/postgres?schema={schema}&timeout=1")
    with psycopg.connect(postgres_server.conninfo) as connection:
        for _ in range(2):
            nowhere.within(connection).enqueue(a_task())
        connection.commit()
    q = Qcore(postgres_server.url(schema))
    assert number(q) == 2
    q.blocking.close()
