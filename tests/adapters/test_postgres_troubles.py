"""A worker whose Postgres is in trouble: it says what is wrong, and goes on when that is over."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import psycopg
import pytest

from qcore import Context, Qcore
from qcore.domain.events import BrokerFailed, Event, TasksSettled
from tests.adapters.postgres_kit import fresh_schema
from tests.servers.postgres import HOST, PostgresServer
from tests.servers.postgres_binaries import POSTGRES

PATIENCE: Final = 30.0
GLANCE: Final = 0.02
TASKS: Final = 10
FAILURES: Final = 4
"""So many calls fail before the trouble is over."""
END_SESSIONS: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'worker'
"""
Trouble = Callable[[PostgresServer, str], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server with a user for workers."""
    with PostgresServer(POSTGRES[-1]) as server:
        server.sql("CREATE ROLE worker LOGIN")
        server.sql("GRANT CREATE ON DATABASE postgres TO worker")
        yield server


@contextmanager
def full_disk(server: PostgresServer, schema: str) -> Iterator[None]:
    """Have no row written: the server itself raises what it raises where there is no room."""
    server.sql(f"""
        CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$
    """)
    server.sql(f"""
        CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON {schema}.tasks
        EXECUTE FUNCTION {schema}.fail()
    """)
    yield
    server.sql(f"DROP TRIGGER fail ON {schema}.tasks")


@contextmanager
def held_lock(server: PostgresServer, schema: str) -> Iterator[None]:
    """Hold a lock for which everybody waits, as a migration does."""
    with psycopg.connect(server.conninfo) as owner:
        owner.execute(f"LOCK TABLE {schema}.tasks")
        yield


@contextmanager
def no_connection_left(server: PostgresServer, _: str) -> Iterator[None]:
    """Have the user connect no more."""
    server.sql("ALTER ROLE worker CONNECTION LIMIT 0")
    server.sql(END_SESSIONS)
    yield
    server.sql("ALTER ROLE worker CONNECTION LIMIT -1")


@contextmanager
def read_only(server: PostgresServer, _: str) -> Iterator[None]:
    """Have the user write no more, also in sessions that are open."""
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    yield
    server.sql("ALTER SYSTEM RESET default_transaction_read_only")
    server.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (full_disk, "the disk is full: make room"),
        (held_lock, "another transaction holds it"),
        (no_connection_left, "no connection left"),
        (read_only, "read-only"),
    ],
)
async def test_a_worker_goes_on_when_the_trouble_is_over(
    server: PostgresServer, trouble: Trouble, said: str
) -> None:
    """What its tasks have done by then is written, and none is run again."""
    schema = fresh_schema()
    url = f"postgresql://worker@{HOST}:{server.port}/postgres?schema={schema}&timeout=1"
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)

    q = Qcore(url, instruments=[note])
    release, runs = asyncio.Event(), list[str]()

    @q.task("wait")
    async def wait(ctx: Context) -> None:
        runs.append(ctx.id)
        await release.wait()

    def failures() -> list[str]:
        return [str(each.error) for each in events if isinstance(each, BrokerFailed)]

    def settled() -> list[object]:
        answers = [each.answers for each in events if isinstance(each, TasksSettled)]
        return [answer for several in answers for answer in several]

    async with q, q.running():
        await q.client.enqueue_many([wait.call()] * TASKS)
        await until(lambda: len(runs) == TASKS)
        with trouble(server, schema):
            release.set()
            await until(lambda: len(failures()) >= FAILURES)
        await until(lambda: len(settled()) == TASKS)
        assert await q.inspector.counts() == {}
    assert len(runs) == len({*runs}) == TASKS
    assert any(said in each for each in failures())
    assert not any("\n" in each for each in failures())


async def until(come: Callable[[], bool]) -> None:
    """Wait until something has come about."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if come():
                return
            await asyncio.sleep(GLANCE)
