"""A place for an SQLite file, and servers that a test may set otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

SETTINGS = "maxmemory", "maxmemory-policy", "min-replicas-to-write", "slowlog-log-slower-than"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a file that is not there yet."""
    return tmp_path / "qcore.db"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Give a server of one version: the scripts are the same on all."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


@pytest.fixture
def own_redis(empty_redis: RedisServer) -> Iterator[RedisServer]:
    """Give a server without data, whose settings and users may be changed while a test runs."""
    before = [empty_redis.cli("CONFIG", "GET", name)[1] for name in SETTINGS]
    empty_redis.cli("SLOWLOG", "RESET")
    yield empty_redis
    empty_redis.cli("REPLICAOF", "NO", "ONE")
    for name, value in zip(SETTINGS, before, strict=True):
        empty_redis.cli("CONFIG", "SET", name, value)
    for user in empty_redis.cli("ACL", "USERS"):
        if user != "default":
            empty_redis.cli("ACL", "DELUSER", user)
