"""Watch a store: what changes in any queue, gathered, over one subscription for all who watch.

Brokers notify of tasks that have ended or got on, and of work for a queue that had none. Of all
else that changes the sizes of queues, such as claims, they tell nobody, and notifications may be
lost. So who watches calls `count`: an interval after a notification; then again after pauses that
double, from the interval up to the poll, while nothing changes. What one call has cost bounds how
soon the next one comes, so that it takes a small share of the time however many queues there are.

All who watch on one event loop, or on threads, share the subscription to all queues and the counts.
The first of them opens it, the last one closes it, and it is renewed when there are new queues.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

from attrs import define

from qcore.app.client.pauses import Pause, Pauses
from qcore.app.client.store_updates import StoreUpdate, names_in, update_between, whole_update
from qcore.app.client.update_buffer import UpdateBuffer
from qcore.domain.errors import BrokerUnavailable
from qcore.ports import (
    Broker,
    Clock,
    Counts,
    Kinds,
    Notification,
    Subscription,
    TasksChanged,
    WorkAvailable,
)

DEFAULT_INTERVAL: Final = 0.25
DEFAULT_POLL: Final = 2.0
DEFAULT_IDS: Final = 100
MAX_SUBSCRIBED: Final = 1_000
"""Queues whose notifications are listened to; of others a look tells."""
SHARE: Final = 50
"""A look that took a second is followed by one after so many seconds."""
LONGEST: Final = 10.0
"""Seconds between two looks that no cost makes longer."""
TIMED: Final = 8
"""Looks of which the quickest says what one costs: a busy machine delays any of them."""
KINDS: Final[Kinds] = frozenset({TasksChanged, WorkAvailable})


@define(frozen=True)
class Look:
    """What a look at the store has found."""

    at: float
    """When it began, by the monotonic clock."""
    cost: float
    """Seconds that one takes."""
    found: Counts | BrokerUnavailable


class StoreFeed:
    """The subscription and the looks that all share who watch in one scope."""

    def __init__(self, broker: Broker, clock: Clock, pauses: Pauses) -> None:
        self._broker = broker
        self._clock = clock
        self._pauses = pauses
        self._lock = pauses.lock()
        self._buffers: tuple[UpdateBuffer, ...] = ()
        self._subscription: Subscription | None = None
        self._queues: frozenset[str] = frozenset()
        self._last: Look | None = None
        self._costs: deque[float] = deque(maxlen=TIMED)

    async def watch(
        self, interval: float, poll: float, ids: int
    ) -> AsyncGenerator[StoreUpdate, None]:
        """Yield how all queues stand, and then what changes; see `Inspector.watch`."""
        pause = self._pauses.pause()
        buffer = UpdateBuffer(ids, pause.wake)
        await self._join(buffer)
        try:
            async for update in self._updates(buffer, pause, interval, poll):
                yield update
        finally:
            await self._leave(buffer)

    async def _updates(
        self, buffer: UpdateBuffer, pause: Pause, interval: float, poll: float
    ) -> AsyncGenerator[StoreUpdate, None]:
        seen: Counts | None = None
        longest = interval
        is_first = True
        while True:
            gathered = buffer.take()
            look = await self._look(interval / 2)
            if isinstance(look.found, BrokerUnavailable):
                if is_first:
                    raise look.found
                if seen is not None:
                    yield StoreUpdate(self._clock.now(), (), outage=str(look.found))
                seen = None
            else:
                now = self._clock.now()
                update = (
                    whole_update(now, look.found)
                    if seen is None
                    else update_between(now, seen, look.found, gathered)
                )
                seen = look.found
                if update.queues or update.is_whole:
                    longest = interval
                    yield update
            is_first = False
            least = max(interval, min(LONGEST, look.cost * SHARE))
            pause.clear()
            if not buffer.is_told:
                await pause.wait(max(longest, least))
            longest = interval if buffer.is_told else min(poll, longest * 2)
            if buffer.is_told:
                # what comes together is looked at together
                await self._clock.sleep(least)

    async def _look(self, fresh: float) -> Look:
        """Return what is in the store, as of at most so many seconds ago."""
        async with self._lock:
            began = self._clock.monotonic()
            if self._last is None or began - self._last.at >= fresh:
                found = await self._found()
                self._costs.append(self._clock.monotonic() - began)
                self._last = Look(began, min(self._costs), found)
            return self._last

    async def _found(self) -> Counts | BrokerUnavailable:
        try:
            counts = await self._broker.count()
            await self._subscribe(names_in(counts, self._queues, MAX_SUBSCRIBED))
        except BrokerUnavailable as error:
            return error
        return counts

    async def _subscribe(self, queues: frozenset[str]) -> None:
        """Subscribe to these queues, unless that is so; first to more, then no more to fewer."""
        if queues <= self._queues or not self._buffers:
            return
        before = self._subscription
        self._subscription = await self._broker.subscribe(sorted(queues), KINDS, self._notify)
        self._queues = queues
        if before is not None:
            await before.close()

    def _notify(self, notification: Notification) -> None:
        for buffer in self._buffers:
            buffer.notify(notification)

    async def _join(self, buffer: UpdateBuffer) -> None:
        async with self._lock:
            self._buffers = (*self._buffers, buffer)

    async def _leave(self, buffer: UpdateBuffer) -> None:
        async with self._lock:
            self._buffers = tuple(each for each in self._buffers if each is not buffer)
            if self._buffers:
                return
            subscription, self._subscription = self._subscription, None
            self._queues, self._last = frozenset(), None
            if subscription is not None:
                # the broker may have been closed before
                with suppress(BrokerUnavailable):
                    await subscription.close()


class StoreFeeds:
    """The feeds of one inspector: one for each event loop, or one for all threads."""

    def __init__(self, broker: Broker, clock: Clock, pauses: Pauses) -> None:
        self._broker = broker
        self._clock = clock
        self._pauses = pauses
        self._by_scope: WeakKeyDictionary[object, StoreFeed] = WeakKeyDictionary()

    def current(self) -> StoreFeed:
        """Return the feed of the caller's scope."""
        scope = self._pauses.scope()
        feed = self._by_scope.get(scope)
        if feed is None:
            new = StoreFeed(self._broker, self._clock, self._pauses)
            feed = self._by_scope.setdefault(scope, new)
        return feed
