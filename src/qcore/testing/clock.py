"""`ManualClock`: virtual time, which stands still until it is moved."""

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from threading import RLock
from typing import Self

from attrs import define, field

from qcore.adapters.clocks import call_and_log
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.testing.autojump import Jumper
from qcore.testing.builders import NOW


class ManualClock:
    """Let time pass by hand, or with `autojump` by itself whenever everything waits for it.

    - `advance` and `advance_to` are plain calls. They wake sleepers in the order of their moments
      and make the calls asked for with `every` and `call_at`, each at its moment, on the caller's
      thread. In
      such a call `now()` is its own moment. A coroutine that was woken runs when its loop turns
      next, and then sees the moment at which the clock has stopped.
    - What a worker keeps up to date meanwhile, such as its announcement, is made up for in one call
      (`upkeep`) before whatever comes next: a year passes in milliseconds.
    - With `autojump`, a loop that has nothing to do moves the clock to the next moment that
      somebody waits for, and no further: every sleeper sees its own moment. See `Jumper` for what
      counts as nothing to do. A loop whose only company is an `every` jumps on and on, as fast as
      it can; the world still gets its word in before each jump.
    - `set_to` sets the time as an administrator would, or as a machine's suspension does: `now()`
      jumps, while `monotonic()` and whoever waits for a number of seconds do not.
    - `blocking()` is the same clock for code without a loop: to sleep on it is to move it.

    May be used from several threads and loops; each loop with `autojump` jumps when it is idle
    itself. `threshold` is in real seconds. Modelled on Trio's `MockClock`.
    """

    def __init__(
        self, start: Moment = NOW, *, autojump: bool = False, threshold: float = 0.0
    ) -> None:
        self._now = start
        """The time if nobody had set it: what `monotonic` returns."""
        self._set_by = 0.0
        """Seconds by which `now()` is ahead of that."""
        self._jumps = autojump
        self._threshold = threshold
        self._jumpers: dict[asyncio.AbstractEventLoop, Jumper] = {}
        self._alarms: list[tuple[float, int, _Alarm]] = []
        """By the seconds of `monotonic`."""
        self._upkeeps: list[_Upkeep] = []
        self._time_set: set[asyncio.Future[None]] = set()
        """What wakes those who wait for a moment, once the time is set."""
        self._order = count()
        self._lock = RLock()
        self._passing = RLock()

    def now(self) -> Moment:
        """Return this moment."""
        return self._now + self._set_by

    def monotonic(self) -> float:
        """Return seconds that only `advance` and `advance_to` move."""
        return self._now

    def set_to(self, moment: Moment) -> None:
        """Set the time, forwards or backwards; raise `InvalidOption` for no moment."""
        if not math.isfinite(moment):
            raise InvalidOption(f"cannot set to {moment!r}: expected epoch seconds")
        with self._lock:
            self._set_by = moment - self._now
            waiting, self._time_set = self._time_set, set()
        for woken in waiting:
            _wake(woken.get_loop(), woken)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass; raise `InvalidOption` if they are negative or endless."""
        if not 0 <= seconds < math.inf:
            raise InvalidOption(f"cannot advance by {seconds!r}: expected 0 or more seconds")
        self._pass_until(self._now + seconds)

    def advance_to(self, moment: Moment) -> None:
        """Let time pass until `moment`, unless it has; raise `InvalidOption` if it never comes."""
        if not math.isfinite(moment):
            raise InvalidOption(f"cannot advance to {moment!r}: expected epoch seconds")
        self._pass_until(moment - self._set_by)

    def _pass_until(self, end: float) -> None:
        # time passes in one thread at a time, and again within a call that `every` makes
        with self._passing:
            while (alarm := self._next_alarm(end)) is not None:
                alarm.ring()

    def next_moment(self) -> Moment | None:
        """Return the earliest moment that anybody waits for, None if nobody waits."""
        first = self._first_moment()
        return None if first is None else first + self._set_by

    async def sleep_until(self, moment: Moment, *, at_most: float = math.inf) -> None:
        """Wait until `moment`, or for `at_most` seconds, or with these until the time is set."""
        end, set_by = self._now + at_most, self._set_by
        while await self._wait(moment, end):
            if at_most < math.inf and self._set_by != set_by:
                return

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds, whatever the time is set to."""
        end = self._now + seconds
        while await self._wait(math.inf, end):
            pass

    async def _wait(self, moment: Moment, end: float) -> bool:
        """Wait for a moment, a reading of `monotonic`, or a new time; say whether it did."""
        loop = asyncio.get_running_loop()
        self._watch(loop)
        woken = loop.create_future()
        alarm = _Alarm(partial(_wake, loop, woken))
        # under the lock, or another thread's advance could go past `moment` in between
        with self._lock:
            if not (moment - self._set_by > self._now and end > self._now):
                return False
            self._set(alarm, min(moment - self._set_by, end))
            self._time_set.add(woken)
        try:
            await woken
        finally:
            alarm.is_set = False
            self._time_set.discard(woken)
        return True

    def every(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` every so many seconds that pass; return what stops it.

        An error of `call` is logged and ends nothing, as with the system's clock. Raises
        `InvalidOption` where `seconds` is not more than zero.
        """
        _check_interval(seconds)
        with suppress(RuntimeError):
            self._watch(asyncio.get_running_loop())
        start, number, calling = self._now, count(1), RLock()

        def ring() -> None:
            with calling:
                if alarm.is_set:
                    call_and_log(call)
                if alarm.is_set:
                    self._set(alarm, start + next(number) * seconds)

        def stop() -> None:
            alarm.is_set = False
            # until a call in progress has ended, unless that call is what stops it
            with calling:
                pass

        alarm = _Alarm(ring)
        self._set(alarm, start + next(number) * seconds)
        return stop

    def upkeep(
        self,
        seconds: float,
        call: Callable[[], None],
        is_busy: Callable[[], bool] = lambda: False,
    ) -> Callable[[], None]:
        """Call `call` every so many seconds that pass, or once for all that nobody tells apart.

        Between two events (somebody is woken, another call is made) only the last of its moments
        counts, unless `is_busy()`. So a day in which nothing happens is one call. With `autojump`,
        where time goes no further than to the next moment, it is as `every`. An error of `call` is
        logged and ends nothing. Raises `InvalidOption` where `seconds` is not more than zero.
        """
        _check_interval(seconds)
        with suppress(RuntimeError):
            self._watch(asyncio.get_running_loop())
        upkeep = _Upkeep(self._now, seconds, call, is_busy)
        with self._lock:
            self._upkeeps.append(upkeep)

        def stop() -> None:
            with self._lock, suppress(ValueError):
                self._upkeeps.remove(upkeep)
            # until a call in progress has ended, unless that call is what stops it
            with upkeep.calling:
                upkeep.is_stopped = True

        return stop

    def call_at(self, moment: Moment, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` when time passes `moment`, which is then `now()`; return what takes it back.

        An error of `call` is logged and ends nothing.
        """

        def ring() -> None:
            if alarm.is_set:
                alarm.is_set = False
                call_and_log(call)

        def take_back() -> None:
            alarm.is_set = False

        alarm = _Alarm(ring)
        self._set(alarm, moment - self._set_by)
        return take_back

    def blocking(self) -> "BlockingManualClock":
        """Return the same clock with sleeps that move it and never suspend."""
        return BlockingManualClock(self)

    @contextmanager
    def autojump(self, threshold: float | None = None) -> Generator[None]:
        """Jump, in the running loop, until the block is left; for a clock made without the flag."""
        patience = self._threshold if threshold is None else threshold
        jumper = Jumper(asyncio.get_running_loop(), self._jump, patience)
        try:
            yield
        finally:
            jumper.close()

    def close(self) -> None:
        """Jump no more, and leave every loop as it was; for loops that outlive the clock."""
        self._jumps = False
        while self._jumpers:
            self._jumpers.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Jump in this loop too, if that was asked for."""
        if self._jumps and loop not in self._jumpers:
            self._jumpers[loop] = Jumper(loop, self._jump, self._threshold)

    def _jump(self) -> bool:
        """Move to the next moment that somebody waits for; say whether there is one."""
        first = self._first_moment()
        if first is None or first == math.inf:
            return False
        self._pass_until(first)
        return True

    def _first_moment(self) -> float | None:
        """Return when somebody is woken or called next, by the seconds of `monotonic`."""
        with self._lock:
            upkeep = min((each.upcoming for each in self._upkeeps), default=None)
            alarm = self._first_alarm()
            return min((each for each in (alarm, upkeep) if each is not None), default=None)

    def _first_alarm(self) -> float | None:
        """Return when the next alarm rings, by the seconds of `monotonic`."""
        with self._lock:
            while self._alarms and not self._alarms[0][2].is_set:
                heappop(self._alarms)
            return self._alarms[0][0] if self._alarms else None

    def _next_alarm(self, target: float) -> "_Alarm | None":
        """Go to the next alarm up to `target` and take it out, or else go to `target`.

        What keeps something up to date comes first, at the last of its moments before that.
        """
        with self._lock:
            moment = self._first_alarm()
            limit = target if moment is None else min(moment, target)
            due = [(last, each) for each in self._upkeeps if (last := each.due(limit)) is not None]
            if due:
                last, upkeep = min(due, key=lambda pair: pair[0])
                self._now = max(self._now, last)
                return _Alarm(partial(upkeep.ring, last))
            if moment is None or moment > target:
                self._now = max(self._now, target)
                return None
            self._now = max(self._now, moment)
            return heappop(self._alarms)[2]

    def _set(self, alarm: "_Alarm", moment: float) -> None:
        with self._lock:
            heappush(self._alarms, (moment, next(self._order), alarm))


class BlockingManualClock:
    """Be a `ManualClock` for code that cannot suspend: whoever sleeps moves the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> Moment:
        """Return this moment."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return seconds that do not jump when the time is set."""
        return self._clock.monotonic()

    async def sleep_until(self, moment: Moment, *, at_most: float = math.inf) -> None:
        """Move the clock to `moment`, unless it has passed, or by `at_most` seconds."""
        if at_most == math.inf:
            self._clock.advance_to(moment)
        else:
            self._clock.advance(max(0.0, min(at_most, moment - self._clock.now())))

    async def sleep(self, seconds: float) -> None:
        """Move the clock by so many seconds."""
        self._clock.advance(max(0.0, seconds))

    def every(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` every so many seconds that pass; return what stops it."""
        return self._clock.every(seconds, call)

    def blocking(self) -> "BlockingManualClock":
        """Return itself."""
        return self


@define(eq=False)
class _Alarm:
    """What is to happen at a moment, unless it is no longer set by then."""

    ring: Callable[[], None]
    is_set: bool = True


@define(eq=False)
class _Upkeep:
    """Calls at intervals, of which those are one that have nothing between them."""

    start: float
    """By the seconds of `monotonic`, as all moments here."""
    seconds: float
    call: Callable[[], None]
    is_busy: Callable[[], bool]
    past: int = 0
    """The number of its moments that have passed."""
    is_stopped: bool = False
    calling: RLock = field(factory=RLock)

    @property
    def upcoming(self) -> float:
        """Return its next moment."""
        return self._moment(self.past + 1)

    def due(self, limit: float) -> float | None:
        """Return which of its moments up to `limit` counts next; None if none has come."""
        if self.upcoming > limit:
            return None
        if self.is_busy():
            return self.upcoming
        number = max(self.past + 1, int((limit - self.start) / self.seconds))
        # as the quotient may be rounded, either way
        return self._moment(number if self._moment(number) <= limit else number - 1)

    def ring(self, moment: float) -> None:
        """Make the call for all of its moments up to this one."""
        with self.calling:
            self.past = round((moment - self.start) / self.seconds)
            if not self.is_stopped:
                call_and_log(self.call)

    def _moment(self, number: int) -> float:
        return self.start + number * self.seconds


def _check_interval(seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise InvalidOption(f"every is {seconds!r}: expected more than 0 seconds")


def _wake(loop: asyncio.AbstractEventLoop, sleeper: asyncio.Future[None]) -> None:
    if loop is _running_loop():
        _release(sleeper)
        return
    # a loop that was closed has nobody left to wake
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_release, sleeper)


def _release(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
