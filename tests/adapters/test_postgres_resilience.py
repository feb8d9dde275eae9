import asyncio
from collections.abc import Iterator
from threading import Event, current_thread, main_thread
from time import monotonic

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.postgres.sessions import SyncSession
from qcore.domain.answers import Enqueued
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.ports import WorkAvailable
from qcore.testing.builders import LEASE, NOW, a_demand, a_task
from tests.adapters.postgres_kit import blocking_on, broker_on, fresh_schema
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES

PATIENCE = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server that may be ended and started, which has to run when it is left."""
    with PostgresServer(POSTGRES[-1]) as server:
        yield server


CROWDED = {"max_connections": "6", "superuser_reserved_connections": "0"}
END_SESSIONS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name LIKE 'qcore%' AND pid <> pg_backend_pid()
"""


def test_sessions_that_were_ended_are_replaced_unnoticed(server: PostgresServer) -> None:
    """Each call succeeds, over connections that were idle when the server ended them."""
    with blocking_on(server, fresh_schema()) as broker:
        for _ in range(3):
            server.sql(END_SESSIONS)
            assert run_to_end(broker.enqueue([task := a_task()], now=NOW)) == [
                Enqueued(task.id, State.PENDING)
            ]
        claims = run_to_end(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
        server.sql(END_SESSIONS)
        verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
        run_to_end(broker.settle(verdicts, now=NOW))
        assert run_to_end(broker.count()) == {}


def test_a_session_that_has_lost_what_it_had_prepared_is_replaced_unnoticed(
    server: PostgresServer,
) -> None:
    """As one of a pooler that is taken for none: every later call over it would fail."""
    with blocking_on(server, fresh_schema()) as broker:
        for n in range(2):
            run_to_end(broker.enqueue([a_task(id=f"{n}")], now=NOW))
            run_to_end(broker.link.read(lambda tx: tx.fetch("DEALLOCATE ALL", {})))
        assert len(run_to_end(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))) == 2


async def test_a_restart_is_not_noticed_and_tasks_survive_it(server: PostgresServer) -> None:
    """A call that meets it waits until the server is back, within its timeout."""
    broker = broker_on(server, fresh_schema(), timeout="20")
    await broker.open()
    await broker.enqueue([first := a_task()], now=NOW)
    server.kill()
    call = asyncio.create_task(broker.enqueue([second := a_task()], now=NOW))
    await asyncio.sleep(0.2)
    assert not call.done()
    server.launch()
    assert list(await call) == [Enqueued(second.id, State.PENDING)]
    claims = await broker.claim(a_demand(), now=NOW, until=NOW + LEASE)
    assert [claim.task.id for claim in claims] == [first.id, second.id]
    await broker.close()


async def test_what_was_committed_is_answered_whatever_happens_then(server: PostgresServer) -> None:
    """Not written again, nor refused: the server cannot be asked for its time."""
    broker = broker_on(server, fresh_schema(), timeout="1")
    twin = broker.blocking()
    await twin.open()

    def meanwhile(_: object) -> None:
        # by the call itself, not by the listener, which hears of it as well
        if current_thread() is main_thread() and not ended:
            ended.append(True)
            server.kill()
            # another call finds out, so that the server's time is not known any more
            with pytest.raises(BrokerUnavailable):
                run_to_end(twin.count())
            server.start()

    ended: list[bool] = [True]
    subscription = await broker.subscribe(["default"], {WorkAvailable}, meanwhile)
    ended.clear()
    answers = await broker.enqueue([task := a_task()], now=NOW)
    assert list(answers) == [Enqueued(task.id, State.PENDING)]
    await subscription.close()
    assert (await broker.get("default", [task.id]))[0] is not None
    await broker.close()


async def test_a_server_that_stays_away_is_unavailable(server: PostgresServer) -> None:
    """Once the timeout is over, and not before; then it is served again."""
    broker = broker_on(server, fresh_schema(), timeout="1")
    await broker.open()
    server.stop()
    began = monotonic()
    with pytest.raises(BrokerUnavailable):
        await broker.enqueue([a_task()], now=NOW)
    assert monotonic() - began >= 0.5
    server.start()
    await broker.enqueue([a_task()], now=NOW)
    await broker.close()


async def test_a_server_that_is_frozen_is_given_up(server: PostgresServer) -> None:
    """It takes the request and answers nothing; those who block and those who await go on."""
    broker = broker_on(server, fresh_schema(), timeout="1")
    await broker.open()
    twin = broker.blocking()
    await twin.open()
    server.freeze()
    try:
        with pytest.raises(BrokerUnavailable, match="has not answered for"):
            await broker.enqueue([a_task()], now=NOW)
        with pytest.raises(BrokerUnavailable, match="not answer"):
            await asyncio.to_thread(run_to_end, twin.enqueue([a_task()], now=NOW))
    finally:
        server.thaw()
    await broker.enqueue([task := a_task()], now=NOW)
    assert (await broker.get("default", [task.id]))[0] is not None
    await broker.close()


def test_the_driver_logs_no_broken_pipeline_of_ours(
    server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is raised, and one line is enough."""
    conninfo = conninfo_to_dict(server.conninfo)
    session = run_to_end(SyncSession.connect(conninfo, patience=PATIENCE))
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        run_to_end(session.pipeline([("BEGIN", {}), ("SELECT 1", {}), ("COMMIT", {})]))
    server.start()
    assert not session.is_usable
    assert [each for each in caplog.records if each.name == "psycopg"] == []


async def test_who_waits_hears_of_tasks_after_a_restart(server: PostgresServer) -> None:
    """The listener connects again, and has its subscribers look."""
    schema = fresh_schema()
    broker = broker_on(server, schema)
    told = Event()
    subscription = await broker.subscribe(["default"], {WorkAvailable}, lambda _: told.set())
    server.stop()
    server.start()
    told.clear()
    assert await asyncio.to_thread(told.wait, PATIENCE)
    with blocking_on(server, schema) as other:
        told.clear()
        run_to_end(other.enqueue([a_task()], now=NOW))
        assert await asyncio.to_thread(told.wait, PATIENCE)
    await subscription.close()
    await broker.close()


def test_a_server_that_became_read_only_is_unavailable(server: PostgresServer) -> None:
    """As a primary is that was demoted: nothing is lost, and it is tried again."""
    with blocking_on(server, fresh_schema(), timeout="0.3") as broker:
        server.sql("ALTER ROLE postgres SET default_transaction_read_only = on")
        server.sql(END_SESSIONS)
        with pytest.raises(BrokerUnavailable, match="read-only"):
            run_to_end(broker.enqueue([a_task()], now=NOW))
        writing = f"{server.conninfo} options='-c default_transaction_read_only=off'"
        with psycopg.connect(writing, autocommit=True) as owner:
            owner.execute("ALTER ROLE postgres RESET default_transaction_read_only")
        assert run_to_end(broker.enqueue([task := a_task()], now=NOW)) == [
            Enqueued(task.id, State.PENDING)
        ]


def test_a_lock_that_somebody_holds_is_waited_for_no_longer_than_the_timeout(
    server: PostgresServer,
) -> None:
    """A table that is locked, as by ALTER TABLE, keeps nobody for ever."""
    schema = fresh_schema()
    with blocking_on(server, schema, timeout="0.5") as broker:
        with psycopg.connect(server.conninfo) as owner:
            owner.execute(f"LOCK TABLE {schema}.tasks")
            with pytest.raises(BrokerUnavailable, match=r"timeout|in time"):
                run_to_end(broker.enqueue([a_task()], now=NOW))
        run_to_end(broker.enqueue([a_task()], now=NOW))


def test_too_many_connections_are_unavailable() -> None:
    """Somebody may leave; what to change is said."""
    with (
        PostgresServer(POSTGRES[-1], **CROWDED) as few,
        blocking_on(few, fresh_schema(), timeout="0.3") as broker,
    ):
        others = [psycopg.connect(few.conninfo) for _ in range(5)]
        late = broker_on(few, fresh_schema(), timeout="0.3").blocking()
        with pytest.raises(BrokerUnavailable, match="max_connections"):
            run_to_end(late.enqueue([a_task()], now=NOW))
        for other in others:
            other.close()
        run_to_end(broker.enqueue([a_task()], now=NOW))
