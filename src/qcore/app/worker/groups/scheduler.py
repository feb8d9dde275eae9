"""Aggregate the groups of a worker's queues, each when it is ready."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from qcore.app.calls.name_patterns import PREFIX_ENDS_WITH
from qcore.app.client.wakeup import Wakeup, first
from qcore.app.tasks.aggregators import AggregationTiming, Aggregator, Aggregators
from qcore.app.worker.failure_backoff import FailureBackoff
from qcore.app.worker.groups.aggregation import AggregationRunner, AggregatorTimedOut
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.domain.events import AggregationFailed, NoAggregator
from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Aggregating, Clock

PAGE: Final = 1_000
"""Groups that are looked at in one call."""
AT_A_TIME: Final = 10
"""Groups in hand."""
LONGEST_IDLE: Final = 5.0
"""Seconds after which a worker looks again for groups, though nobody woke it."""
LONGEST_WAIT: Final = 1.0
"""Seconds after which it does while members wait: there may be enough of them."""
BREATH: Final = 0.2
"""Seconds between two looks, however often somebody wakes it."""
MOST_OF_IT: Final = 3.0
"""How much longer than a look it rests, where looking itself takes long."""
CANCEL_TIMEOUT: Final = 1.0
"""Seconds that an aggregator has to end after it was cancelled."""
LONGEST_SETBACK: Final = 300.0
"""Seconds after which a group that could not be aggregated is tried again."""
WARNED: Final = 1_000

Key: TypeAlias = tuple[str, str]
"""A queue, and a group."""


class GroupScheduler:
    """Look at groups, and have those made into tasks that are ready."""

    def __init__(
        self,
        queues: Sequence[str],
        aggregators: Aggregators,
        timing: AggregationTiming,
        runner: AggregationRunner,
        *,
        broker: Aggregating,
        clock: Clock,
        dice: Dice,
        retrying: Retrying,
        emit: Instruments,
        leaving: asyncio.Event,
        is_paused: Callable[[], bool],
    ) -> None:
        self._queues = queues
        self._aggregators = aggregators
        self._defaults = timing
        self._runner = runner
        self._broker = broker
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._leaving = leaving
        self._is_paused = is_paused
        self._wakeup = Wakeup(asyncio.get_running_loop())
        self._room = asyncio.Semaphore(AT_A_TIME)
        self._in_hand: dict[Key, asyncio.Task[None]] = {}
        self._backoff: FailureBackoff[Key] = FailureBackoff(clock, dice, longest=LONGEST_SETBACK)
        self._warned: set[Key] = set()
        self._made = 0
        self._has_more = False
        """Whether a group was too large for one task: the rest of it need not wait."""
        self._waits = False
        """Whether there are members that can be aggregated here."""
        self._next: Moment | None = None
        self._spent = 0.0
        self.next_ready: Moment | None = None
        """When the next group is ready, of those that have not failed, as of the last look."""

    def wake(self) -> None:
        """Say that there may be something new; from any thread."""
        self._wakeup()

    async def serve(self) -> None:
        """Aggregate what is ready, until it is time to leave; then leave the rest as it is."""
        try:
            with suppress(GaveUp):
                while not self._leaving.is_set():
                    if self._is_paused():
                        await first(self._wakeup.wait(), self._leaving.wait())
                        continue
                    self._wakeup.forget()
                    await self._look()
                    await self._rest()
        finally:
            await self.close()

    async def once(self) -> int:
        """Aggregate what is ready now; return how many tasks that made."""
        before = self._made
        with suppress(GaveUp):
            await self._look()
        await first(self._done(), self._leaving.wait())
        return self._made - before

    async def close(self) -> None:
        """Leave what is in hand as it is."""
        hands = list(self._in_hand.values())
        for hand in hands:
            hand.cancel()
        if hands:
            await asyncio.wait(hands, timeout=CANCEL_TIMEOUT)

    # --- look ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Begin with what is ready, and learn when the next is."""
        self._next = self.next_ready = None
        self._waits = self._has_more = False
        self._spent = 0.0
        for queue in self._queues:
            async for group in self._groups(queue):
                await self._consider(group)

    async def _groups(self, queue: str) -> AsyncIterator[Group]:
        """Give the groups of a queue, page by page."""
        after = ""
        while not self._leaving.is_set():
            began = self._clock.now()
            page = await self._page(queue, after)
            self._spent += self._clock.now() - began
            for group in page:
                yield group
            if len(page) < PAGE:
                return
            after = page[-1].name

    async def _page(self, queue: str, after: str) -> Sequence[Group]:
        return await self._retrying.call(
            "groups",
            lambda: self._broker.groups(queue, PAGE, after=after),
            unless=self._leaving,
        )

    async def _consider(self, group: Group) -> None:
        """Begin with a group that is ready, or note when it is."""
        aggregator = self._aggregators.resolve(group.queue, group.name)
        if aggregator is None:
            self._warn(group)
            return
        self._waits = True
        key = group.queue, group.name
        if key in self._in_hand:
            return
        timing = aggregator.timing(self._defaults)
        ready, again = timing.moment(group), self._backoff.until(key)
        if max(ready, again) <= self._clock.now():
            await self._begin(key, group, aggregator, timing.limit)
            return
        self._next = _earlier(self._next, max(ready, again))
        if key not in self._backoff:
            self.next_ready = _earlier(self.next_ready, ready)

    def _warn(self, group: Group) -> None:
        """Tell of a group that nobody here can aggregate, once for all of its kind."""
        kind = group.queue, group.name.partition(PREFIX_ENDS_WITH)[0]
        if kind not in self._warned and len(self._warned) < WARNED:
            self._warned.add(kind)
            self._emit(NoAggregator(group))

    async def _rest(self) -> None:
        """Wait until there is reason to look again."""
        now = self._clock.now()
        breath = now + max(BREATH, min(MOST_OF_IT * self._spent, LONGEST_IDLE))
        until = now + (LONGEST_WAIT if self._waits else LONGEST_IDLE)
        if self._next is not None:
            until = min(until, self._next)
        if MOST_OF_IT * self._spent > BREATH:
            until = max(until, breath)
        await first(self._wakeup.wait(), self._clock.sleep_until(until), self._leaving.wait())
        if not self._has_more:
            # many who come one after the other are not each of them looked at
            await first(self._clock.sleep_until(min(until, breath)), self._leaving.wait())

    # --- aggregate -----------------------------------------------------------------------------

    async def _begin(self, key: Key, group: Group, aggregator: Aggregator, most: int) -> None:
        if self._room.locked():
            await first(self._room.acquire(), self._leaving.wait())
        else:
            await self._room.acquire()
        if self._leaving.is_set():
            return
        hand = asyncio.create_task(self._aggregate(key, group, aggregator, most))
        self._in_hand[key] = hand
        hand.add_done_callback(lambda _: self._end(key))

    def _end(self, key: Key) -> None:
        del self._in_hand[key]
        self._room.release()
        self._wakeup()

    async def _aggregate(self, key: Key, group: Group, aggregator: Aggregator, most: int) -> None:
        def fail(error: Exception) -> None:
            self._emit(AggregationFailed(group, error, self._backoff.add(key)))

        try:
            made = await self._runner.aggregate(group, aggregator, most, late=fail)
        except GaveUp:
            # of the broker's trouble it was told already
            self._backoff.add(key)
        except AggregatorTimedOut:
            pass
        except Exception as error:  # noqa: BLE001  (what an aggregator raises is not fatal)
            fail(error)
        else:
            self._backoff.forget(key)
            if made is not None:
                self._made += 1
                self._has_more = self._has_more or len(made.members) >= most
                self._emit(made)

    async def _done(self) -> None:
        """Wait until nothing is in hand."""
        while self._in_hand:
            await asyncio.wait(list(self._in_hand.values()))


def _earlier(one: Moment | None, other: Moment) -> Moment:
    return other if one is None else min(one, other)
