import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from redis import Redis

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import SCRIPTS
from tests.adapters.redis_kit import RedisCases
from tests.adapters.redis_life import whole_life
from tests.adapters.test_redis_doctor_permissions import documented
from tests.servers.binaries import SERVERS
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer

QUEUES = ("default", "other", "é|", "a:b")
LINE = re.compile(rb"[\d.]+ \[\d+ (?P<who>\S+)\] (?P<words>.*)", re.DOTALL)
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
BY_THE_LIBRARY = {"auth", "client|setname", "client|setinfo", "hello", "info"}
"""Commands with which a connection begins, or that may be refused."""


class TestKeys(RedisCases):
    """Every key that a script touches is one of those it was told."""

    async def test_each_is_declared(self, empty_redis: RedisServer) -> None:
        """Of all that a server is asked from within a script, no key is another one."""
        self.url = empty_redis.url
        with watched(empty_redis) as seen:
            async with self.opened() as broker:
                await whole_life(broker, *QUEUES)
        calls = [*told_apart(seen(), empty_redis)]
        assert {name for name, _, _ in calls} == {script.digest for script in SCRIPTS.values()}
        for _, declared, touched in calls:
            assert touched <= declared

    async def test_each_is_in_the_slot_of_its_queue(self, empty_cluster: RedisCluster) -> None:
        """A cluster refuses what is elsewhere; and each queue is on one node."""
        self.url = empty_cluster.url
        async with self.opened() as broker:
            await whole_life(broker, *QUEUES)
        for node in empty_cluster.masters:
            for key in node.cli("KEYS", "qcore:{*"):
                assert empty_cluster.owner(key) is node
        everything = [key for node in empty_cluster.masters for key in node.cli("KEYS", "*")]
        assert {key for key in everything if ":lane:" not in key} == {
            "qcore:queues",
            *(f"qcore:{{{queue}}}:meta" for queue in QUEUES),
        }

    async def test_a_user_who_may_do_no_more_may_do_it_all(self, own_redis: RedisServer) -> None:
        """The documented rule is enough, and no command of it is too much."""
        rules, _ = documented()
        own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", *rules)
        self.url = own_redis.url.replace("//", "//ann:s3cr3t@")
        own_redis.cli("CONFIG", "RESETSTAT")
        async with self.opened() as broker:
            await whole_life(broker, *QUEUES)
            own_redis.cli("SCRIPT", "FLUSH")
        denied = own_redis.cli("ACL", "LOG")
        assert denied == []
        stats = own_redis.cli("INFO", "commandstats")

    async def test_another_namespace_is_another_world(self, empty_redis: RedisServer) -> None:
        """Nothing of it is under the names of the first, and neither sees the other's tasks."""
        self.url = f"{empty_redis.url}?namespace=other:one"
