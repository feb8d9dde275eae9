"""`SystemClock`: the time of this machine, and waiting for it."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.log.logger import get_logger

MAX_SLEEP: Final = 60.0
"""Seconds after which a sleeper reads the clock again: the wall clock may have been set."""
LOOK_INTERVAL: Final = 1.0
"""The same for a sleeper that is to notice soon. All of a process look at the same moments, so that
its loop wakes once for all of them."""
SHORTEST_SLEEP: Final = 0.05
"""Seconds before such a moment in which a sleeper waits for the next one."""
_STARTED: Final = time.monotonic()
JUMP: Final = 1.0
"""Seconds by which the time moves against the monotonic clock if it was set, not merely slewed."""


class SystemClock:
    """Tell the time of this machine, or what `time` says instead: that of a store, for example."""

    def __init__(self, *, time: Callable[[], Moment] = time.time) -> None:
        self._time = time

    def now(self) -> Moment:
        """Return this moment."""
        return self._time()

    monotonic = staticmethod(time.monotonic)
    """Return the seconds of the system's monotonic clock."""

    async def sleep_until(self, moment: Moment, *, at_most: float = math.inf) -> None:
        """Wait until `moment` and never less, or for `at_most` seconds, or until the time jumps."""
        # timers are monotonic: they may end a little before the wall clock reaches the moment
        if at_most == math.inf:
            while (rest := moment - self._time()) > 0:  # noqa: ASYNC110  (time has no event to wait for)
                await asyncio.sleep(min(rest, MAX_SLEEP))
            return
        look = self._look(moment, at_most)
        while (seconds := look()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(seconds)

    def _look(self, moment: Moment, at_most: float) -> Callable[[], float]:
        """Return what tells how long to sleep before the next look; not more than 0 to wake."""
        began = time.monotonic()
        ahead = self._time() - began

        def rest() -> float:
            now, reading = self._time(), time.monotonic()
            if abs(now - reading - ahead) > JUMP:
                return 0.0
            return min(moment - now, began + at_most - reading, _until_next_look(reading))

        return rest

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await asyncio.sleep(seconds)

    def every(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` every so many seconds, on a daemon thread; return what stops it.

        The calls do not drift: the n-th is due n times `seconds` after this one, and a call that
        takes longer than that skips those it has overrun. An error of `call` is logged and ends
        nothing. What stops it waits for a call in progress to end, unless that call is what stops
        it. Raises `InvalidOption` where `seconds` is not more than zero.
        """
        if not 0 < seconds < math.inf:
            raise InvalidOption(f"every is {seconds!r}: expected more than 0 seconds")
        stopped = threading.Event()
        args = (seconds, call, stopped)
        thread = threading.Thread(target=tick, args=args, name="qcore-clock", daemon=True)
        thread.start()

        def stop() -> None:
            stopped.set()
            if threading.current_thread() is not thread:
                thread.join()

        return stop

    def blocking(self) -> "SystemClock":
        """Return a clock of the same time whose sleeps block and never suspend."""
        return _BlockingSystemClock(time=self._time)


class _BlockingSystemClock(SystemClock):
    """Tell the time to code without an event loop."""

    async def sleep_until(self, moment: Moment, *, at_most: float = math.inf) -> None:
        if at_most == math.inf:
            while (rest := moment - self._time()) > 0:
                time.sleep(min(rest, MAX_SLEEP))  # noqa: ASYNC251  (to block is its purpose)
            return
        look = self._look(moment, at_most)
        while (seconds := look()) > 0:
            time.sleep(seconds)  # noqa: ASYNC251

    async def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))  # noqa: ASYNC251


def _until_next_look(reading: float) -> float:
    """Return the seconds from a reading of the monotonic clock to the next look of all sleepers."""
    rest = LOOK_INTERVAL - (reading - _STARTED) % LOOK_INTERVAL
    return rest if rest >= SHORTEST_SLEEP else rest + LOOK_INTERVAL


def tick(seconds: float, call: Callable[[], None], stopped: threading.Event) -> None:
    """Call at whole multiples of `seconds` from now on, in this thread, until stopped."""
    due = time.monotonic() + seconds
    while not _stops_before(due, stopped):
        call_and_log(call)
        overrun = max(0.0, time.monotonic() - due)
        due += seconds * (1 + overrun // seconds)


def _stops_before(due: float, stopped: threading.Event) -> bool:
    """Wait until the monotonic moment `due`; return whether it was stopped before."""
    while (rest := due - time.monotonic()) > 0:
        # a lock's timeout has a maximum, `threading.TIMEOUT_MAX`
        if stopped.wait(min(rest, MAX_SLEEP)):
            return True
    return stopped.is_set()


def call_and_log(call: Callable[[], None]) -> None:
    """Call; log an exception rather than raise it."""
    try:
        call()
    except Exception:  # noqa: BLE001  (the next call must come whatever this one raised)
        get_logger("qcore.clock").exception("a periodic call failed, and goes on", call=repr(call))
