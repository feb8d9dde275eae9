from collections.abc import Iterator

import pytest

from qcore import BrokerUnavailable
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import ENQUEUE
from qcore.domain.answers import Conflict
from qcore.domain.states import State
from qcore.errors import BrokerUnusable
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import browse_all, ids_of, put
from tests.adapters.redis_kit import USUAL, Pauses, RedisCases, asks, pauses, teach
from tests.adapters.relay import Relay
from tests.servers.binaries import SERVERS, Binary, valkey
from tests.servers.proxy import Proxy
from tests.servers.redis import HOST, RedisServer
from tests.servers.waiting import until

__all__ = ["pauses"]

WITHOUT_WAITAOF = [binary for binary in SERVERS if binary.version < (7, 2)]
WITH_WAITAOF = [binary for binary in (*SERVERS, valkey()) if binary.version >= (7, 2)]


class TestReplicas(RedisCases):
    """With `replicas=` an enqueue is answered when so many replicas have it."""

    @pytest.fixture(autouse=True, params=SERVERS, ids=str)
    def _with_a_replica(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with RedisServer(request.param) as self.server, RedisServer(request.param) as self.replica:
            self.replica.cli("REPLICAOF", HOST, self.server.port)
            # one that is known need not have begun to follow
            self.server.cli("SET", "a-test", "1")
            until(lambda: self.replica.cli("EXISTS", "a-test"), "a replica that follows")
            self.server.cli("DEL", "a-test")
            self.url = f"{self.server.url}?replicas=1&replica_timeout=2"
            yield

    async def test_what_was_answered_is_on_the_replica(self, broker: RedisBroker) -> None:
        """At once, every task of a batch for several queues."""
        for _ in range(20):
            tasks = [a_task(queue=queue) for queue in "ab" for _ in range(300)]
            await put(broker, *tasks)
            for task in tasks[299::300]:
                assert self.replica.cli("HEXISTS", f"qcore:{{{task.queue}}}:tasks", task.id)

    async def test_a_replica_that_does_not_answer(self) -> None:
        """The error says what was done and what not; asked again, it waits again."""
        self.url = f"{self.server.url}?replicas=1&replica_timeout=1"
        async with self.opened() as broker:
            self.replica.freeze()
            task = a_task()
            for _ in range(2):
                with pytest.raises(BrokerUnavailable, match="is stored there, but 0 of 1 replicas"):
                    await broker.enqueue([task], now=NOW)
            self.replica.thaw()
            has_it = "HEXISTS", "qcore:{default}:tasks", task.id
            until(lambda: self.replica.cli(*has_it), "a replica that has caught up")
            assert await broker.enqueue([task], now=NOW) == [Conflict(task.id, State.PENDING)]
            assert await broker.count() == {"default": {State.PENDING: 1}}

    async def test_too_few_replicas(self) -> None:
        """One is there where two are asked for: it says so, and the task is stored."""
        self.url = f"{self.server.url}?replicas=2&replica_timeout=0.05"
        async with self.opened() as broker:
            with pytest.raises(BrokerUnavailable, match=r"but [01] of 2 replicas have it in time"):
                await broker.enqueue([task := a_task()], now=NOW)
            assert ids_of(await browse_all(broker, State.PENDING)) == [task.id]

    async def test_a_lost_reply_is_waited_for_again(self, pauses: Pauses) -> None:
        """What is answered by another connection is waited for there."""
        teach(self.server)
        with Proxy(self.server.port) as proxy:
            self.url = f"{proxy.url}?replicas=1&replica_timeout=1"
            async with self.opened() as broker:
                await put(broker, a_task())
                cut = proxy.cut_reply(asks(ENQUEUE))
                pauses.meanwhile.append(self.replica.freeze)
                with pytest.raises(BrokerUnavailable, match="0 of 1 replicas"):
                    await put(broker, a_task())
                assert cut.wait(self.patience)
                assert await broker.count() == {"default": {State.PENDING: 2}}


class TestReplicasOverTheBlockingLink(TestReplicas):
    """It is the same over the link that blocks."""

    blocking = True


class TestFiles(RedisCases):
    """With `fsync=` an enqueue is answered when it is on so many disks."""

    @pytest.mark.parametrize("binary", WITHOUT_WAITAOF, ids=str)
    async def test_a_server_that_cannot_say(self, binary: Binary) -> None:
        """One that is too old for WAITAOF is refused when it is opened, with what to do."""
        with RedisServer(binary) as server:
            for fsync in ("local", "1"):
                self.url = f"{server.url}?fsync={fsync}"
                with pytest.raises(
                    BrokerUnusable, match=r"no WAITAOF before 7\.2: leave out fsync"
                ):
                    async with self.opened():
                        raise AssertionError
                with pytest.raises(BrokerUnusable, match="no WAITAOF"):
                    await put(self.broker_of_this_colour(), a_task())
            assert server.cli("DBSIZE") == 0

    def broker_of_this_colour(self) -> RedisBroker:
        broker = self.make_broker(USUAL)
        return broker.blocking() if self.blocking else broker

    @pytest.mark.parametrize(
        ("fsync", "answer", "missing"),
        [
            ("local", b"*2\r\n:1\r\n:0\r\n", None),
            ("local", b"*2\r\n:0\r\n:0\r\n", "0 of 1 append-only files here"),
            ("1", b"*2\r\n:1\r\n:1\r\n", None),
            ("2", b"*2\r\n:1\r\n:1\r\n", "1 of 2 those of replicas"),
            (
                "local",
                b"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
                "set appendonly yes",
            ),
        ],
    )
    async def test_a_server_that_says(
        self, fsync: str, answer: bytes, missing: str | None, empty_redis: RedisServer
    ) -> None:
        """One of version 7.2, as far as we are told: where too few have it, the error says so."""
        teach(empty_redis)
        asked: list[bytes] = []

        def reply(request: bytes) -> bytes | None:
            if b"INFO" in request:
                return bulk(b"redis_version:7.2.0\r\nredis_mode:standalone\r\n")
            if b"WAITAOF" not in request:
                return None
            asked.append(request)
            return answer

        with Relay(empty_redis.port, reply) as relay:
            self.url = f"{relay.url}?fsync={fsync}&replica_timeout=0.25"
            async with self.opened() as broker:
                if missing is None:
                    await put(broker, a_task())
                else:
                    with pytest.raises((BrokerUnavailable, BrokerUnusable), match=missing):
                        await put(broker, a_task())
                assert await broker.count() == {"default": {State.PENDING: 1}}
        assert asked[-1].split(b"\r\n")[4:-1:2] == [
            b"1",
            fsync.replace("local", "0").encode(),
            b"250",
        ]

    @pytest.mark.parametrize("binary", WITH_WAITAOF, ids=str)
    @pytest.mark.parametrize("appends", ["yes", "no"])
    async def test_a_server_that_has_it(self, binary: Binary, appends: str) -> None:
        """It waits for its own file, or says what it would need for that."""
        with RedisServer(binary, f"appendonly {appends}") as server:
            # appendfsync is everysec
            self.url = f"{server.url}?fsync=local&replica_timeout=2"
            async with self.opened() as broker:
                if appends == "yes":
                    await put(broker, task := a_task())
                    # killed at once, it has what was acknowledged
                    server.kill()
                    server.start()
                    assert ids_of(await browse_all(broker, State.PENDING)) == [task.id]
                else:
                    with pytest.raises(BrokerUnusable, match="set appendonly yes"):
                        await put(broker, a_task())


class TestFilesOverTheBlockingLink(TestFiles):
    """It is the same over the link that blocks."""

    blocking = True


def bulk(text: bytes) -> bytes:
    """Return a text as it goes over the wire."""
    return b"$%d\r\n%b\r\n" % (len(text), text)
