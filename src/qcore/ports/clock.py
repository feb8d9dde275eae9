"""`Clock`: the time, waiting for a moment or for a while, and calls at intervals."""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from qcore.domain.moments import Moment


class Clock(Protocol):
    """The time, waiting for a moment or for a while, and calls at intervals.

    Moments are seconds since the epoch (UTC). Somebody may set that time, forwards or backwards,
    and it goes on while the machine is suspended. What lasts a number of seconds, such as a timeout
    or a pause, is therefore measured by `monotonic` and waited for by `sleep`.
    """

    def now(self) -> Moment:
        """Return this moment."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, however the time is set; only differences mean anything.

        Whether they go on while the machine is suspended depends on its system.
        """
        ...

    async def sleep_until(self, moment: Moment, *, at_most: float = math.inf) -> None:
        """Wait until `moment`, or for `at_most` seconds; return at once if it has passed.

        With `at_most` it also returns, within about a second, when the time jumps: somebody sets
        it, or the machine was suspended. What the moment was computed from may no longer hold.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds, by `monotonic`."""
        ...

    def every(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` every so many seconds, off the event loop; return what stops it.

        What stops it waits for a call in progress to end.
        """
        ...

    def blocking(self) -> "Clock":
        """Return the same clock with sleeps that block and never suspend."""
        ...


@runtime_checkable
class Alarms(Protocol):
    """What a clock of virtual time has besides: there is no capability for it.

    Its time may pass in one call from one moment to another much later. Who sleeps sees only the
    later one; a call that is asked for here is made while the time passes.
    """

    def call_at(self, moment: Moment, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` when time passes `moment`, on the thread that moves it.

        Return what takes that back.
        """
        ...

    def upkeep(
        self, seconds: float, call: Callable[[], None], is_busy: Callable[[], bool]
    ) -> Callable[[], None]:
        """Call `call` as `every` does, or, unless busy, once for all that nobody tells apart.

        That is for what keeps something up to date: where nothing happens between its moments, the
        call of the last of them makes up for the others. Return what stops it.
        """
        ...


def alarms_of(clock: Clock) -> Alarms | None:
    """Return a clock as one that can call while its time passes; None where it cannot."""
    return clock if isinstance(clock, Alarms) else None


def start_upkeep(
    clock: Clock,
    seconds: float,
    call: Callable[[], None],
    *,
    is_busy: Callable[[], bool] = lambda: False,
) -> Callable[[], None]:
    """Call `call` every so many seconds, off the event loop; return what stops it.

    Where time passes as a whole, calls that nobody could tell apart are one; see `Alarms.upkeep`.
    """
    alarms = alarms_of(clock)
    if alarms is None:
        return clock.every(seconds, call)
    return alarms.upkeep(seconds, call, is_busy)
