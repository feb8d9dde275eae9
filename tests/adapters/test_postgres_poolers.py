import asyncio
from collections.abc import Iterator
from threading import Event

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from qcore import Context, Qcore
from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.postgres import link_to, parse
from qcore.adapters.postgres import PostgresBroker
from qcore.domain.answers import Enqueued
from qcore.domain.diagnostics import Grade
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker, WorkAvailable
from qcore.testing.builders import NOW, a_task
from qcore.testing.machine import broker_machine
from tests.adapters.doctoring import examined, of
from tests.adapters.postgres_kit import fresh_schema
from tests.servers.pooler import POOLERS, Pooler
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES

PATIENCE = 30.0
EXAMPLES = 3
MANY = 40
"""Calls of which each would meet what one before has left in a session."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server behind the poolers."""
    with PostgresServer(POSTGRES[-1]) as server:
        yield server


@pytest.fixture(scope="module", params=POOLERS, ids=lambda kind: kind.__name__)
def pooler(request: pytest.FixtureRequest, server: PostgresServer) -> Iterator[Pooler]:
    """Give a pooler, whose sessions are all its clients'."""
    made: Pooler = request.param(server)
    with made:
        yield made


@pytest.fixture
def schema() -> str:
    """Name a schema of its own."""
    return fresh_schema()


async def test_a_worker_runs_tasks_through_a_pooler(pooler: Pooler, schema: str) -> None:
    """Those of both clients; progress, saved work, results and errors are stored."""
    q = Qcore(pooler.url(schema), instruments=[])

    @q.task("double", retention=60)
    async def double(ctx: Context, number: int) -> int:
        ctx.progress(0.5, "half")
        await ctx.save(b"so far")
        return 2 * number

    async with q:
        awaited = [await double.enqueue(number) for number in range(MANY)]
        blocked = await asyncio.to_thread(lambda: [double.enqueue_sync(n) for n in range(MANY)])
        worker = asyncio.create_task(q.worker(burst=True).run())
        assert [await each.result(PATIENCE) for each in awaited] == [2 * n for n in range(MANY)]
        read = asyncio.to_thread(lambda: [each.result(PATIENCE) for each in blocked])
        assert await read == [2 * number for number in range(MANY)]
        await worker
        assert await q.inspector.counts() == {"default": {State.COMPLETED: 2 * MANY}}


def test_a_broker_behind_a_pooler_agrees_with_the_memory_broker(
    pooler: Pooler, server: PostgresServer
) -> None:
    """Whatever is asked, in whatever order, both give the same answers."""
    schema = fresh_schema()

    def make(keep: RetentionPolicy) -> Broker:
        server.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        return PostgresBroker(link_to(parse(pooler.url(schema))), keep=keep)

    run_state_machine_as_test(broker_machine(make), settings=settings(max_examples=EXAMPLES))


async def test_waiting_workers_look_for_tasks(pooler: Pooler, schema: str) -> None:
    """As nobody can be told there, within a quarter of a second or so."""
    broker = PostgresBroker(link_to(parse(pooler.url(schema))))
    await broker.open()
    looks = Event()
    subscription = await broker.subscribe(["default"], {WorkAvailable}, lambda _: looks.set())
    for _ in range(3):
        looks.clear()
        assert await asyncio.to_thread(looks.wait, PATIENCE)
    await subscription.close()
    await broker.close()


@pytest.mark.parametrize("said", ["auto", "transaction"])
async def test_who_enqueues_through_a_pooler_wakes_those_who_do_not_wait_behind_it(
    pooler: Pooler, server: PostgresServer, schema: str, said: str
) -> None:
    """NOTIFY works in any session: a worker with the server's own URL is told at once."""
    broker = PostgresBroker(link_to(parse(pooler.url(schema, pooler=said))))
    await broker.open()
    with psycopg.connect(server.conninfo, autocommit=True) as waiting:
        waiting.execute(f'LISTEN "{schema}.work"')
        await broker.enqueue([a_task()], now=NOW)
        told = waiting.notifies(timeout=PATIENCE, stop_after=1)
        assert [each.payload for each in told] == ["default"]
    await broker.close()


def test_tasks_are_a_part_of_a_transaction_through_a_pooler(pooler: Pooler, schema: str) -> None:
    """Again and again over one connection, as its owner connects by default."""
    q = Qcore(pooler.url(schema), instruments=[])
    with psycopg.connect(pooler.conninfo) as one, psycopg.connect(pooler.conninfo) as other:
        for _ in range(MANY // 4):
            for connection in (one, other):
                q.within(connection).enqueue(a_task())
                connection.commit()
                q.within(connection).enqueue(a_task())
                connection.rollback()
    assert q.blocking_inspector.counts() == {"default": {State.PENDING: MANY // 2}}
    q.blocking.close()


async def test_statements_through_a_pooler_have_a_timeout(
    pooler: Pooler, server: PostgresServer, schema: str
) -> None:
    """Set in each transaction, and nothing is left of it in sessions that others use."""
    broker = PostgresBroker(link_to(parse(pooler.url(schema, timeout="0.5")))).blocking()
    run_to_end(broker.open())
    with psycopg.connect(server.conninfo) as owner:
        owner.execute(f"LOCK TABLE {schema}.tasks")
        with pytest.raises(BrokerUnavailable, match="another transaction holds it"):
            run_to_end(broker.enqueue([a_task()], now=NOW))
    assert run_to_end(broker.enqueue([task := a_task()], now=NOW)) == [
        Enqueued(task.id, State.PENDING)
    ]
    run_to_end(broker.close())
    with psycopg.connect(pooler.conninfo, prepare_threshold=None, autocommit=True) as other:
        for _ in range(MANY // 4):
            assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


async def test_the_doctor_tells_of_a_pooler(pooler: Pooler, schema: str) -> None:
    """With what to do."""
    told = of(await examined(pooler.url(schema)), "pooler")
    assert told.grade is Grade.ADVICE
    assert "four times a second" in told.found
