"""The clock and the dice of a middleware, and the durations that it is given."""

from typing import Protocol

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Duration, seconds_of
from qcore.domain.retry import Dice
from qcore.ports import Clock


class HasClockAndDice(Protocol):
    """An object with a clock and dice: a `Qcore`.

    Middleware reads them anew in each run, so that `q.swapped(clock=…)` changes them for it too.
    """

    @property
    def clock(self) -> Clock:
        """Return the clock that its workers go by."""
        ...

    @property
    def dice(self) -> Dice:
        """Return the dice that its workers roll."""
        ...


def setting(value: Duration, what: str) -> float:
    """Return a duration in seconds; raise `InvalidOption` for one that is not more than zero."""
    seconds = seconds_of(value, what, InvalidOption)
    if seconds == 0:
        raise InvalidOption(f"{what} is {value!r}: expected more than 0 seconds")
    return seconds
