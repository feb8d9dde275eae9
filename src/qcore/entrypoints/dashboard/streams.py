"""Live pages: every browser is told of changes by a stream, and all streams share one watch.

The watch begins with the first stream and ends with the last. It runs in a task of its own, because
a stream ends by being cancelled, over and over until it is gone, and could not close a watch then.

Servers wait for open connections before they end, and tell an application of its end only after
that. So the streams end themselves: `close` does it, which `qcore dashboard` calls at a signal, and
in another server server_signals.py sees that a signal has come. Where neither is so, as in a server
that runs in a thread, the life of a stream bounds it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

from qcore.app.client.inspector import Inspector
from qcore.app.client.store_updates import StoreUpdate
from qcore.domain.errors import BrokerUnavailable, StoreMissing
from qcore.entrypoints.dashboard.refusals import TooMany
from qcore.entrypoints.dashboard.server_signals import SERVER_SIGNALS
from qcore.log.logger import get_logger

TICK: Final = 0.25
"""Seconds between two questions whether the server is leaving."""
HEARTBEAT: Final = 15.0
"""Seconds: a proxy ends connections that say nothing, most after a minute."""
LIFE: Final = 300.0
"""Seconds after which a browser has to ask again: its rights may have changed."""
MOST: Final = 200
"""Streams at a time: each is a connection of the server."""
OPENED: Final = b"retry: 3000\nevent: opened\ndata: 1\n\n"
CHANGED: Final = b"event: changed\ndata: 1\n\n"
AWAY: Final = b"event: away\ndata: 1\n\n"
BEAT: Final = b": still here\n\n"
IsSeen = Callable[[str], bool]
LOOK: Final = StoreUpdate(0.0, (), is_whole=True)


class Stream:
    """What one browser is told: that something it may see has changed, and never what."""

    def __init__(self, is_seen: IsSeen) -> None:
        self._is_seen = is_seen
        self._told = asyncio.Event()
        self._next = b""
        self.is_over = False

    def tell(self, update: StoreUpdate) -> None:
        """Take an update, which is of no concern where none of its queues may be seen."""
        if update.outage is not None:
            self._tell(AWAY)
        elif update.is_whole or any(self._is_seen(each.name) for each in update.queues):
            self._tell(CHANGED)

    def end(self) -> None:
        """End it as soon as it can."""
        self.is_over = True
        self._told.set()

    async def wait(self, seconds: float) -> bytes:
        """Return what there is to be told; nothing after so many seconds without."""
        try:
            async with asyncio.timeout(seconds):
                await self._told.wait()
        except TimeoutError:
            return b""
        self._told.clear()
        told, self._next = self._next, b""
        return told

    def _tell(self, event: bytes) -> None:
        self._next = event
        self._told.set()


class Streams:
    """All streams of a dashboard, over one watch."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._watching: asyncio.Task[None] | None = None
        self._has_looked = False
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def events(
        self, inspector: Inspector, is_seen: IsSeen, most: int | None = None
    ) -> AsyncIterator[bytes]:
        """Return the events of a new stream, which ends with the server; at most so many, if told.

        Raises `TooMany` where there are as many streams as may be.
        """
        if len(self._streams) >= MOST:
            raise TooMany(f"{MOST} pages are live already: this one can be reloaded by hand")
        return self._events(Stream(is_seen), inspector, most)

    async def _events(
        self, stream: Stream, inspector: Inspector, most: int | None
    ) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        ends, quiet_since, sent = clock() + LIFE, clock(), 1
        signals = SERVER_SIGNALS.count
        # not before: whoever leaves before the first event would stay in the set
        self._join(stream, inspector)
        try:
            yield OPENED
            while sent != most and clock() < ends:
                event = await stream.wait(TICK)
                if stream.is_over or self.is_closed or SERVER_SIGNALS.are_leaving_since(signals):
                    return
                if not event and clock() - quiet_since < HEARTBEAT:
                    continue
                sent, quiet_since = sent + bool(event), clock()
                yield event or BEAT
        finally:
            self._leave(stream)

    def close(self) -> None:
        """End all streams, and let none begin that lasts."""
        self.is_closed = True
        for each in self._streams:
            each.end()

    def _join(self, stream: Stream, inspector: Inspector) -> None:
        """Begin a stream. Its page is to look again once what comes later is seen: it is older."""
        self._streams.add(stream)
        SERVER_SIGNALS.hold()
        if self._watching is not None and not self._watching.done():
            if self._has_looked:
                stream.tell(LOOK)
        else:
            self._has_looked = False
            self._watching = asyncio.create_task(self._watch(inspector))

    def _leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        SERVER_SIGNALS.release()
        if not self._streams and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self, inspector: Inspector) -> None:
        try:
            async with aclosing(inspector.watch()) as updates:
                async for update in updates:
                    self._has_looked = True
                    for each in self._streams:
                        each.tell(update)
        except (BrokerUnavailable, StoreMissing):
            # a store that was away from the beginning: the browsers come again
            self._end_all()
        except Exception as error:  # noqa: BLE001  (a stream that tells nothing would look live)
            get_logger().error("the live pages of the dashboard are told nothing", error=str(error))
            self._end_all()

    def _end_all(self) -> None:
        for each in self._streams:
            each.end()
