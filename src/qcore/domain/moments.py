"""Moments are seconds since the epoch, UTC; datetimes and timedeltas live at the edge only."""

from datetime import datetime, timedelta
from typing import TypeAlias

from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.text import shown

Moment: TypeAlias = float
"""Seconds since the epoch, UTC."""

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta; never negative."""

Refusal: TypeAlias = type[InvalidTask] | type[InvalidOption]
"""What is raised for a bad value: of a task, or of a setting."""

LAST_MOMENT = 253_402_300_799.0
"""The end of the year 9999, the last a datetime can name."""


def seconds_of(value: object, what: str, refusal: Refusal = InvalidTask) -> float:
    """Return a duration in seconds; raise `refusal` for one that is negative or endless."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refusal(f"{what} is {shown(value)}: expected seconds or a timedelta")
    if not 0 <= value <= LAST_MOMENT:
        raise refusal(
            f"{what} is {shown(value)}: expected a finite duration of zero or more seconds"
        )
    return float(value)


def moment_of(value: object, what: str, refusal: Refusal = InvalidTask) -> Moment:
    """Return a moment; raise `refusal` for a naive datetime or a number that is no moment."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise refusal(
                f"{what} is the naive datetime {value.isoformat()}: "
                "give it a time zone, such as datetime.now(UTC)"
            )
        moment = value.timestamp()
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refusal(f"{what} is {shown(value)}: expected an aware datetime or epoch seconds")
    else:
        moment = value
    if not 0 <= moment <= LAST_MOMENT:
        raise refusal(f"{what} is {shown(value)}: expected a moment from 1970 to the year 9999")
    return float(moment)
