"""Tasks that a worker's claims end, over each store: their lines in the log, and the metrics."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from structlog.testing import capture_logs

from qcore import Context, Qcore
from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.instruments.metrics import Metrics
from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.wrappers import TransformingBroker
from qcore.ports import Broker
from qcore.testing import ManualClock, a_task, drain
from tests.adapters.postgres_kit import broker_on, fresh_schema
from tests.adapters.redis_kit import broker_at
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

Line: TypeAlias = dict[str, Any]

STALE = {"task": "mail", "task_id": "stale", "queue": "default", "attempt": 0}
DAMAGE = "UPDATE {}.tasks SET options = 'x' WHERE id = 'odd'"
ODD = {"task": "mail", "task_id": "odd", "queue": "default"}


@asynccontextmanager
async def watched(broker: Broker) -> AsyncGenerator[tuple[Qcore, Metrics]]:
    """Give a queue whose instruments are the log and the metrics, with a handler of "mail".

    Scheduled for a moment at which it has expired, "stale" is for a claim alone to end: a sweep
    finds expired tasks among the pending ones.
    """
    metrics, clock = Metrics(), ManualClock()
    instruments = [LoggingInstrument(now=clock.now), metrics]
    async with Qcore(broker=broker, clock=clock, instruments=instruments) as q:

        @q.task("mail")
        async def mail(ctx: Context) -> None: ...

        now = clock.now()
        stale = a_task(id="stale", name="mail", due=now + 1, expires=now + 2)
        await q.client.enqueue_many([a_task(id="good", name="mail", due=now + 1), stale])
        clock.advance(60)
        yield q, metrics


async def ended(
    broker: Broker, before: Callable[[], Awaitable[object]] | None = None
) -> list[Line]:
    """Have a worker run what is due; return its lines about what its claims have ended.

    Fail unless the metrics have as many.
    """
    async with watched(broker) as (q, metrics):
        if before is not None:
            await q.client.enqueue(a_task(id="odd", name="mail"))
            await before()
        with capture_logs() as lines:
            assert await drain(q) == 1
        counts = {metric: cell[0] for metric, _, cell in metrics.samples()}
        assert counts[of.EXPIRED] == 1
        assert counts[of.UNREADABLE] == (before is not None)
    told = {"task expired", "task cannot be read"}
    shown = [dict(line) for line in lines if line["event"] in told]
    return sorted(shown, key=lambda line: str(line["task_id"]), reverse=True)


def expired() -> Line:
    """Return the line of the task that has expired."""
    return {"event": "task expired", "log_level": "warning", **STALE}


def unreadable(error: str, *, attempt: int = 0) -> Line:
    """Return the line of the task that was damaged."""
    fields = {"error": error, **ODD, "attempt": attempt}
    return {"event": "task cannot be read", "log_level": "error", **fields}


async def test_what_a_claim_ends_in_memory_has_its_line() -> None:
    """Expired is all that a task in memory can be."""
    assert await ended(MemoryBroker()) == [expired()]


async def test_a_wrapper_passes_it_on() -> None:
    """As around a queue whose tasks are traced, or sealed."""
    assert await ended(TransformingBroker(MemoryBroker())) == [expired()]


async def test_what_a_claim_ends_in_a_file_has_its_line(tmp_path: Path) -> None:
    """A row that was edited by hand has another."""
    broker = SqliteBroker(AsyncSqliteLink(tmp_path / "q.db"))

    async def damage() -> None:
        sql = "UPDATE qcore_tasks SET headers = '[1]' WHERE id = 'odd'"
        await broker.link.write(lambda tx: tx.execute(sql, ()))

    why = "the stored row cannot be read: headers is '[1]'"
    assert await ended(broker, damage) == [expired(), unreadable(why)]


async def test_what_a_claim_ends_in_postgres_has_its_line(postgres_server: PostgresServer) -> None:
    """A row that was edited by hand has another, whichever statement claims it."""
    schema = fresh_schema()

    async def damage() -> None:
        postgres_server.sql(DAMAGE.format(schema))

    found = await ended(broker_on(postgres_server, schema), damage)
    why = "the stored row cannot be read: options is 'x'"
    assert found == [expired(), unreadable(why)]


async def test_what_a_claim_ends_in_redis_has_its_line(redis_server: RedisServer) -> None:
    """What is stored of a task may have been edited there, too."""
    namespace = f"endings-{uuid4().hex}"
    broker = broker_at(f"{redis_server.url}?namespace={namespace}")

    async def damage() -> None:
        tasks = f"{namespace}:{{default}}:tasks"
        value = redis_server.cli("HGET", tasks, "odd")
        redis_server.cli("HSET", tasks, "odd", value[: len(value) // 2])

    first, second = await ended(broker, damage)
    assert first == expired()
    assert second["error"].startswith("what is stored of it cannot be read: ")
    # the name is a part of what cannot be read: an inspector shows this one, too
    assert second == unreadable(second["error"], attempt=1) | {"task": "unreadable"}


async def test_a_row_that_the_fast_claim_of_postgres_finds_damaged_has_its_line(
    postgres_server: PostgresServer,
) -> None:
    """Where nothing is due or expired, one statement claims."""
    schema = fresh_schema()
    async with watched(broker_on(postgres_server, schema)) as (q, metrics):
        await drain(q)
        await q.client.enqueue(a_task(id="odd", name="mail"))
        postgres_server.sql(DAMAGE.format(schema))
        with capture_logs() as lines:
            assert await drain(q) == 0
        assert {metric: cell[0] for metric, _, cell in metrics.samples()}[of.UNREADABLE] == 1
    # the statement has counted the attempt
    assert unreadable("the stored row cannot be read: options is 'x'", attempt=1) in lines
