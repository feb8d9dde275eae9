"""Listening to channels: on the loop of whoever awaits, else on a thread of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from random import SystemRandom
from typing import Final, Protocol, TypeAlias

from redis.exceptions import RedisError

from qcore.adapters.links.inline import stepped
from qcore.adapters.links.redis.interfaces import OnMessage
from qcore.adapters.links.redis.pubsub_connections import Line
from qcore.adapters.links.redis.resp import Reply, Word

QUIET: Final = 30.0
"""Seconds of silence after which the server is asked whether it is still there."""
LONGEST_PAUSE: Final = 2.0


class Ear(Protocol):
    """Who listens from `begin` to `close`."""

    async def begin(self, seconds: float) -> Exception | None:
        """Wait, no longer than that, until it listens; return why it does not if it failed."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...


NewEar: TypeAlias = Callable[[Sequence[str], Callable[[], None], OnMessage], Ear]
"""Return an ear for channels: whom to call after each connection, and for each message."""


class Hearing:
    """Call `on_message` for every message to some channels, `connected` after each connection.

    `connect` makes a line to wherever the messages are now.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Line]],
        channels: Sequence[str],
        connected: Callable[[], None],
        on_message: OnMessage,
    ) -> None:
        self._connect = connect
        self._channels = channels
        self._connected = connected
        self._on_message = on_message
        self.is_over = False
        """Whether nobody wants to hear any more."""
        self._line: Line | None = None
        self._lock = threading.Lock()
        self.error: Exception | None = None
        """What went wrong last, None while it listens."""

    async def go_on(
        self, known: Callable[[], object], pause: Callable[[float], Awaitable[object]]
    ) -> None:
        """Listen until it is over; call `known` whenever it listens or has failed to."""
        failures = 0
        while not self.is_over:
            try:
                await self._attend(known)
            except (RedisError, OSError) as error:
                failures = 0 if self.error is None else failures + 1
                self.error = error
                known()
            # all who lost the same server need not come back in the same moment
            seconds = min(LONGEST_PAUSE, 0.05 * 2**failures)
            await pause(seconds * SystemRandom().uniform(0.5, 1.0))

    async def _attend(self, known: Callable[[], object]) -> None:
        """Listen until the line is lost, or it is over."""
        line = await self._connect()
        try:
            await line.send("SUBSCRIBE", *self._channels)
            for _ in self._channels:
                await line.next()
            self._line = line
            self.error = None
            # before there was a line, anything may have been said
            self._tell(self._connected)
            known()
            while not self.is_over:
                self._hear(await line.next(QUIET) or await _sign_of_life(line))
        finally:
            with self._lock:
                self._line = None
            await line.close()

    async def say(self, *words: Word) -> None:
        """Send a command where messages come now: its answer is heard as they are."""
        # a line that was lost connects again to send
        with self._lock, suppress(RedisError, OSError):
            if self._line is not None:
                await self._line.send(*words)

    def _hear(self, reply: Reply) -> None:
        if reply[0] == b"message":
            _, channel, text = reply
            self._tell(partial(self._on_message, channel.decode(), text))

    def _tell(self, call: Callable[[], None]) -> None:
        # one whose loop has ended has nobody to tell
        if not self.is_over:
            with suppress(RuntimeError):
                call()


async def _sign_of_life(line: Line) -> Reply:
    await line.send("PING")
    return await line.next()


class LoopEar:
    """Listen on the loop of whoever begins: it need not be woken from elsewhere."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._task: asyncio.Task[None] | None = None

    async def begin(self, seconds: float) -> Exception | None:
        """Wait, no longer than that, until it listens; return why it does not if it failed."""
        known = asyncio.Event()
        self._task = asyncio.create_task(self._listen(known), name="qcore-redis-ear")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await known.wait()
        return self._hearing.error

    async def _listen(self, known: asyncio.Event) -> None:
        # a method: while it listens, an ear that nobody holds is there to be closed
        await self._hearing.go_on(known.set, asyncio.sleep)

    async def close(self) -> None:
        """Stop listening, from whichever loop."""
        self._hearing.is_over = True
        if self._task is None:
            return
        loop = self._task.get_loop()
        if loop is asyncio.get_running_loop():
            self._task.cancel()
            await asyncio.wait([self._task])
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._task.cancel)


class ThreadEar:
    """Listen on a thread: whoever is woken may be busy or blocked."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._closed = threading.Event()

    async def begin(self, seconds: float) -> Exception | None:
        """Wait, no longer than that, until it listens; return why it does not if it failed."""
        known = threading.Event()

        def run() -> None:
            stepped(self._hearing.go_on(known.set, self._pause))

        threading.Thread(target=run, name="qcore-redis-ear", daemon=True).start()
        known.wait(seconds)
        return self._hearing.error

    async def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds)

    async def close(self) -> None:
        """Stop listening."""
        self._hearing.is_over = True
        self._closed.set()
        # the answer wakes the thread, which then disconnects
        await self._hearing.say("UNSUBSCRIBE")
