from concurrent.futures import ThreadPoolExecutor

import pytest

from qcore import connect
from qcore.adapters.links.inline import run_to_end
from qcore.adapters.postgres.schema import VERSION
from qcore.domain.errors import BrokerUnusable
from qcore.testing.builders import LEASE, NOW, a_demand, a_task
from tests.adapters.postgres_kit import blocking_on, broker_on, fresh_schema
from tests.servers.postgres import HOST, PostgresServer


def tables(server: PostgresServer, schema: str) -> set[str]:
    """Return the names of the tables in a schema."""
    rows = server.sql("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    return {name for (name,) in rows}


def test_those_who_connect_first_at_the_same_time_make_the_tables_once(
    postgres_server: PostgresServer,
) -> None:
    """They wait for each other, and nobody sees half of it."""
    schema = fresh_schema()
    brokers = [broker_on(postgres_server, schema).blocking() for _ in range(8)]

    def use(number: int) -> object:
        broker = brokers[number]
        try:
            run_to_end(broker.open())
            return run_to_end(broker.enqueue([a_task()], now=NOW))
        finally:
            run_to_end(broker.close())

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(use, range(8)))
    assert len(answers) == 8
    assert postgres_server.sql(f"SELECT version FROM {schema}.meta") == [(VERSION,)]  # noqa: S608
    assert postgres_server.sql(f"SELECT count(*) FROM {schema}.tasks") == [(8,)]  # noqa: S608


def test_schemas_of_one_database_have_nothing_in_common(postgres_server: PostgresServer) -> None:
    """Services that share a database do not share tasks."""
    one, other = fresh_schema(), fresh_schema()
    with blocking_on(postgres_server, one) as first, blocking_on(postgres_server, other) as second:
        run_to_end(first.enqueue([a_task()], now=NOW))
        assert run_to_end(second.count()) == {}
    assert tables(postgres_server, one) == tables(postgres_server, other)


def test_a_schema_of_a_newer_qcore_is_refused(postgres_server: PostgresServer) -> None:
    """With what to do."""
    schema = fresh_schema()
    with blocking_on(postgres_server, schema):
        pass
    postgres_server.sql(f"UPDATE {schema}.meta SET version = {VERSION + 1}")  # noqa: S608
    with (
        pytest.raises(BrokerUnusable, match="install the qcore that made them"),
        blocking_on(postgres_server, schema),
    ):
        pass
    postgres_server.sql(f"DELETE FROM {schema}.meta")  # noqa: S608
    with (
        pytest.raises(BrokerUnusable, match="expected the one row"),
        blocking_on(postgres_server, schema),
    ):
        pass


def test_a_missing_privilege_is_named(postgres_server: PostgresServer) -> None:
    """A user who may create nothing is told so; with the schema given to them it works."""
    schema = fresh_schema()
    role = f"{schema}_user"
    postgres_server.sql(f"CREATE ROLE {role} LOGIN")
    url = f"postgresql://{role}@{HOST}:{postgres_server.port}/postgres?schema={schema}"
    with pytest.raises(BrokerUnusable, match=f"{role} may not make one") as raised:
        _open(url)
    postgres_server.sql(str(raised.value).partition(" may run ")[2])
    _open(url)
    assert "tasks" in tables(postgres_server, schema)


def test_a_database_of_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    """It could not store every text."""
    name = fresh_schema()
    postgres_server.sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(BrokerUnusable, match="LATIN1"):
        _open(f"postgresql://postgres@{HOST}:{postgres_server.port}/{name}")


def test_a_database_that_is_not_there_is_named(postgres_server: PostgresServer) -> None:
    """It is nothing to wait for."""
    with pytest.raises(BrokerUnusable, match="create it"):
        _open(f"postgresql://postgres@{HOST}:{postgres_server.port}/nowhere")


def _open(url: str) -> None:

    broker = connect(url).blocking()
    try:
        run_to_end(broker.open())
    finally:
        run_to_end(broker.close())


def test_tables_of_an_older_qcore_are_brought_up_to_date(postgres_server: PostgresServer) -> None:
    """What is added to them is what new ones are made with."""
    older, newer = fresh_schema(), fresh_schema()
    for schema in (older, newer):
        with blocking_on(postgres_server, schema):
            pass
    postgres_server.sql(f"ALTER INDEX {older}.tasks_pkey RESET (fillfactor)")
    postgres_server.sql(f"DROP TABLE {older}.token_bound")
    postgres_server.sql(f"ALTER SEQUENCE {older}.token SET LOGGED")
    postgres_server.sql(f"SELECT setval('{older}.token', 4000000000000000)")
    postgres_server.sql(f"UPDATE {older}.meta SET version = 1")  # noqa: S608
    with blocking_on(postgres_server, older) as broker:
        run_to_end(broker.enqueue([a_task()], now=NOW))
        (claim,) = run_to_end(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    assert claim.lease.token > 4_000_000_000_000_000
    assert postgres_server.sql(f"SELECT version FROM {older}.meta") == [(VERSION,)]  # noqa: S608
    assert tables(postgres_server, older) == tables(postgres_server, newer)
    persistence = "SELECT relpersistence::text FROM pg_class WHERE oid = '{}.token'::regclass"
    for schema in (older, newer):
        assert postgres_server.sql(persistence.format(schema)) == [("u",)]
    options = "SELECT reloptions FROM pg_class WHERE oid = '{}.tasks_pkey'::regclass"
    assert postgres_server.sql(options.format(older)) == [(["fillfactor=50"],)]
    assert postgres_server.sql(options.format(newer)) == [(["fillfactor=50"],)]
