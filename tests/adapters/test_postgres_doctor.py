import psycopg
import pytest

from qcore.adapters.links.inline import run_to_end
from qcore.doctor import postgres as doctor
from qcore.domain.diagnostics import Grade
from qcore.testing.builders import NOW, a_task
from tests.adapters.doctoring import bad, examined, of
from tests.adapters.postgres_kit import blocking_on, fresh_schema
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.postgres_pair import PostgresPair


@pytest.fixture
def schema(postgres_server: PostgresServer) -> str:
    """Name a schema in which a task waits."""
    schema = fresh_schema()
    with blocking_on(postgres_server, schema) as broker:
        run_to_end(broker.enqueue([a_task()], now=NOW))
    return schema


async def test_a_database_that_is_well_has_nothing_to_mend(
    postgres_server: PostgresServer, schema: str
) -> None:
    """Each matter is looked at; a server of tests flushes nothing, and vacuums nothing."""
    found = await examined(postgres_server.url(schema))
    assert bad(found, "persistence", "vacuum") == []
    assert {each.about for each in found} >= {
        "version", "connections", "transactions", "replication", "tables", "indexes", "queues",
    }  # fmt: skip
    assert of(found, "queues").found == "1 with tasks, 1 of them pending"
    assert of(found, "persistence").grade is Grade.ERROR
    assert "autovacuum is off" in of(found, "vacuum").found


async def test_an_index_that_is_missing_is_named(
    postgres_server: PostgresServer, schema: str
) -> None:
    """So that it can be made again."""
    postgres_server.sql(f"DROP INDEX {schema}.tasks_pending")
    told = of(await examined(postgres_server.url(schema)), "indexes")
    assert (told.grade, "tasks_pending" in told.found) == (Grade.ERROR, True)


async def test_a_transaction_that_was_left_open_is_named(
    postgres_server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the process that has it."""
    monkeypatch.setattr(doctor, "LONG", 0.0)
    with psycopg.connect(postgres_server.conninfo, application_name="a forgotten shell") as shell:
        shell.execute("SELECT 1")
        told = of(await examined(postgres_server.url(schema)), "transactions")
        assert told.grade is Grade.WARNING
        assert f"process {shell.info.backend_pid} of a forgotten shell" in told.found


async def test_a_transaction_that_was_prepared_and_never_decided_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no process that could be ended, and outlives the server."""
    monkeypatch.setattr(doctor, "LONG", 0.0)
    schema = fresh_schema()
    with (
        PostgresServer(POSTGRES[-1], max_prepared_transactions="1") as server,
        blocking_on(server, schema),
    ):
        with psycopg.connect(server.conninfo, autocommit=True) as owner:
            owner.execute("BEGIN")
            owner.execute("PREPARE TRANSACTION 'the caller''s'")
        told = of(await examined(server.url(schema)), "transactions")
        assert told.grade is Grade.WARNING
        assert "the caller's" in told.found
        server.sql(told.to_do.rpartition("or ")[2])
        assert of(await examined(server.url(schema)), "transactions").grade is Grade.OK


@pytest.mark.parametrize("kind", ["MUCH_WAL", "MANY_TRANSACTIONS"])
async def test_a_slot_that_nobody_reads_is_named(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It keeps the log, and what transactions have deleted, for a reader that never comes."""
    monkeypatch.setattr(doctor, kind, 0)
    schema = fresh_schema()
    slot = "SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')"
    with (
        PostgresServer(POSTGRES[-1], wal_level="logical") as server,
        blocking_on(server, schema) as broker,
    ):
        assert of(await examined(server.url(schema)), "replication").grade is Grade.OK
        server.sql(slot)
        run_to_end(broker.enqueue([a_task()], now=NOW))
        told = of(await examined(server.url(schema)), "replication")
        assert told.grade is Grade.WARNING
        assert "the slot forgotten, which nobody reads" in told.found
        server.sql(told.to_do.rpartition("or ")[2])
        assert of(await examined(server.url(schema)), "replication").grade is Grade.OK


async def test_a_standby_that_holds_rows_back_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a long query there, of which this server knows nothing but what it must keep."""
    monkeypatch.setattr(doctor, "MANY_TRANSACTIONS", 0)
    schema = fresh_schema()
    feedback = {"hot_standby_feedback": "on", "wal_receiver_status_interval": "1000s"}
    with (
        PostgresPair(POSTGRES[-1], **feedback) as pair,
        blocking_on(pair.primary, schema) as broker,
    ):
        pair.standby.sql("SELECT 1")
        for _ in range(3):
            run_to_end(broker.enqueue([a_task()], now=NOW))
        told = of(await examined(pair.primary.url(schema)), "replication")
        assert told.grade is Grade.WARNING
        assert "the standby walreceiver" in told.found


async def test_dead_rows_are_told_of(
    postgres_server: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When there are more of them than of others."""
    monkeypatch.setattr(doctor, "MANY_DEAD", 100)
    with blocking_on(postgres_server, schema) as broker:
        run_to_end(broker.enqueue([a_task() for _ in range(500)], now=NOW))
    postgres_server.sql(f"DELETE FROM {schema}.tasks")  # noqa: S608
    postgres_server.sql("SELECT pg_stat_force_next_flush()")
    told = [each for each in await examined(postgres_server.url(schema)) if each.about == "bloat"]
    assert [each.grade for each in told] == [Grade.WARNING]
    assert "dead rows" in told[0].found


@pytest.mark.parametrize("setting", ["default_transaction_read_only", "synchronous_commit"])
async def test_settings_that_cost_tasks_are_named(
    postgres_server: PostgresServer, schema: str, setting: str
) -> None:
    """Those of this user, as a connection has them."""
    value = "on" if setting == "default_transaction_read_only" else "off"
    options = f"-c%20{setting}%3D{value}"
    url = postgres_server.url(schema, options=options, target_session_attrs="any")
    told = {each.about: each for each in bad(await examined(url))}
    assert ("writes" in told) is (value == "on")
    assert told["persistence"].grade is Grade.ERROR
