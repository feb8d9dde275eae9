from collections.abc import Iterator

import psycopg
import pytest

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.postgres import link_to, parse
from qcore.adapters.postgres import PostgresBroker
from qcore.domain.answers import Enqueued
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.states import State
from qcore.testing.builders import NOW, a_task
from tests.adapters.postgres_kit import blocking_on, fresh_schema
from tests.servers.postgres import HOST, PostgresServer
from tests.servers.postgres_binaries import POSTGRES

ROLES = """
CREATE ROLE ann LOGIN PASSWORD 'right';
CREATE ROLE bob LOGIN;
CREATE ROLE few LOGIN CONNECTION LIMIT 0;
CREATE ROLE nobody NOLOGIN;
CREATE DATABASE crowded CONNECTION LIMIT 0;
CREATE DATABASE closed;
REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
"""
ACCESS = f"""
host all ann {HOST}/32 scram-sha-256
host all stranger {HOST}/32 reject
host all all {HOST}/32 trust
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server with users who may do little."""
    with PostgresServer(POSTGRES[-1]) as server:
        for each in ROLES.strip().splitlines():
            server.sql(each)
        (server.data / "pg_hba.conf").write_text(ACCESS)
        server.sql("SELECT pg_reload_conf()")
        yield server


def opened(
    server: PostgresServer, who: str, database: str = "postgres", options: str = "&timeout=30"
) -> None:
    """Connect as somebody."""
    url = f"postgresql://{who}@{HOST}:{server.port}/{database}?{options}"
    broker = PostgresBroker(link_to(parse(url))).blocking()
    try:
        run_to_end(broker.open())
    finally:
        run_to_end(broker.close())


@pytest.mark.parametrize(
    ("who", "database", "options", "said"),
    [
        ("ann:wrong", "postgres", "", "the password is wrong"),
        ("ann", "postgres", "", "the password is wrong"),
        ("stranger", "postgres", "", "refuses this user"),
        ("unknown", "postgres", "", "refuses this user"),
        ("nobody", "postgres", "", "refuses this user"),
        ("bob", "nowhere", "", "no such database"),
        ("bob", "closed", "", "lacks a privilege"),
        ("bob", "postgres", "&sslmode=require", "TLS was not agreed on"),
        ("bob", "postgres", "&sslmode=verify-full&sslrootcert=/nowhere", "TLS was not agreed on"),
    ],
)
def test_what_somebody_has_to_change_is_named(
    server: PostgresServer, who: str, database: str, options: str, said: str
) -> None:
    """It is nothing that passes; and no password is shown."""
    with pytest.raises(BrokerUnusable, match=said) as raised:
        opened(server, who, database, options)
    assert "wrong@" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("who", "database"), [("few", "postgres"), ("bob", "crowded")])
def test_limits_of_a_user_and_of_a_database_pass(
    server: PostgresServer, who: str, database: str
) -> None:
    """Others may leave; a database that is full is not one that is missing."""
    with pytest.raises(BrokerUnavailable, match="no connection left"):
        opened(server, who, database, "&timeout=1")


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("53100", BrokerUnusable, "the disk is full: make room"),
        ("53200", BrokerUnavailable, "out of memory"),
        ("58030", BrokerUnusable, "failed to read or write"),
        ("40001", BrokerUnavailable, "other transactions wrote"),
        ("40P01", BrokerUnavailable, "waited for each other"),
        ("55P03", BrokerUnavailable, "another transaction holds it"),
        ("57014", BrokerUnavailable, "longer than its timeout"),
        ("25006", BrokerUnavailable, "read-only"),
    ],
)
def test_an_error_in_the_midst_of_a_call_leaves_nothing_behind(
    server: PostgresServer, code: str, error: type[Exception], said: str
) -> None:
    """Of the batch nothing is stored; once the trouble is over, all of it is."""
    schema, ids = fresh_schema(), ["1", "2", "3"]
    with blocking_on(server, schema, timeout="1") as broker:
        with psycopg.connect(server.conninfo, autocommit=True) as owner:
            owner.execute(f"""
                CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE 'of a test' USING ERRCODE = '{code}'; END $$
            """)
            owner.execute(f"""
                CREATE TRIGGER fail BEFORE INSERT ON {schema}.tasks FOR EACH ROW
                WHEN (NEW.id = '3') EXECUTE FUNCTION {schema}.fail()
            """)
            with pytest.raises(error, match=said) as raised:
                run_to_end(broker.enqueue([a_task(id=each) for each in ids], now=NOW))
            assert "\n" not in str(raised.value)
            owner.execute(f"DROP TRIGGER fail ON {schema}.tasks")
        assert run_to_end(broker.count()) == {}
        answers = run_to_end(broker.enqueue([a_task(id=each) for each in ids], now=NOW))
        assert answers == [Enqueued(each, State.PENDING) for each in ids]
