"""Exponential backoff for each of many keys: queues in quarantine, groups that fail."""

import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from qcore.domain.backoff import Exponential
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Clock

K = TypeVar("K", bound=Hashable)

REMEMBERED: Final = 1_000
SHORTEST_PAUSE: Final = 1.0
"""Seconds."""


class FailureBackoff(Generic[K]):
    """Remember keys that failed, and wait longer after each failure, up to `longest` seconds.

    Beyond `remembered` keys the oldest is forgotten.
    """

    def __init__(
        self, clock: Clock, dice: Dice, *, longest: float, remembered: int = REMEMBERED
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._backoff = Exponential(base=2.0, cap=longest)
        self._remembered = remembered
        self._failed: dict[K, tuple[int, float]] = {}
        """Failures, and when to try again by the monotonic clock."""

    def __bool__(self) -> bool:
        """Return whether any key failed when it was last tried."""
        return bool(self._failed)

    def __contains__(self, key: K) -> bool:
        """Return whether a key failed when it was last tried."""
        return key in self._failed

    def add(self, key: K) -> float:
        """Count a failure; return the seconds to wait before the next attempt."""
        failures, _ = self._failed.pop(key, (0, 0.0))
        if len(self._failed) >= self._remembered:
            # keys such as names of groups come from outside, and there is no end to them
            del self._failed[next(iter(self._failed))]
        pause = max(SHORTEST_PAUSE, self._backoff(failures, self._dice()))
        self._failed[key] = failures + 1, self._clock.monotonic() + pause
        return pause

    def forget(self, key: K) -> int:
        """Note a success; return the number of failures before it."""
        return self._failed.pop(key, (0, 0.0))[0]

    def retry_at(self, key: K) -> Moment:
        """Return when to try a key again; 0 for one that did not fail."""
        if key not in self._failed:
            return 0.0
        return self._failed[key][1] - self._clock.monotonic() + self._clock.now()

    def next_retry(self) -> Moment:
        """Return when the first key is to be tried again; infinity where none failed."""
        return min(map(self.retry_at, self._failed), default=math.inf)
