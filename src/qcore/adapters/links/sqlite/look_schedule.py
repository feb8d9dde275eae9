"""`LookSchedule`: when a listener looks at the file by itself, besides being told of commits."""

from math import inf
from typing import Final

IDLE_INTERVAL: Final = 1.0
"""Seconds between two looks of a listener that is told, as some may not tell of their commits. Each
takes 0.2 ms of processor time where the caches are cold."""
INTERVAL: Final = 0.02
"""Seconds between two looks of a listener that is not told."""
UNTOLD_FOR: Final = 10.0
"""Seconds for which it looks at this interval after it came across a commit that was not told."""
FIRST_INTERVAL: Final = 0.0005
GROWTH: Final = 1.3
"""Factor from one interval to the next while a commit is expected: it is noticed after a third more
of the time that its transaction took, at most."""
EXPECTED_FOR: Final = 5.0
"""Seconds for which a commit is expected: others wait no longer for an open transaction's lock."""


class LookSchedule:
    """The seconds from one look to the next. Moments are those of the monotonic clock."""

    def __init__(self) -> None:
        self._untold_until = -inf
        self._expected_until = -inf
        self._interval = INTERVAL

    def next_interval(self, now: float, *, is_told: bool) -> float:
        """Return the seconds to the next look."""
        if now < self._expected_until:
            interval = self._interval
            self._interval = min(INTERVAL, interval * GROWTH)
            return interval
        return INTERVAL if not is_told or now < self._untold_until else IDLE_INTERVAL

    def expect(self, now: float) -> None:
        """Note that a transaction is open which its owner may commit."""
        self._expected_until, self._interval = now + EXPECTED_FOR, FIRST_INTERVAL

    def has_come(self) -> None:
        """Note that there was a commit: as one writes at a time, it is what was expected."""
        self._expected_until = -inf

    def untold(self, now: float) -> None:
        """Note that there was a commit of which nobody has told."""
        self._untold_until = now + UNTOLD_FOR
