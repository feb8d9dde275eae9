"""Who listens at a Redis: on a loop that may end, or on a thread; for as long as it is there."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from qcore.adapters.links.redis import pubsub
from qcore.adapters.redis import RedisBroker
from qcore.testing.builders import a_task
from qcore.testing.contract.steps import on_work, put
from tests.adapters.redis_kit import RedisCases, broker_at
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.servers.waiting import until

OURS = "qcore-redis-listener"
"""What tasks and threads that listen are called."""


class TestSilence(RedisCases):
    """Where nothing is said for long, the server is asked whether it is still there."""

    @pytest.fixture(autouse=True)
    def _soon(self, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(pubsub, "PING_AFTER", 0.05)
        self.server = empty_redis
        with Proxy(empty_redis.port) as self.proxy:
            self.url = f"{self.proxy.url}?timeout=0.5"
            yield

    async def _sees(self, command: str, more: int = 1) -> bool:
        """Return whether the server is soon sent a command so many times more."""
        wanted, seen = self._calls(command) + more, threading.Event()

        def watch() -> None:
            until(lambda: self._calls(command) >= wanted, f"{more} {command}")
            seen.set()

        threading.Thread(target=watch).start()
        return await self.comes(seen)

    def _calls(self, command: str) -> int:
        stats: dict[str, dict[str, int]] = self.server.cli("INFO", "commandstats")
        return sum(v["calls"] for k, v in stats.items() if k.startswith(f"cmdstat_{command}"))

    async def test_a_server_that_answers_is_heard_as_before(self, broker: RedisBroker) -> None:
        """The connection stays, and what is said on it arrives."""
        heard = threading.Event()
        listener = await on_work(broker, ["default"], heard.set)
        assert await self.comes(heard)
        heard.clear()
        assert await self._sees("ping", 3)
        assert not heard.is_set(), "it has connected anew"
        await put(broker, a_task())
        assert await self.comes(heard)
        await listener.close()

    async def test_one_that_does_not_is_left_for_another(self, broker: RedisBroker) -> None:
        """As if the connection were lost: what was said meanwhile may have been missed."""
        heard = threading.Event()
        listener = await on_work(broker, ["default"], heard.set)
        assert await self.comes(heard)
        heard.clear()
        self.proxy.hold()
        # who connects says first who it is
        assert await self._sees("client")
        self.proxy.release()
        assert await self.comes(heard)
        await listener.close()


class TestSilenceOnTheBlockingLink(TestSilence):
    """It is the same over the link that blocks."""

    blocking = True


class TestLoops:
    """Who awaits listens on the loop, which may end before the listener is closed."""

    @pytest.fixture(autouse=True)
    def _behind_a_proxy(self, empty_redis: RedisServer) -> Iterator[None]:
        with Proxy(empty_redis.port) as self.proxy:
            self.broker = broker_at(self.proxy.url)
            yield

    async def _listener(self) -> "asyncio.Task[object]":
        """Return the task that listens; there is no thread that does."""
        assert not any(thread.name == OURS for thread in threading.enumerate())
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == OURS]
        return task

    def test_a_loop_that_ends_takes_its_ears_with_it(self) -> None:
        """To close the broker on another loop finds nothing left to do."""

        async def listen() -> None:
            await self.broker.open()
            await on_work(self.broker, ["default"], lambda: None)
            assert not (await self._listener()).done()

        asyncio.run(listen())
        until(lambda: self.proxy.connections == 1, "the end of what listened")
        asyncio.run(self.broker.close())
        asyncio.run(self.broker.close())

    def test_who_is_closed_on_another_loop_ends_on_its_own(self) -> None:
        """Nothing is heard from then on."""
        begun, go_on = threading.Event(), threading.Event()
        heard: list[str] = []

        async def listen() -> None:
            await on_work(self.broker, ["default"], lambda: heard.append("something"))
            task = await self._listener()
            begun.set()
            await asyncio.wait([task])
            go_on.set()

        async def close() -> None:
            await asyncio.to_thread(begun.wait)
            await self.broker.close()
            assert await asyncio.to_thread(go_on.wait, 10)

        there = threading.Thread(target=asyncio.run, args=[listen()])
        there.start()
        asyncio.run(close())
        there.join()
        assert heard == ["something"], "only that it was connected"
