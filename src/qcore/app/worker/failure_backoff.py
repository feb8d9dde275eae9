"""What did not work, and when to try it again."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from qcore.domain.backoff import Exponential
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Clock

K = TypeVar("K", bound=Hashable)

REMEMBERED: Final = 1_000
LEAST_PAUSE: Final = 1.0


class FailureBackoff(Generic[K]):
    """Wait longer after each failure of a kind, up to `longest` seconds.

    Of more than `remembered` kinds that failed the first are forgotten.
    """

    def __init__(
        self, clock: Clock, dice: Dice, *, longest: float, remembered: int = REMEMBERED
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._curve = Exponential(base=2.0, cap=longest)
        self._remembered = remembered
        self._known: dict[K, tuple[int, Moment]] = {}

    def __bool__(self) -> bool:
        """Return whether anything failed when it was last tried."""
        return bool(self._known)

    def __contains__(self, what: K) -> bool:
        """Return whether it failed when it was last tried."""
        return what in self._known

    def add(self, what: K) -> float:
        """Note a failure; return how long to wait, in seconds."""
        failures, _ = self._known.pop(what, (0, 0.0))
        if len(self._known) >= self._remembered:
            # the oldest: names come from outside, and there is no end to them
            del self._known[next(iter(self._known))]
        pause = max(LEAST_PAUSE, self._curve(failures, self._dice()))
        self._known[what] = failures + 1, self._clock.now() + pause
        return pause

    def forget(self, what: K) -> int:
        """Note that it worked; return how often it had failed."""
        return self._known.pop(what, (0, 0.0))[0]

    def until(self, what: K) -> Moment:
        """Return when to try it again."""
        return self._known.get(what, (0, 0.0))[1]
