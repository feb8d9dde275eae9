"""Which days a report is about: those before the instant that its task was made for."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Some days, in seconds since 1970: from `start` on, before `end`."""

    name: str
    start: float
    end: float


def day_before(moment: float, zone: ZoneInfo) -> Period:
    """Return the day before the one that a moment is in."""
    today = datetime.fromtimestamp(moment, zone).date()
    yesterday = today - ONE_DAY
    return Period(f"{yesterday:%Y-%m-%d}", _midnight(yesterday, zone), _midnight(today, zone))


def month_before(moment: float, zone: ZoneInfo) -> Period:
    """Return the month before the one that a moment is in."""
    this = datetime.fromtimestamp(moment, zone).date().replace(day=1)
    last = (this - ONE_DAY).replace(day=1)
    return Period(f"{last:%Y-%m}", _midnight(last, zone), _midnight(this, zone))


def _midnight(day: date, zone: ZoneInfo) -> float:
    return datetime.combine(day, time(), zone).timestamp()
