"""`Clock`: the time, waiting for a moment, and calls at intervals."""

from collections.abc import Callable
from typing import Protocol

from qcore.domain.moments import Moment


class Clock(Protocol):
    """The time, waiting for a moment, and calls at intervals.

    Moments are seconds since the epoch (UTC).
    """

    def now(self) -> Moment:
        """Return this moment."""
        ...

    async def sleep_until(self, moment: Moment) -> None:
        """Wait until `moment`; return at once if it has passed."""
        ...

    def every(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` every so many seconds, off the event loop; return what stops it.

        What stops it waits for a call in progress to end.
        """
        ...

    def blocking(self) -> "Clock":
        """Return the same clock with a `sleep_until` that blocks and never suspends."""
        ...
