from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Heard

import pytest
from redis.exceptions import BusyLoadingError, RedisError

from qcore import BrokerUnavailable
from qcore.adapters.redis import RedisBroker
from qcore.domain.states import State
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import browse_all, ids_of, on_work, put, take
from tests.adapters.asking import every_server
from tests.adapters.redis_kit import Pauses, RedisCases, pauses, teach
from tests.servers.binaries import Binary
from tests.servers.ports import free_port
from tests.servers.proxy import Proxy
from tests.servers.redis import HOST, RedisServer
from tests.servers.waiting import until

__all__ = ["pauses"]

MANY = 12
"""Calls at once."""
SLOW = ("key-load-delay 50000", "rdbcompression no")
"""Configuration of a server that takes 50 ms to load a key."""
LARGE = 2_200_000
"""Bytes of a key behind which a server that loads looks who is there."""


class TestLostConnections(RedisCases):
    """Who calls next gets another connection, as soon as there is one to be had."""

    @pytest.fixture(autouse=True)
    def _behind_a_proxy(self, empty_redis: RedisServer, pauses: Pauses) -> Iterator[None]:
        self.pauses = pauses
        teach(empty_redis)
        with Proxy(empty_redis.port) as self.proxy:
            self.url = self.proxy.url
            yield

    @pytest.mark.parametrize("reset", [True, False], ids=["reset", "ended"])
    async def test_one_that_was_dropped_while_idle_is_replaced(
        self, broker: RedisBroker, *, reset: bool
    ) -> None:
        """Nobody notices, whichever way the server left."""
        await put(broker, first := a_task())
        self.proxy.cut(reset=reset)
        await put(broker, second := a_task())
        assert len(self.pauses.taken) <= 1
        assert ids_of(await browse_all(broker, State.PENDING)) == [first.id, second.id]

    async def test_all_that_were_dropped_while_idle_are_replaced_at_once(
        self, broker: RedisBroker
    ) -> None:
        """A server that restarts drops as many as there were calls at once."""
        await put(broker, a_task())
        self.proxy.hold()
        with ThreadPoolExecutor(1) as thread:
            released = thread.submit(self._release)
            await self.together([lambda: put(broker, a_task())] * MANY)
            released.result()
        self.proxy.cut()
        self.pauses.taken.clear()
        await put(broker, a_task())
        assert len(self.pauses.taken) <= 1

    def _release(self) -> None:
        until(lambda: self.proxy.connections >= MANY, "a connection for each call")
        self.proxy.release()

    async def test_a_server_that_refuses_is_asked_again_and_again(
        self, broker: RedisBroker
    ) -> None:
        """Each time a little later, and at random, so that not all come back in one moment."""
        await put(broker, a_task())
        self.proxy.refuse()
        self.proxy.cut()
        self.pauses.meanwhile += [lambda: None] * 4 + [self.proxy.accept]
        await put(broker, a_task())
        assert await broker.count() == {"default": {State.PENDING: 2}}
        assert len(self.pauses.taken) == 5
        assert len(set(self.pauses.taken)) > 1
        for n, pause in enumerate(self.pauses.taken):
            assert 0.01 <= pause <= 0.05 * 2**n

    async def test_a_server_that_stays_away_is_asked_until_the_time_is_over(
        self, broker: RedisBroker
    ) -> None:
        """The call ends with an error that names the server, and the link is as good as before."""
        await put(broker, a_task())
        self.proxy.refuse()
        self.proxy.cut()
        with pytest.raises(BrokerUnavailable, match=f"^redis://{HOST}:{self.proxy.port}/0: noth"):
            await put(broker, a_task())
        # the usual timeout is 5 s
        assert 2 < sum(self.pauses.taken) <= 5
        self.proxy.accept()
        await put(broker, a_task())
        assert await broker.count() == {"default": {State.PENDING: 2}}

    async def test_who_opens_is_told_at_once(self) -> None:
        """A wrong address is no reason to wait."""
        self.proxy.refuse()
        with pytest.raises(BrokerUnavailable, match="nothing listens there"):
            async with self.opened():
                raise AssertionError
        assert self.pauses.taken == []

    async def test_to_ask_for_the_time_may_fail(self, broker: RedisBroker) -> None:
        """When it should be asked for again, whoever calls is answered all the same."""
        await put(broker, a_task())
        right = broker.time()
        # this machine's clock runs ahead
        self.pauses.taken.append(61.0)
        self.proxy.cut()
        cut = self.proxy.cut_reply(lambda request: b"TIME" in request)
        await put(broker, a_task())
        assert cut.wait(self.patience)
        assert broker.time() - right > 60
        await put(broker, a_task())
        assert broker.time() - right < 60
        assert await broker.count() == {"default": {State.PENDING: 3}}

    async def test_an_ear_that_was_cut_off_listens_again(self, broker: RedisBroker) -> None:
        """It says so, as something may have been missed; then it hears as before."""
        heard = Heard()
        subscription = await on_work(broker, ["default"], heard.set)
        assert await self.comes(heard)
        for _ in range(3):
            heard.clear()
            self.proxy.cut()
            assert await self.comes(heard)
        heard.clear()
        await put(broker, a_task())
        assert await self.comes(heard)
        await subscription.close()

    async def test_a_broker_that_is_closed_listens_no_longer(self, broker: RedisBroker) -> None:
        """Neither does a subscription that nobody closed keep its thread, nor its connection."""
        await on_work(broker, ["default"], lambda: None)
        assert self.proxy.connections == 2
        await broker.close()
        until(lambda: self.proxy.connections == 0, "the end of all connections")


class TestLostConnectionsOfTheBlockingLink(TestLostConnections):
    """It is the same over the link that blocks."""

    blocking = True


class TestTroubleThatPasses(RedisCases):
    """What a server cannot do now it is asked for until it can."""

    @pytest.fixture(autouse=True)
    def _own_pauses(self, pauses: Pauses) -> None:
        self.pauses = pauses

    @every_server
    async def test_a_server_that_loads_its_data(self, binary: Binary) -> None:
        """A call waits until it has loaded them."""
        with RedisServer(binary, *SLOW) as server:
            self.url = server.url
            async with self.opened() as broker:
                await put(broker, first := a_task())
                for n in range(14):
                    server.cli("SETRANGE", f"large-{n}", LARGE, "x")
                server.cli("SAVE")
                server.kill()
                server.launch()
                until(lambda: _is_loading(server), "a server that loads")
                self.pauses.meanwhile.append(server.wait)
                await put(broker, second := a_task())
                assert len(self.pauses.taken) == 1
                assert ids_of(await browse_all(broker, State.PENDING)) == [first.id, second.id]

    @every_server
    async def test_a_server_that_is_a_replica_for_a_while(self, binary: Binary) -> None:
        """As in a failover: a call waits until it is a master."""
        with RedisServer(binary) as server:
            self.url = server.url
            async with self.opened() as broker:
                await put(broker, first := a_task())
                server.cli("REPLICAOF", HOST, free_port())
                promote = "REPLICAOF", "NO", "ONE"
                self.pauses.meanwhile += [lambda: None, lambda: server.cli(*promote)]
                await put(broker, second := a_task())
                assert len(self.pauses.taken) == 2
                assert ids_of(await browse_all(broker, State.PENDING)) == [first.id, second.id]

    @every_server
    async def test_a_server_that_was_restarted(self, binary: Binary) -> None:
        """Between two calls or in the middle of one: it has lost the scripts, and is told them."""
        with RedisServer(binary, "appendonly yes", "appendfsync always") as server:
            self.url = server.url
            async with self.opened() as broker:
                await put(broker, a_task())
                server.kill()
                server.start()
                await put(broker, a_task())
                server.kill()
                self.pauses.meanwhile += [lambda: None, server.start]
                await put(broker, a_task())
                assert len(await take(broker, now=NOW)) == 3


class TestTroubleThatPassesOverTheBlockingLink(TestTroubleThatPasses):
    """It is the same over the link that blocks."""

    blocking = True


def _is_loading(server: RedisServer) -> bool:
    try:
        server.cli("PING")
    except BusyLoadingError:
        return True
    except RedisError:
        pass
    return False
