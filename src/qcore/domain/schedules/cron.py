"""Cron expressions as public values."""

import warnings
from math import floor
from typing import Final

from attrs import field

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.schedules.descriptions import days_of, described
from qcore.domain.schedules.expressions import Expression
from qcore.domain.schedules.ticks import DAY, calendar_of, next_tick
from qcore.domain.schedules.zones import zone_named
from qcore.domain.text import shown

LATEST: Final = LAST_MOMENT - 2 * DAY
"""Past it the local time of a zone may be of the year 10000."""


class AmbiguousDays(UserWarning):
    """Warn of an expression that ticks on other days than somebody may think."""


def _spaced(value: str) -> str:
    if not isinstance(value, str):
        raise InvalidOption(f"the expression is {shown(value)}: expected a str")
    return " ".join(value.split())


def _doubt(expression: Expression, text: str) -> str:
    rule = (
        "two restricted day fields are joined by or"
        if expression.is_either_day
        else "day fields are joined by and where one begins with *"
    )
    return f"{text!r} ticks {days_of(expression)}: {rule}; give warn=False if that is meant"


@record
class Cron:
    """The ticks of a cron expression in a time zone.

    `expression` has five fields (minute, hour, day of month, month, day of week), or is one of
    `@yearly`, `@monthly`, `@weekly`, `@daily` and `@hourly`; with `seconds` it has six, that of
    seconds first. `tz` is a name of the IANA time zone database. Raises `InvalidOption` for what
    cannot be read, for a zone that is not known here and for an expression that never ticks. Warns
    with `AmbiguousDays` where both day fields are restricted, unless `warn` is false.
    """

    expression: str = field(converter=_spaced)
    tz: str = "UTC"
    seconds: bool = False
    _warn: bool = field(default=True, alias="warn", kw_only=True, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot tick, and warn of what may tick on other days than somebody thinks."""
        expression = calendar_of(self.expression, seconds=self.seconds).expression
        if not isinstance(self.tz, str):
            raise InvalidOption(f"tz is {shown(self.tz)}: expected a str, such as 'Europe/Berlin'")
        zone_named(self.tz)
        if self._warn and expression.is_ambiguous:
            warnings.warn(_doubt(expression, self.expression), AmbiguousDays, stacklevel=3)

    def after(self, moment: Moment) -> Moment | None:
        """Return the first tick that is later than `moment`, in seconds since the epoch, UTC.

        None where none follows before the last days of the year 9999. What it does where clocks
        change is in docs/reference/schedules.md.
        """
        if not moment < LATEST:
            return None
        calendar = calendar_of(self.expression, seconds=self.seconds)
        tick = next_tick(calendar, zone_named(self.tz), floor(moment))
        return None if tick is None else float(tick)

    def describe(self) -> str:
        """Return the schedule in words, such as "at 09:00, Monday to Friday, Europe/Berlin"."""
        expression = calendar_of(self.expression, seconds=self.seconds).expression
        return f"{described(expression)}, {self.tz}"

    def spelled(self) -> str:
        """Return the form in which it is stored, such as "CRON_TZ=Europe/Berlin 0 9 * * 1-5"."""
        seconds = "CRON_SECONDS=1 " if self.seconds else ""
        return f"CRON_TZ={self.tz} {seconds}{self.expression}"
