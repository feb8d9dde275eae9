"""Who listens at a Redis: on a loop that may end, or on a thread; for as long as it is there."""

import ast
import asyncio
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as Disconnected
from structlog.testing import capture_logs

import qcore
from qcore.adapters.links.redis import pubsub
from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.connection_base import ConnectionSettings
from qcore.adapters.links.redis.pubsub_connection import AsyncPubSubConnection, PubSubConnection
from qcore.adapters.links.redis.resp import Reply
from qcore.adapters.redis import RedisBroker
from qcore.testing.builders import a_task
from qcore.testing.contract.base import step
from qcore.testing.contract.steps import on_work, put, take
from tests.adapters.redis_kit import RedisCases, broker_at
from tests.servers.proxy import Proxy
from tests.servers.redis import HOST, RedisServer
from tests.servers.waiting import until

PATIENCE = 30.0
OURS = "qcore-redis-listener"
"""What tasks and threads that listen are called."""


class TestSilence(RedisCases):
    """Where nothing is said for long, the server is asked whether it is still there."""

    @pytest.fixture(autouse=True)
    def _soon(self, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(pubsub, "PING_AFTER", 0.05)
        self.server = empty_redis
        with Proxy(empty_redis.port) as self.proxy:
            self.url = f"{self.proxy.url}?timeout=2"
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
            assert await asyncio.to_thread(go_on.wait, 30)

        there = threading.Thread(target=asyncio.run, args=[listen()])
        there.start()
        asyncio.run(close())
        there.join()
        assert heard == ["something"], "only that it was connected"


DESCRIPTORS = 1_100
"""More than select() can tell apart: FD_SETSIZE is 1,024."""


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """A process that has as many files open as a busy web server has sockets."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * DESCRIPTORS, most))
    with ExitStack() as files:
        for _ in range(DESCRIPTORS):
            files.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))


@pytest.mark.usefixtures("many_open_files")
class TestManyOpenFiles(RedisCases):
    """A socket whose descriptor is beyond 1,024 is heard on as any other is."""

    @pytest.fixture(autouse=True)
    def _soon(self, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pubsub, "PING_AFTER", 0.05)
        self.url = empty_redis.url

    async def test_a_listener_hears(self, broker: RedisBroker) -> None:
        """What is said, and what is said after some silence, on the connection that it has."""
        heard = threading.Event()
        with capture_logs() as logs:
            listener = await on_work(broker, ["default"], heard.set)
            assert await self.comes(heard)
            for _ in range(2):
                heard.clear()
                await put(broker, a_task())
                assert await self.comes(heard)
                # for whoever has not taken what there is, more of it is no news
                await take(broker)
            await listener.close()
        assert logs == []


class TestManyOpenFilesOnTheBlockingLink(TestManyOpenFiles):
    """It is the same over the link that blocks."""

    blocking = True


def test_nothing_waits_by_select() -> None:
    """It cannot tell descriptors beyond 1,024 apart, nor can redis-py 8.0's `can_read`, on it.

    `select.poll` can.
    """
    package = Path(qcore.__file__).parent
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "select"), file
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) != "select.select", file
                assert node.attr != "can_read", file


MESSAGE = [b"message", b"news", b"said"]
SUBSCRIBED = [b"subscribe", b"news", 1]


class Scripted(PubSubConnection):
    """Connections that receive what is written down for each, and then nothing."""

    def __init__(self, *scripts: list[Reply | Exception]) -> None:
        self.scripts = [iter(script) for script in scripts]
        self.connected = 0
        self.closed = 0
        self.over = threading.Event()

    async def connect(self) -> "Scripted":
        self.connected += 1
        if self.scripts:
            self.current = self.scripts.pop(0)
        return self

    async def send(self, *args: object) -> None:
        if args == ("UNSUBSCRIBE",):
            self.over.set()

    async def receive(self, seconds: float | None = None) -> Reply:
        reply = next(self.current, None)
        if isinstance(reply, Exception):
            raise reply
        return await self.wait() if reply is None else reply

    async def wait(self) -> Reply:
        self.over.wait(PATIENCE)
        return [b"unsubscribe", b"news", 0]

    async def close(self) -> None:
        self.closed += 1


class ScriptedOnALoop(Scripted):
    """The same, where waiting leaves the loop to others."""

    async def wait(self) -> Reply:
        return await asyncio.get_running_loop().create_future()


class TestFailures:
    """Nothing ends a listener but that it is closed; and what went wrong is in the log."""

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(pubsub, "FIRST_PAUSE", 0.001)
        with capture_logs() as self.logs:
            yield

    def listen(
        self, script: Scripted, on_message: Callable[[str, bytes], None]
    ) -> pubsub.ThreadListener:
        """Return a listener on a thread, that has subscribed or failed to."""
        reader = pubsub.ChannelReader(
            script.connect, ["news"], lambda: None, on_message, "redis://db"
        )
        listener = pubsub.ThreadListener(reader)
        step(listener.start(PATIENCE))
        return listener

    @pytest.mark.parametrize(
        "error",
        [ValueError("filedescriptor out of range"), ZeroDivisionError(), Disconnected("gone")],
        ids=repr,
    )
    def test_whatever_a_connection_raises_the_next_one_is_heard(self, error: Exception) -> None:
        """Redis's errors, the system's, a parser's, and those that nobody has thought of."""
        heard = threading.Event()
        script = Scripted([SUBSCRIBED, error], [error], [SUBSCRIBED, MESSAGE])
        listener = self.listen(script, lambda _channel, _content: heard.set())
        assert heard.wait(PATIENCE)
        step(listener.close())
        until(lambda: script.closed == script.connected == 3, "three connections to be closed")
        assert [line["event"] for line in self.logs] == ["Redis listener reconnects"]
        assert self.logs[0]["server"] == "redis://db"

    def test_a_callback_that_fails_is_called_again(self) -> None:
        """On the same connection: it was not to blame. It is told of once, until one succeeds."""
        heard, calls = threading.Event(), iter([True, True, False, True, False])

        def on_message(channel: str, content: bytes) -> None:
            assert (channel, content) == ("news", b"said")
            left.append(1)
            if next(calls):
                raise KeyError("whatever a user's code raises")
            if len(left) == 5:
                heard.set()

        left: list[int] = []
        script = Scripted([SUBSCRIBED, *[MESSAGE] * 5])
        listener = self.listen(script, on_message)
        assert heard.wait(PATIENCE)
        step(listener.close())
        assert script.connected == 1
        assert [line["event"] for line in self.logs] == ["callback of a Redis listener failed"] * 2

    def test_a_message_that_cannot_be_read_is_followed_by_the_next_connection(self) -> None:
        """What is no message of Redis's raises where it is taken apart."""
        heard = threading.Event()
        script = Scripted([SUBSCRIBED, [b"message", b"news"]], [SUBSCRIBED, MESSAGE])
        listener = self.listen(script, lambda _channel, _content: heard.set())
        assert heard.wait(PATIENCE)
        step(listener.close())
        assert [line["event"] for line in self.logs] == ["Redis listener reconnects"]

    def test_a_connection_that_lost_its_subscription_is_followed_by_the_next(self) -> None:
        """One that was made anew to send a PING is answered as if it had never subscribed."""
        heard = threading.Event()
        script = Scripted([SUBSCRIBED, b"PONG"], [SUBSCRIBED, MESSAGE])
        listener = self.listen(script, lambda _channel, _content: heard.set())
        assert heard.wait(PATIENCE)
        step(listener.close())
        assert [line["event"] for line in self.logs] == ["Redis listener reconnects"]

    def test_who_is_to_subscribe_anew_does_so_and_nothing_has_failed(self) -> None:
        """The connection is closed, and the next one is heard; there is nothing to log."""
        heard = threading.Event()
        script = Scripted([SUBSCRIBED], [SUBSCRIBED, MESSAGE])
        listener = self.listen(script, lambda _channel, _content: heard.set())
        listener.renew()
        assert heard.wait(PATIENCE)
        step(listener.close())
        until(lambda: script.closed > script.connected == 2, "both connections to be closed")
        assert self.logs == []

    async def test_it_is_the_same_on_a_loop(self) -> None:
        """A task goes on as a thread does."""
        heard = asyncio.Event()
        script = ScriptedOnALoop([SUBSCRIBED, ValueError("no")], [SUBSCRIBED, MESSAGE])
        reader = pubsub.ChannelReader(
            script.connect, ["news"], lambda: None, lambda _channel, _content: heard.set(), "db"
        )
        listener = pubsub.LoopListener(reader)
        await listener.start(PATIENCE)
        await asyncio.wait_for(heard.wait(), PATIENCE)
        await listener.close()
        assert [line["event"] for line in self.logs] == ["Redis listener reconnects"]

    @pytest.mark.parametrize(
        "junk",
        [b"?\r\n", b"-ERR no\r\n", b"+PONG\r\n", b"*2\r\n$7\r\nmessage\r\n$4\r\nnews\r\n", b""],
        ids=["no RESP", "an error reply", "no subscription", "no message", "the end"],
    )
    async def test_what_a_socket_brings_that_is_no_message_is_followed_by_the_next(
        self, junk: bytes
    ) -> None:
        """On the loop replies are passed on where they are read, and failures to who listens."""
        subscribed = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        message = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$4\r\nsaid\r\n"
        scripts = [subscribed + message * 2, subscribed + message + junk]

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"news\r\n")
            writer.write(scripts.pop())
            if junk or not scripts:
                await reader.read()
            writer.close()

        heard: list[bytes] = []
        has_heard = asyncio.Event()

        def on_message(_channel: str, content: bytes) -> None:
            heard.append(content)
            if len(heard) == 3:
                has_heard.set()

        async with await asyncio.start_server(answer, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]

            async def connect() -> PubSubConnection:
                made = AsyncSocketConnection(ConnectionSettings(host=HOST, port=port))
                await made.connect()
                return AsyncPubSubConnection(made)

            reader = pubsub.ChannelReader(connect, ["news"], lambda: None, on_message, "db")
            listener = pubsub.LoopListener(reader)
            await listener.start(PATIENCE)
            await asyncio.wait_for(has_heard.wait(), PATIENCE)
            await listener.close()
        assert heard == [b"said"] * 3
        assert [line["event"] for line in self.logs] == ["Redis listener reconnects"]
