"""Limits of a queue, for all its workers together: rate, tasks in flight, pause."""

import re
from math import floor
from typing import Final, TypeAlias

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.record import record

UNITS: Final = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3_600.0, "hour": 3_600.0, "day": 86_400.0}
MOST: Final = 1_000_000_000
LONGEST: Final = 366 * 86_400.0
FASTEST: Final = 1e-6
"""Seconds from one start to the next: as fine as a moment is stored."""


_SECONDS: Final = r"(?:\d+\.?\d*|\.\d+)(?:e-\d+)?"
_RATE: Final = re.compile(rf"\s*(\d+)\s*/\s*({'|'.join(UNITS)}|{_SECONDS})\s*", re.ASCII)


@record
class Rate:
    """At most `count` runs started at once, and `count` more in every `per` seconds.

    A token bucket of `count` tokens that fills at an even pace. One stored moment stands for it, at
    which it would be full: the theoretical arrival time of the generic cell rate algorithm (ITU-T
    I.371).
    """

    count: int
    per: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOption` for what is no rate."""
        if type(self.count) is not int or not 0 < self.count <= MOST:
            raise InvalidOption(f"a rate's count is {self.count!r}: expected 1 to {MOST:,}")
        if type(self.per) not in {int, float} or not 0 < self.per <= LONGEST:
            raise InvalidOption(f"a rate is per {self.per!r}: expected seconds, up to a year")
        if self.pace < FASTEST:
            raise InvalidOption(
                f"a rate is {self.count} in {self.per} seconds: expected at most a million a second"
            )

    @classmethod
    def of(cls, text: "str | Rate") -> "Rate":
        """Return the rate of a text such as "100/min", or "5/0.5" for five in half a second.

        The units are s, sec, min, h, hour and day. Raises `InvalidOption` for another text.
        """
        if isinstance(text, Rate):
            return text
        said = _RATE.fullmatch(str(text))
        if said is None:
            raise InvalidOption(
                f'a rate is {text!r}: expected a number and a time, such as "100/min" or "5/0.5"'
            )
        count, unit = said.groups()
        return cls(int(count), UNITS[unit] if unit in UNITS else float(unit))

    def __str__(self) -> str:
        """Return the text of which `of` makes this rate, such as "100/min"."""
        unit = next((name for name, seconds in UNITS.items() if seconds == self.per), None)
        return f"{self.count}/{unit or str(self.per).removesuffix('.0')}"

    @property
    def pace(self) -> float:
        """Return the seconds from one token to the next."""
        return self.per / self.count

    def left(self, full: Moment, now: Moment) -> int:
        """Return how many tokens are there now, of a bucket that would be full at `full`."""
        if full <= now:
            return self.count
        # rounding of a stored moment must not withhold a token that is due at it
        return max(0, floor((self.per - (full - now) + FASTEST) / self.pace))

    def corrected(self, full: Moment, now: Moment) -> Moment:
        """Return `full`, or when a bucket that is empty now would be full, if that is earlier.

        A bucket is never emptier than empty: a later moment was stored by a clock that was ahead.
        """
        latest = now + self.per
        return latest if full > latest + FASTEST else full

    def after(self, full: Moment, now: Moment, taken: int) -> Moment:
        """Return when the bucket would be full after so many tokens were taken."""
        return max(full, now) + taken * self.pace

    def next(self, full: Moment) -> Moment:
        """Return when the next token is there, of a bucket that is empty now."""
        return full - self.per + self.pace


@record
class Limits:
    """The limits of a queue, across all workers."""

    rate: Rate | None = None
    in_flight: int | None = None
    """How many of its tasks may be active; None for any number."""
    is_paused: bool = False
    """Whether none of its tasks are handed out."""

    def free(self, active: int, full: Moment, now: Moment) -> int:
        """Return how many tasks may start; `full` is when the bucket of its rate is full."""
        if self.is_paused:
            return 0
        free = MOST if self.in_flight is None else self.in_flight - active
        return free if self.rate is None else min(free, self.rate.left(full, now))

    def corrected(self, active: int, full: Moment, now: Moment) -> Moment:
        """Return `full` with an error of an earlier claim's clock undone (see `Rate.corrected`).

        To be stored by a claim that finds tasks pending. While something else holds them back it
        stays as it is.
        """
        if self.rate is None or self.is_paused or self._is_crowded(active):
            return full
        return self.rate.corrected(full, now)

    def _is_crowded(self, active: int) -> bool:
        return self.in_flight is not None and active >= self.in_flight

    def next_start(self, active: int, full: Moment) -> Moment | None:
        """Return when the next may start; None if anything but the rate holds it back."""
        if self.rate is None or self.is_paused or self._is_crowded(active):
            return None
        return self.rate.next(full)


NO_LIMITS: Final = Limits()


@record
class SetRate:
    """Set the rate, None for no limit; its bucket is full at first."""

    rate: Rate | None

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOption` for what is no rate."""
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise InvalidOption(f"rate is {self.rate!r}: expected a Rate, or None for no limit")


@record
class SetInFlight:
    """Set how many tasks may be active, None for any number."""

    most: int | None

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOption` for what is no number of tasks."""
        if self.most is not None and (type(self.most) is not int or not 0 < self.most <= MOST):
            raise InvalidOption(f"in_flight is {self.most!r}: expected None or 1 to {MOST:,}")


@record
class SetPaused:
    """Pause or resume the queue; what runs goes on."""

    is_paused: bool


LimitChange: TypeAlias = SetRate | SetInFlight | SetPaused


def ruled(limits: Limits, rule: LimitChange) -> Limits:
    """Return limits with one of them set."""
    match rule:
        case SetRate():
            return Limits(rule.rate, limits.in_flight, limits.is_paused)
        case SetInFlight():
            return Limits(limits.rate, rule.most, limits.is_paused)
        case SetPaused():
            return Limits(limits.rate, limits.in_flight, rule.is_paused)
