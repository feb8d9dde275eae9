"""Aggregate the groups of a worker's queues, each when it is ready."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from qcore.app.calls.user_code import as_exception, is_from_outside
from qcore.app.client.wakeup import Wakeup, first_completed
from qcore.app.tasks.aggregators import AggregationTiming, Aggregators
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.failure_backoff import FailureBackoff
from qcore.app.worker.groups.aggregation import AggregationRunner, AggregatorTimedOut
from qcore.app.worker.groups.scanner import GroupKey, GroupScanner, ReadyGroup
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.domain.events import AggregationFailed
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Aggregating, Clock

CONCURRENCY: Final = 10
"""Groups that are aggregated at a time."""
LONGEST_IDLE: Final = 5.0
"""Seconds after which groups are scanned without a wake-up, in case one was lost."""
LONGEST_WAIT: Final = 1.0
"""Seconds after which they are while members wait: there may be enough of them by then."""
SHORTEST_PAUSE: Final = 0.2
"""Seconds between two scans, however often there is a wake-up."""
PAUSE_PER_SCAN: Final = 3.0
"""The least ratio of pause to scan: looking at many groups takes a quarter of the time at most."""
LONGEST_BACKOFF: Final = 300.0
"""Seconds after which a group that could not be aggregated is tried again at the latest."""
CANCEL_TIMEOUT: Final = 1.0
"""Seconds, of real time, that an aggregator has to end after it was cancelled at shutdown."""


class GroupScheduler:
    """Scan for groups that are ready, and have each aggregated, up to ten at a time.

    Made on the worker's event loop. A group whose aggregation failed is tried again with
    exponential backoff. `defaults` is for aggregators that do not say when.
    """

    def __init__(
        self,
        queues: Sequence[str],
        aggregators: Aggregators,
        defaults: AggregationTiming,
        runner: AggregationRunner,
        *,
        broker: Aggregating,
        clock: Clock,
        dice: Dice,
        retrying: Retrying,
        emit: Instruments,
        control: WorkerControl,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._emit = emit
        self._control = control
        self._stopping = control.stopping
        self._backoff: FailureBackoff[GroupKey] = FailureBackoff(
            clock, dice, longest=LONGEST_BACKOFF
        )
        self._scanner = GroupScanner(
            queues,
            aggregators,
            defaults,
            broker=broker,
            backoff=self._backoff,
            clock=clock,
            retrying=retrying,
            emit=emit,
            stopping=control.stopping,
        )
        self._wakeup = Wakeup(asyncio.get_running_loop())
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._in_hand: dict[GroupKey, asyncio.Task[None]] = {}
        self._aggregated = 0
        self._has_more = False
        """Whether a group was too large for one task: the rest of it need not wait."""

    @property
    def next_ready(self) -> Moment | None:
        """When the next group is ready, of those that have not failed, as of the last scan."""
        return self._scanner.next_ready

    def wake(self) -> None:
        """Note that there may be a new group, or a new member of one. Thread-safe."""
        self._wakeup()

    async def serve(self) -> None:
        """Aggregate groups as they become ready, until the worker is asked to stop."""
        try:
            with suppress(GaveUp):
                while not self._stopping.is_set():
                    if self._control.is_paused:
                        await first_completed(self._wakeup.wait(), self._stopping.wait())
                        continue
                    self._wakeup.clear()
                    await self._scan()
                    await self._pause()
        finally:
            await self.close()

    async def once(self) -> int:
        """Aggregate what is ready now; return how many tasks that made."""
        before = self._aggregated
        with suppress(GaveUp):
            await self._scan()
        await first_completed(self._all_done(), self._stopping.wait())
        return self._aggregated - before

    async def close(self) -> None:
        """Cancel the aggregations in hand: their members stay where they are."""
        aggregations = list(self._in_hand.values())
        for each in aggregations:
            each.cancel()
        if aggregations:
            await asyncio.wait(aggregations, timeout=CANCEL_TIMEOUT)

    async def _scan(self) -> None:
        """Start to aggregate each group that is ready."""
        self._has_more = False
        async for ready in self._scanner.scan(self._in_hand):
            await self._start(ready)

    async def _pause(self) -> None:
        """Wait until there is a reason to scan again."""
        began = self._clock.monotonic()
        pause_for_scan = PAUSE_PER_SCAN * self._scanner.seconds
        shortest = max(SHORTEST_PAUSE, min(pause_for_scan, LONGEST_IDLE))
        longest = LONGEST_WAIT if self._scanner.has_members else LONGEST_IDLE
        until = math.inf if self._scanner.next_look is None else self._scanner.next_look
        if pause_for_scan > SHORTEST_PAUSE:
            until = max(until, self._clock.now() + shortest)
        await first_completed(
            self._wakeup.wait(),
            self._clock.sleep_until(until, at_most=max(longest, shortest)),
            self._stopping.wait(),
        )
        if not self._has_more:
            # members that join one after the other must not cause a scan each
            rest = began + shortest - self._clock.monotonic()
            await first_completed(
                self._clock.sleep_until(until, at_most=rest), self._stopping.wait()
            )

    # --- aggregate -----------------------------------------------------------------------------

    async def _start(self, ready: ReadyGroup) -> None:
        if self._slots.locked():
            await first_completed(self._slots.acquire(), self._stopping.wait())
        else:
            await self._slots.acquire()
        if self._stopping.is_set():
            return
        aggregation = asyncio.create_task(self._aggregate(ready))
        self._in_hand[ready.key] = aggregation
        aggregation.add_done_callback(lambda _: self._end(ready.key))

    def _end(self, key: GroupKey) -> None:
        del self._in_hand[key]
        self._slots.release()
        self._wakeup()

    async def _aggregate(self, ready: ReadyGroup) -> None:
        group, key = ready.group, ready.key

        def fail(error: Exception) -> None:
            self._emit(AggregationFailed(group, error, self._backoff.add(key)))

        try:
            event = await self._runner.aggregate(
                group, ready.aggregator, ready.max_size, timed_out=fail
            )
        except GaveUp:
            # the broker's failures were reported already
            self._backoff.add(key)
        except AggregatorTimedOut:
            pass
        except BaseException as error:
            # what an aggregator does is not fatal, whatever it is
            if is_from_outside(error):
                raise
            fail(as_exception(error, "the aggregator"))
        else:
            self._backoff.forget(key)
            if event is not None:
                self._aggregated += 1
                self._has_more = self._has_more or len(event.members) >= ready.max_size
                self._emit(event)

    async def _all_done(self) -> None:
        while self._in_hand:
            await asyncio.wait(list(self._in_hand.values()))
