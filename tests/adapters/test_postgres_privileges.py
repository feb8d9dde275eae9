"""What one role owns another one uses, by the statements of docs/how-to/run-on-postgres.md."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from qcore import Context, Qcore, State, connect
from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres.schema import VERSION
from qcore.backoff import fixed
from qcore.domain.diagnostics import Grade
from qcore.domain.errors import BrokerUnusable
from qcore.testing.builders import NOW, a_task
from tests.adapters.doctoring import examined, of
from tests.servers.postgres import HOST, PostgresServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-on-postgres.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## One role owns the tables, another runs")[2]
BEFORE, LATER, VIEWER = re.findall(r"^```sql\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)[:3]
ROLES = "tasks_owner", "app", "viewer"


class Database:
    """A database of its own, in which the page's roles are no one yet."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def run(self, statements: str) -> None:
        """Run statements as the administrator."""
        with psycopg.connect(f"{self._server.conninfo} dbname=owned", autocommit=True) as session:
            session.execute(statements)  # type: ignore[call-overload]

    def url(self, role: str) -> str:
        return f"postgresql://{role}@{HOST}:{self._server.port}/owned"

    def use(self, role: str) -> None:
        """Connect as a role, and store a task."""
        broker = connect(self.url(role)).blocking()
        try:
            run_to_end(broker.enqueue([a_task()], now=NOW))
        finally:
            run_to_end(broker.close())


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """Lend it; nothing of it is left behind."""
    postgres_server.sql("CREATE DATABASE owned")
    yield Database(postgres_server)
    postgres_server.sql("DROP DATABASE owned WITH (FORCE)")
    for role in ROLES:
        postgres_server.sql(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture(params=["before", "later"])
def shared(database: Database, request: pytest.FixtureRequest) -> Database:
    """Give the tables to another role before they are made, or when they are there."""
    if request.param == "before":
        database.run(BEFORE)
        run_to_end(_opened(database.url("tasks_owner")))
    else:
        database.run(";".join(BEFORE.split(";")[:3]))
        run_to_end(_opened(database.url("tasks_owner")))
        database.run(LATER)
    return database


async def _opened(url: str) -> None:
    broker = connect(url).blocking()
    await broker.open()
    await broker.close()


async def test_a_role_that_owns_nothing_does_all_that_an_application_does(shared: Database) -> None:
    """It enqueues, claims, retries, settles, reads results, operates and inspects."""
    q = Qcore(shared.url("app"))

    @q.task("double", retention=60, max_retry=1, retry=fixed(0))
    async def double(ctx: Context, number: int) -> int:
        ctx.progress(0.5, "half")
        if ctx.failures == 0:
            raise OSError
        return 2 * number

    @q.every(3600, name="hourly")
    @q.task("hourly")
    async def hourly(ctx: Context) -> None: ...

    handle = await double.enqueue(4)
    gone = await double.using(queue="other", delay=60, unique_for=60).enqueue(5)
    await q.inspector.limit_rate("default", "100/s")
    await q.worker(burst=True).run()
    assert await handle.result(timeout=5) == 8
    assert len(await handle.errors()) == 1
    assert await gone.cancel()
    assert await gone.status() is State.DEAD
    assert await q.inspector.remove_queue("other", force=True)
    assert await q.inspector.statistics()
    assert await q.entries.get("hourly")
    await q.close()


async def test_the_statements_leave_the_doctor_nothing_to_ask_for(shared: Database) -> None:
    """Of the role that runs, and of the owner."""
    for role in ("app", "tasks_owner"):
        assert of(await examined(shared.url(role)), "permissions").grade is Grade.OK


@pytest.mark.parametrize(
    ("missing", "called"),
    [
        ("UPDATE ON qcore.token_bound", "UPDATE on qcore.token_bound"),
        ("USAGE, UPDATE ON SEQUENCE qcore.token", "USAGE, UPDATE on SEQUENCE qcore.token"),
        ("DELETE ON qcore.tasks, qcore.details", "DELETE on qcore.details, qcore.tasks"),
        ("SELECT ON qcore.tasks", "SELECT on qcore.tasks"),
    ],
)
async def test_the_doctor_says_the_grant_that_is_missing(
    shared: Database, missing: str, called: str
) -> None:
    """One that is missing, though it is wanted every few seconds only, and no other."""
    shared.run(f"REVOKE {missing} FROM app")
    told = of(await examined(shared.url("app")), "permissions")
    assert (told.grade, told.found) == (Grade.ERROR, f"app lacks {called}")
    shared.run(told.to_do.partition(" run ")[2])
    assert of(await examined(shared.url("app")), "permissions").grade is Grade.OK


def test_a_call_that_lacks_a_privilege_says_what_was_refused(shared: Database) -> None:
    """And who says what to do."""
    shared.run("REVOKE INSERT ON qcore.tasks FROM app")
    with pytest.raises(BrokerUnusable, match=r"qcore doctor.*permission denied for table tasks"):
        shared.use("app")


def test_who_may_not_read_the_tables_is_told_the_statements(database: Database) -> None:
    """Which are those of the page; then it works."""
    database.run(";".join(BEFORE.split(";")[:3]))
    run_to_end(_opened(database.url("tasks_owner")))
    with pytest.raises(BrokerUnusable, match="have their owner, tasks_owner, run") as raised:
        database.use("app")
    statements = str(raised.value).partition(" run ")[2]
    assert statements.split("; ") == LATER.strip().removesuffix(";").split(";\n")
    database.run(statements)
    database.use("app")


def test_who_may_not_make_the_tables_is_told_who_may(database: Database) -> None:
    """The owner of a schema that is there, or nobody yet."""
    database.run(BEFORE)
    with pytest.raises(BrokerUnusable, match="connect once as its owner, tasks_owner"):
        database.use("app")
    database.run("DROP SCHEMA qcore")
    with pytest.raises(BrokerUnusable, match="CREATE SCHEMA qcore AUTHORIZATION app"):
        database.use("app")


def test_who_may_not_bring_the_tables_up_to_date_is_told_who_may(shared: Database) -> None:
    """Nothing is written; once the owner has connected, others go on."""
    shared.run("DROP TABLE qcore.token_bound; UPDATE qcore.meta SET version = version - 1")
    with pytest.raises(BrokerUnusable, match=f"version {VERSION - 1}.*as their owner, tasks_owner"):
        shared.use("app")
    run_to_end(_opened(shared.url("tasks_owner")))
    shared.use("app")


async def test_a_role_that_only_reads_can_look(shared: Database) -> None:
    """At tasks, queues, statistics, limits, entries and workers; and cannot change them."""
    shared.run(VIEWER)
    shared.use("app")
    q = Qcore(shared.url("viewer"))
    look = q.inspector
    assert await look.counts() == {"default": {State.PENDING: 1}}
    assert len((await look.tasks()).tasks) == 1
    for nothing in (look.statistics(), look.limited_queues(), look.workers(), q.entries.list()):
        assert not await nothing
    with pytest.raises(BrokerUnusable, match="lacks a privilege"):
        await look.pause("default")
    await q.close()
