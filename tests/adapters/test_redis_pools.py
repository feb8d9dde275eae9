import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from qcore.adapters.links.redis.address import HostPort
from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.cluster import ClusterTransport
from qcore.adapters.links.redis.connection_base import ConnectionSettings
from qcore.adapters.links.redis.pool import AsyncPool, Pool, SyncPool
from qcore.adapters.redis import RedisBroker
from qcore.domain.states import State
from qcore.testing.builders import a_task
from qcore.testing.contract.base import in_threads, step
from qcore.testing.contract.steps import browse_all, ids_of, on_work, put
from tests.adapters.redis_forks import EACH
from tests.adapters.redis_kit import RedisCases, broker_at, teach
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet
from tests.servers.waiting import until

MANY = 40
"""Calls at once."""
KEPT = 16
"""Connections kept for later."""
ROOT = Path(__file__).parents[2]
NAME = "a-test-of-pools"


class TestPools(RedisCases):
    """A link has as many connections as there are calls at once, and keeps a few."""

    @pytest.fixture(autouse=True)
    def _behind_a_proxy(self, empty_redis: RedisServer) -> Iterator[None]:
        self.server = empty_redis
        teach(empty_redis)
        with Proxy(empty_redis.port) as self.proxy:
            self.url = f"{self.proxy.url}?name={NAME}"
            yield

    def connections(self) -> int:
        """Return how many connections of ours the server knows."""
        return connections(self.server)

    async def test_the_server_knows_the_name(self, broker: RedisBroker) -> None:
        """CLIENT LIST shows whose a connection is."""
        await put(broker, a_task())
        assert self.connections() == 1

    async def test_calls_one_after_the_other_share_a_connection(self, broker: RedisBroker) -> None:
        """There is never a second one."""
        for _ in range(50):
            await put(broker, a_task())
        assert self.connections() == self.proxy.connections == 1

    async def test_calls_at_once_have_a_connection_each(self, broker: RedisBroker) -> None:
        """There are as many as calls, no more; and afterwards as many as are worth keeping."""
        await put(broker, a_task())
        self.proxy.hold()
        with ThreadPoolExecutor(1) as thread:
            most = thread.submit(self._release)
            await self.together([lambda: put(broker, a_task())] * MANY)
            assert most.result() == MANY
        until(lambda: self.connections() <= KEPT, "the rest to be gone")
        await self.together([lambda: put(broker, a_task())] * MANY)
        assert await broker.count() == {"default": {State.PENDING: 2 * MANY + 1}}
        until(lambda: self.connections() <= KEPT, "the rest to be gone")

    def _release(self) -> int:
        until(lambda: self.proxy.connections >= MANY, "a connection for each call")
        # what is on its way would be here by now
        most = self.proxy.connections
        self.proxy.release()
        return most

    async def test_a_link_that_is_closed_leaves_no_connection(self) -> None:
        """Neither it nor its subscription; and what is called later connects again."""
        async with self.opened() as broker:
            await self.together([lambda: put(broker, a_task())] * MANY)
            subscription = await on_work(broker, ["default"], lambda: None)
            await subscription.close()
            await broker.close()
            until(lambda: self.connections() == 0, "no connection")
            await put(broker, a_task())
        until(lambda: self.connections() == 0, "no connection")

    async def test_a_call_that_was_cancelled_leaves_no_answer_behind(
        self, broker: RedisBroker
    ) -> None:
        """Who gets a connection gets no answer to what somebody else has asked."""
        if self.blocking:
            return
        await put(broker, *(tasks := [a_task() for _ in range(3)]))
        self.proxy.hold()
        calls = [asyncio.ensure_future(broker.count()) for _ in range(3)]
        await asyncio.to_thread(until, lambda: self.proxy.connections == 3, "three connections")
        for call in calls:
            call.cancel()
        assert await asyncio.gather(*calls, return_exceptions=True)
        self.proxy.release()
        for _ in range(3):
            assert ids_of(await browse_all(broker, State.PENDING)) == ids_of(tasks)


class TestPoolsThatBlock(TestPools):
    """It is the same over the link that blocks."""

    blocking = True


def connections(server: RedisServer, name: str = NAME) -> int:
    """Return how many connections of a name a server knows."""
    return str(server.cli("CLIENT", "LIST")).count(f"name={name} ")


def test_one_broker_may_be_used_on_several_loops(empty_redis: RedisServer) -> None:
    """Each has connections of its own: one after the other, and at the same time."""
    broker = broker_at(f"{empty_redis.url}?name={NAME}")

    async def use() -> None:
        await asyncio.gather(*(put(broker, a_task()) for _ in range(5)))
        await broker.close()

    asyncio.run(use())
    asyncio.run(use())
    in_threads([lambda: asyncio.run(use())] * 4)
    assert step(broker.blocking().count()) == {"default": {State.PENDING: 30}}
    step(broker.blocking().close())
    until(lambda: connections(empty_redis) == 0, "no connection")


def test_a_loop_that_is_gone_takes_its_connections_along(empty_redis: RedisServer) -> None:
    """Who forgets to close it on one loop after the other has one connection left, to be closed."""
    broker = broker_at(f"{empty_redis.url}?name={NAME}")
    for _ in range(10):
        asyncio.run(put(broker, a_task()))
    until(lambda: connections(empty_redis) == 1, "one connection")
    asyncio.run(broker.close())
    until(lambda: connections(empty_redis) == 0, "no connection")


async def test_more_calls_than_connections_take_turns(empty_redis: RedisServer) -> None:
    """Sixty-four at once on a loop; who waits and is cancelled keeps nobody else waiting."""
    teach(empty_redis)
    with Proxy(empty_redis.port) as proxy:
        broker = broker_at(proxy.url)
        await put(broker, a_task())
        proxy.hold()
        calls = [asyncio.ensure_future(put(broker, a_task())) for _ in range(200)]
        await asyncio.to_thread(until, lambda: proxy.connections == 64, "as many as may be")
        for call in calls[100:150]:
            call.cancel()
        await asyncio.sleep(0)
        proxy.release()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in answers].count(True) == 50
        assert await broker.count() == {"default": {State.PENDING: 151}}
        await broker.close()


async def test_a_turn_of_someone_who_goes_is_the_next_ones(empty_redis: RedisServer) -> None:
    """Who is called and cancelled at the same time has not used the room that there is."""
    settings = ConnectionSettings(host="127.0.0.1", port=empty_redis.port)
    pool = AsyncPool(lambda: AsyncSocketConnection(settings))
    channels = [await pool.send([(None, ("PING",))]) for _ in range(64)]
    gone, there = (asyncio.ensure_future(pool.send([(None, ("PING",))])) for _ in range(2))
    await asyncio.sleep(0)
    await channels[0].abandon()
    gone.cancel()
    await asyncio.wait_for(there, 30)
    assert gone.cancelled()
    for channel in (*channels[1:], await there):
        await channel.receive(answers := [])
        assert answers == [b"PONG"]
    await pool.close()


def test_calls_at_once_find_one_master(empty_sentinel: object, redis_sentinel: SentinelSet) -> None:
    """Who asks the Sentinels at the same time shares the connections all the same."""
    broker = broker_at(f"{redis_sentinel.url}?name={NAME}")

    async def use() -> None:
        await asyncio.gather(*(put(broker, a_task()) for _ in range(MANY)))
        assert connections(redis_sentinel.master) <= KEPT
        await broker.close()

    asyncio.run(use())
    everybody = (*redis_sentinel.servers, *redis_sentinel.sentinels)
    until(lambda: sum(map(connections, everybody)) == 0, "no connection")


def test_the_child_of_a_fork_has_connections_of_its_own(empty_redis: RedisServer) -> None:
    """Both go on with a broker that was in use before, at the same time, and lose nothing."""
    command = [sys.executable, "-W", "error", "-m", "tests.adapters.redis_forks", empty_redis.url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    broker = broker_at(empty_redis.url).blocking()
    found = ids_of(step(browse_all(broker, State.PENDING)))
    step(broker.close())
    both = [f"{who}-{n}" for who in ("parent", "child") for n in range(EACH + 1)]
    assert sorted(found) == sorted(["before", *both])


class TestPoolsOfACluster:
    """A transport to a cluster has a pool for each of its nodes."""

    def test_threads_that_come_at_once_share_a_nodes_pool(self) -> None:
        """Nobody is left with a pool of their own, which would never be closed."""
        both = Barrier(2)

        def make(node: HostPort) -> Pool:
            both.wait(30.0)
            return SyncPool(lambda: pytest.fail(f"{node} was connected to"))

        transport = ClusterTransport(make, [("here", 1)])
        first, second = in_threads([lambda: transport.pool_to(("here", 1))] * 2)
        assert first is second
