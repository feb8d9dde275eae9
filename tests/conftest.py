"""What every test shares: how Hypothesis behaves, and Redis servers that start when asked for."""

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from docs.running import same_process
from qcore.entrypoints import exiting
from tests.servers.binaries import SERVERS
from tests.servers.cluster import RedisCluster
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet

# No deadline, no limit to how long an example takes to make: on a busy machine a slow one is not a
# wrong one.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")

PATIENCE = 30.0
"""Seconds for what has been closed to end."""


EMPTY = """
DO $$ DECLARE each text; BEGIN
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'qcore' AND tablename <> 'meta'
    LOOP EXECUTE 'DELETE FROM qcore.' || each; END LOOP;
    IF to_regclass('qcore.token') IS NOT NULL THEN PERFORM setval('qcore.token', 1, false); END IF;
END $$
"""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """See that what a test began ends with it: a thread that is left disturbs other tests."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("qcore"):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} is left behind"


@pytest.fixture(autouse=True, scope="session")
def _patient_exits() -> Iterator[None]:
    """Give a loop that is closed more time than a command does, which exits where that is over.

    On a busy machine it would end all tests, with the status of a success.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exiting, "INTERPRETER_EXIT_TIMEOUT", PATIENCE)
        yield


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    """Have the environment and the root logger for other tests as they were for this one."""
    with same_process():
        yield


@pytest.fixture(autouse=True)
def _structlog_as_it_comes() -> Iterator[None]:
    """Forget how a test has configured structlog: what others log would be filtered by it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", params=SERVERS, ids=str)
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Give a server of each version that is here: shared, so leave it running and as it was set."""
    with RedisServer(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Give a cluster of three masters of the newest version: shared, so leave it whole."""
    with RedisCluster(SERVERS[-1]) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[SentinelSet]:
    """Give a master, a replica and Sentinels of the newest version: shared, so leave it whole."""
    with SentinelSet(SERVERS[-1]) as sentinels:
        yield sentinels


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    """Give the shared server without data."""
    redis_server.flush()
    return redis_server


@pytest.fixture
def empty_cluster(redis_cluster: RedisCluster) -> RedisCluster:
    """Give the shared cluster without data."""
    redis_cluster.flush()
    return redis_cluster


@pytest.fixture
def empty_sentinel(redis_sentinel: SentinelSet) -> SentinelSet:
    """Give the shared servers behind Sentinels without data."""
    redis_sentinel.flush()
    return redis_sentinel


@pytest.fixture(scope="session", params=POSTGRES, ids=str)
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Give a Postgres of each version that is here: shared, so leave it running."""
    with PostgresServer(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def empty_postgres(postgres_server: PostgresServer) -> Iterator[Callable[[], None]]:
    """Give what empties the tables of the schema `qcore`: faster than to make them anew."""
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as owner:

        def empty() -> None:
            owner.execute(EMPTY)

        yield empty
