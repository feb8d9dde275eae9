"""Listening to Pub/Sub channels: on the event loop of whoever awaits, else on a thread.

A `ChannelReader` connects, subscribes and passes messages on; after every failure it does so again,
with backoff. Two listeners run it: `LoopListener` as a task, `ThreadListener` on a daemon thread,
where a busy or blocked caller does not keep it from hearing.

That a connection stays is no proof that messages arrive on it: the server may be a master no more.
So a listener is told to subscribe anew when commands have found another server (`renew`), and a
reader that hears nothing asks: every `CHECK_AFTER` seconds whether the server of the commands still
takes writes, every `PING_AFTER` seconds whether its own connection is there.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import SystemRandom
from time import monotonic
from typing import Final, Protocol, TypeAlias

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.redis.errors import mapped
from qcore.adapters.links.redis.interfaces import OnConnected, OnMessage
from qcore.adapters.links.redis.pool import Transport
from qcore.adapters.links.redis.pubsub_connection import PubSubConnection
from qcore.adapters.links.redis.resp import Arg, Reply
from qcore.domain.text import traceback_of
from qcore.log.logger import get_logger

CHECK_AFTER: Final = 0.8
"""Seconds without a message after which a write is tried: a listener that was left with a server
that publishes nothing hears of it within a second."""
PING_AFTER: Final = 30.0
"""Seconds without a message after which the server is asked for a sign of life."""
FIRST_PAUSE: Final = 0.05
MAX_PAUSE: Final = 2.0
RENEWAL_PAUSE: Final = 0.4
"""The longest pause before subscribing anew where that was asked for again and again."""
SHORT_LIVED: Final = 1.0
"""Seconds that a subscription lasts if there is to be no longer pause before the next one."""
NAME: Final = "qcore-redis-listener"
"""Of tasks and threads."""


class ChannelListener(Protocol):
    """Whoever listens from `start` to `close`."""

    async def start(self, seconds: float) -> Exception | None:
        """Wait until it is subscribed, at most so many seconds; return the error if that failed."""
        ...

    def renew(self) -> None:
        """Subscribe anew, wherever messages are by now; from any thread."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...


Check: TypeAlias = Callable[[], Awaitable[None]]
"""Finds out whether the server still takes writes; where it does not, the link leaves it."""
ListenerFactory: TypeAlias = Callable[
    [Transport, Sequence[str], OnConnected, OnMessage, Check], ChannelListener
]
"""Makes a listener at whichever server the transport locates."""


async def no_check() -> None:
    """Check nothing."""


class ChannelReader:
    """Calls `on_message` for each message to some channels, `on_connected` after each connection.

    `connect` returns a connection to wherever the messages are now; `shown` names it in the log.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[PubSubConnection]],
        channels: Sequence[str],
        on_connected: OnConnected,
        on_message: OnMessage,
        shown: str,
        *,
        check: Check = no_check,
    ) -> None:
        self._connect = connect
        self._channels = channels
        self._on_connected = on_connected
        self._on_message = on_message
        self._shown = shown
        self._check = check
        self.is_closed = False
        self._is_renewed = False
        """Whether `renew` was called since the last attempt to subscribe began."""
        self._connection: PubSubConnection | None = None
        self._lock = threading.Lock()
        self._callback_has_failed = False
        self.error: Exception | None = None
        """The last failure, None while it is subscribed."""

    async def run(
        self, attempted: Callable[[], object], pause: Callable[[float], Awaitable[object]]
    ) -> None:
        """Listen until it is closed; call `attempted` whenever it has subscribed or failed to.

        No exception ends it: whoever waits for messages would wait for ever, and not know.
        """
        failures = 0
        while not self.is_closed:
            began, longest = monotonic(), MAX_PAUSE
            try:
                await self._receive_messages(attempted)
            except Exception as error:  # noqa: BLE001  (for what the docstring says)
                if self._is_renewed:
                    # not lost, but closed by us: what its reader raises then does not matter
                    failures = failures + 1 if monotonic() - began < SHORT_LIVED else 0
                    longest = RENEWAL_PAUSE
                else:
                    failures = 0 if self.error is None else failures + 1
                    if type(error) is not type(self.error):
                        self._log("Redis listener reconnects", error)
                    self.error = error
                    attempted()
            # with jitter: those who lost the same server must not all come back at once
            seconds = min(longest, FIRST_PAUSE * 2**failures)
            await pause(seconds * SystemRandom().uniform(0.5, 1.0))

    async def _receive_messages(self, attempted: Callable[[], object]) -> None:
        """Listen until the connection is lost, or the reader closed."""
        self._is_renewed = False
        connection = await self._connect()
        try:
            await connection.send("SUBSCRIBE", *self._channels)
            for _ in self._channels:
                await connection.receive()
            self._connection = connection
            self.error = None
            self._call(self._on_connected)
            attempted()
            await self._dispatch_all(connection)
        finally:
            with self._lock:
                self._connection = None
            await connection.close()

    async def _dispatch_all(self, connection: PubSubConnection) -> None:
        last = monotonic()

        def dispatch(reply: Reply) -> bool:
            nonlocal last
            last = monotonic()
            self._dispatch(reply)
            return not (self.is_closed or self._is_renewed)

        while not self.is_closed:
            if self._is_renewed:
                raise RedisConnectionError("the subscription is to be renewed")
            await connection.deliver(dispatch, min(CHECK_AFTER, PING_AFTER))
            if monotonic() - last >= PING_AFTER:
                dispatch(await _ping(connection))
            elif not self.is_closed:
                await self._check()

    async def renew(self) -> None:
        """Close the connection, now or as soon as it is subscribed, so that another one is made."""
        with self._lock:
            self._is_renewed = True
            closed, self._connection = self._connection, None
            if closed is not None:
                # a fake server's connection wakes its reader by a reply alone
                with suppress(RedisError, OSError):
                    await closed.send("UNSUBSCRIBE")
                await closed.close()

    async def send(self, *args: Arg) -> None:
        """Send a command where messages arrive; its reply arrives among them."""
        # under the lock: a connection that was lost would connect again to send
        with self._lock, suppress(RedisError, OSError):
            if self._connection is not None:
                await self._connection.send(*args)

    def _dispatch(self, reply: Reply) -> None:
        if isinstance(reply, bytes):
            # a PING is answered by a list while there is a subscription (redis.io, PING); without,
            # redis-py has connected again to send it
            raise RedisConnectionError("the subscription was lost")
        if reply[0] == b"message":
            _, channel, content = reply
            self._call(self._on_message, channel.decode(), content)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        if self.is_closed:
            return
        try:
            callback(*args)
        except Exception as error:  # noqa: BLE001  (a callback is not ours)
            # logged once: a callback into an event loop that was closed fails every time
            if not self._callback_has_failed:
                self._log("callback of a Redis listener failed", error)
            self._callback_has_failed = True
        else:
            self._callback_has_failed = False

    def _log(self, event: str, error: Exception) -> None:
        # the processors of a log are not ours either
        with suppress(Exception):
            log = get_logger().bind(server=self._shown)
            if isinstance(error, RedisError | OSError):
                log.warning(event, error=str(mapped(error, self._shown)))
            else:
                # as text: a renderer that is given the error may show the variables of each frame
                log.error(event, stack=traceback_of(error))


async def _ping(connection: PubSubConnection) -> Reply:
    await connection.send("PING")
    return await connection.receive()


class LoopListener:
    """Runs a reader as a task of the loop it was started on."""

    def __init__(self, reader: ChannelReader) -> None:
        self._reader = reader
        self._task: asyncio.Task[None] | None = None
        self._renewal: asyncio.Task[None] | None = None

    async def start(self, seconds: float) -> Exception | None:
        """Wait until it is subscribed, at most so many seconds; return the error if that failed."""
        attempted = asyncio.Event()
        self._task = asyncio.create_task(self._run(attempted), name=NAME)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await attempted.wait()
        return self._reader.error

    async def _run(self, attempted: asyncio.Event) -> None:
        # a method: its task keeps a listener alive that nobody else holds, for the link to close
        await self._reader.run(attempted.set, asyncio.sleep)

    def renew(self) -> None:
        """Subscribe anew, wherever messages are by now; from any thread."""
        if self._task is not None:
            # a loop that was closed has taken its listeners with it
            with suppress(RuntimeError):
                self._task.get_loop().call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        self._renewal = asyncio.create_task(self._reader.renew())

    async def close(self) -> None:
        """Stop listening, from whichever loop."""
        self._reader.is_closed = True
        if self._task is None:
            return
        loop = self._task.get_loop()
        if loop is asyncio.get_running_loop():
            self._task.cancel()
            await asyncio.wait([self._task])
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._task.cancel)


class ThreadListener:
    """Runs a reader over a blocking connection on a daemon thread."""

    def __init__(self, reader: ChannelReader) -> None:
        self._reader = reader
        self._closed = threading.Event()

    async def start(self, seconds: float) -> Exception | None:
        """Wait until it is subscribed, at most so many seconds; return the error if that failed."""
        attempted = threading.Event()

        def run() -> None:
            run_to_end(self._reader.run(attempted.set, self._pause))

        threading.Thread(target=run, name=NAME, daemon=True).start()
        attempted.wait(seconds)
        return self._reader.error

    def renew(self) -> None:
        """Subscribe anew, wherever messages are by now; from any thread."""
        # what waits on another thread for a message finds the connection closed
        run_to_end(self._reader.renew())

    async def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds)

    async def close(self) -> None:
        """Stop listening."""
        self._reader.is_closed = True
        self._closed.set()
        # the reply wakes the thread, which then disconnects
        await self._reader.send("UNSUBSCRIBE")
