"""Curves: the number of failures so far, and a roll of the dice, to seconds of delay.

A curve is data, not code, so it may travel with a task: `spelled` writes it, `parse` reads it.
"""

from collections.abc import Callable
from typing import TypeAlias

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Duration, seconds_of
from qcore.domain.record import record

Roll: TypeAlias = float
"""A roll of the dice: uniform in [0, 1)."""

TWENTY_FOUR_HOURS = 86_400.0


Curve: TypeAlias = Callable[[int, Roll], float]
"""The count of failures before this one (0 for the first) and a roll, to seconds of delay."""


@record
class Quartic:
    """n⁴ + 15 + roll·30·(n+1) seconds: the curve of Sidekiq and Asynq, 20 days over 25 retries."""

    def __call__(self, failures: int, roll: Roll) -> float:
        """Return the delay in seconds."""
        return failures**4 + 15 + roll * 30 * (failures + 1)

    def spelled(self) -> str:
        """Return the form in which the curve travels."""
        return "quartic"


@record
class Fixed:
    """The same delay each time."""

    seconds: float

    def __call__(self, failures: int, roll: Roll) -> float:  # noqa: ARG002
        """Return the delay in seconds."""
        return self.seconds

    def spelled(self) -> str:
        """Return the form in which the curve travels."""
        return f"fixed:{self.seconds!r}"


@record
class Linear:
    """`step` seconds more each time, never more than `cap`."""

    step: float
    cap: float = TWENTY_FOUR_HOURS

    def __call__(self, failures: int, roll: Roll) -> float:  # noqa: ARG002
        """Return the delay in seconds."""
        return min(self.cap, self.step * (failures + 1))

    def spelled(self) -> str:
        """Return the form in which the curve travels."""
        return f"linear:{self.step!r}:{self.cap!r}"


@record
class Exponential:
    """base·2ⁿ seconds, never more than `cap`; full jitter spreads it evenly over [0, delay).

    Full jitter is Marc Brooker's, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    base: float
    cap: float = TWENTY_FOUR_HOURS
    jitter: bool = True

    def __call__(self, failures: int, roll: Roll) -> float:
        """Return the delay in seconds."""
        # 2.0**1024 overflows a float; the cap has been reached long before
        delay = min(self.cap, self.base * 2.0 ** min(failures, 64))
        return delay * roll if self.jitter else delay

    def spelled(self) -> str:
        """Return the form in which the curve travels."""
        return f"exponential:{self.base!r}:{self.cap!r}:{int(self.jitter)}"


Backoff: TypeAlias = Quartic | Fixed | Linear | Exponential
"""The curves that are data, and so may travel with a task."""


def parse(spelled: str) -> Backoff:
    """Read a curve from the form `spelled()` wrote; raise ValueError for any other text."""
    kind, *numbers = spelled.split(":")
    match kind, [float(number) for number in numbers]:
        case "quartic", []:
            return Quartic()
        case "fixed", [seconds]:
            return Fixed(seconds)
        case "linear", [step, cap]:
            return Linear(step, cap)
        case "exponential", [base, cap, jitter]:
            return Exponential(base, cap, jitter=bool(jitter))
        case _:
            raise ValueError(f"{spelled!r} is no backoff curve that this version knows")


def fixed(delay: Duration) -> Fixed:
    """Return the curve that waits `delay` each time."""
    return Fixed(seconds_of(delay, "the delay"))


def linear(step: Duration, *, cap: Duration = TWENTY_FOUR_HOURS) -> Linear:
    """Return the curve that waits one `step` more each time, `cap` at most."""
    return Linear(seconds_of(step, "the step"), seconds_of(cap, "the cap"))


def exponential(
    base: Duration, *, cap: Duration = TWENTY_FOUR_HOURS, jitter: bool = True
) -> Exponential:
    """Return the curve that doubles from `base` up to `cap`, with full jitter by default."""
    seconds = seconds_of(base, "the base")
    if seconds == 0:
        raise InvalidTask("the base is 0: an exponential curve grows from more than nothing")
    return Exponential(seconds, seconds_of(cap, "the cap"), jitter=jitter)
