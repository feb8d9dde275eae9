import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from qcore.adapters.redis.scripts import SCRIPTS
from qcore.domain.states import State
from qcore.errors import BrokerUnusable
from qcore.testing.builders import a_task
from qcore.testing.contract.base import step
from qcore.testing.contract.states import REACHABLE, bring_to
from qcore.testing.contract.steps import find_task, on_work, put, take
from tests.adapters.redis_kit import RedisCases, teach
from tests.adapters.redis_life import whole_life
from tests.adapters.test_redis_doctor_permissions import documented
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer
from tests.servers.waiting import until

QUEUES = ("default", "é|")
LINE = re.compile(rb"[\d.]+ \[\d+ (?P<who>\S+)\] (?P<words>.*)", re.DOTALL)
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ON_OCCASION = {"hstrlen", "client|setname", "ping", "get", "pexpire", "eval"}
"""Commands that are not sent in every life, or counted under another name."""


class TestKeys(RedisCases):
    """Every key that a script touches is one of those it was told."""

    async def test_each_is_declared(self, empty_redis: RedisServer) -> None:
        """Of all that a server is asked from within a script, no key is another one."""
        self.url = empty_redis.url
        teach(empty_redis)
        with watched(empty_redis) as heard:
            async with self.opened() as broker:
                await whole_life(broker, *QUEUES)
        calls = [*calls_in(heard)]
        assert {script for script, _ in calls} == {script.digest for script in SCRIPTS.values()}
        assert {key for _, undeclared in calls for key in undeclared} == set()

    async def test_each_is_in_the_slot_of_its_queue(self, empty_cluster: RedisCluster) -> None:
        """A cluster refuses what is elsewhere; and each queue is on one node."""
        self.url = empty_cluster.url
        async with self.opened() as broker:
            for state in REACHABLE:
                await bring_to(broker, state, a_task(queue=f"é|{state}"))
        for node in empty_cluster.masters:
            for key in node.cli("KEYS", "qcore:{*"):
                assert empty_cluster.owner(key) is node

    async def test_none_is_left_of_removed_queues(self, empty_cluster: RedisCluster) -> None:
        """Nor a name in the registry, nor what is remembered of this process's requests."""
        self.url = empty_cluster.url
        async with self.opened() as broker:
            await whole_life(broker, *QUEUES)
        everything = [key for node in empty_cluster.masters for key in node.cli("KEYS", "*")]
        assert everything == []

    async def test_a_user_who_may_do_no_more_may_do_it_all(self, own_redis: RedisServer) -> None:
        """The documented rule is enough, and no command of it is too much."""
        rules, _ = documented()
        own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", *rules)
        own_redis.cli("CONFIG", "RESETSTAT")
        own_redis.cli("ACL", "LOG", "RESET")
        self.url = own_redis.url.replace("//", "//ann:s3cr3t@")
        async with self.opened() as broker:
            await whole_life(broker, *QUEUES)
            # to end a listener takes code that blocks a command, and code that awaits none
            subscription = step(on_work(broker.blocking(), ["default"], lambda: None))
            step(subscription.close())
            until(lambda: "cmdstat_unsubscribe" in own_redis.cli("INFO", "commandstats"), "its end")
        stats = own_redis.cli("INFO", "commandstats")
        used = {name.removeprefix("cmdstat_") for name in stats}
        allowed = {rule.removeprefix("+") for rule in rules if rule.startswith("+")}
        # a connection that listens asks after half a minute of silence
        assert allowed - used - ON_OCCASION == set()
        # an introduction, and INFO of a server's version, may be refused
        denied = {entry[entry.index("object") + 1] for entry in own_redis.cli("ACL", "LOG")}
        assert denied <= {"client|setinfo", "client", "info"}

    @pytest.mark.parametrize("rule", ["resetkeys ~qcore:x*", "resetchannels &other:*"])
    async def test_a_user_of_other_keys_is_refused(self, own_redis: RedisServer, rule: str) -> None:
        """The rule is not kept because it allows everything."""
        rules, _ = documented()
        own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", *rules)
        own_redis.cli("ACL", "SETUSER", "ann", *rule.split())
        self.url = own_redis.url.replace("//", "//ann:s3cr3t@")
        with pytest.raises(BrokerUnusable, match="this user lacks a permission"):
            async with self.opened():
                raise AssertionError

    async def test_another_namespace_is_another_world(self, empty_redis: RedisServer) -> None:
        """Nothing of it is under the names of the first, and neither sees the other's tasks."""
        self.url = f"{empty_redis.url}?namespace=other:one"
        async with self.opened() as broker:
            await bring_to(broker, State.COMPLETED)
            await put(broker, task := a_task())
            subscription = await on_work(broker, ["default"], lambda: None)
            assert empty_redis.cli("PUBSUB", "CHANNELS") == ["other:one:{default}:wake"]
            await subscription.close()
            assert empty_redis.cli("KEYS", "*")
            assert empty_redis.cli("KEYS", "qcore*") == []
            mine = await broker.count()
            self.url = empty_redis.url
            async with self.opened() as first:
                assert await first.count() == {}
                assert await take(first) == []
                await whole_life(first, "default")
            assert await broker.count() == mine
            assert await find_task(broker, task) is not None


class TestKeysOfTheBlockingLink(TestKeys):
    """It is the same over the link that blocks."""

    blocking = True


@contextmanager
def watched(server: RedisServer) -> Iterator[list[bytes]]:
    """Give a list; when the block has ended, it has all that the server was asked in it."""
    heard: list[bytes] = []
    with server.client() as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("MONITOR")
        assert connection.read_response() == b"OK"
        yield heard
        server.cli("ECHO", "the end")
        while b"the end" not in (line := connection.read_response()):
            heard.append(line)
        connection.disconnect()
        client.connection_pool.release(connection)


def calls_in(lines: Sequence[bytes]) -> Iterator[tuple[str, set[str]]]:
    """Yield the script of each call, and which keys it has touched that it was not told of."""
    declared: set[str] = set()
    script = ""
    for line in lines:
        found = LINE.fullmatch(line)
        assert found, line
        words = [word.decode("ascii") for word in WORD.findall(found["words"])]
        if found["who"] == b"lua":
            yield script, {key for key in keys_of(words) if key not in declared}
        elif words[0] in {"EVAL", "EVALSHA"}:
            script = words[1]
            declared = set(words[3 : 3 + int(words[2])])


def keys_of(words: Sequence[str]) -> Sequence[str]:
    """Return the keys of a command that a script calls."""
    match words[0]:
        case "PUBLISH":
            return []
        case "EXISTS":
            return words[1:]
        case _:
            return words[1:2]
