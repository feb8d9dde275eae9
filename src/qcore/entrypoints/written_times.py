"""Moments and durations as text, as commands and pages show them."""

from datetime import UTC, datetime
from math import inf
from typing import Final

from qcore.domain.histogram import BOUNDS
from qcore.domain.moments import Moment

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
SHORT: Final = 10
"""Seconds below which a duration has tenths."""
SHORT_UNITS: Final = (
    ("ms", 0.001, 1_000),
    ("s", 1.0, 100),
    ("min", 60.0, 100),
    ("h", 3_600.0, 48),
    ("d", 86_400.0, inf),
)
"""Units, their seconds, and up to how many of them are shown in them."""


def timestamp(moment: Moment) -> str:
    """Return a moment as RFC 3339 has it, in UTC and with milliseconds."""
    shown = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Return a number of seconds in its two largest units, such as "2 h 5 min"; "0.4 s" below 10 s.

    Whole units are cut, not rounded: what is 59.9 s old is not a minute old.
    """
    if seconds < SHORT:
        return f"{int(max(0.0, seconds) * 10) / 10:g} s"
    rest, parts = int(seconds), list[str]()
    for size, unit in UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def short(seconds: float) -> str:
    """Return a time in two digits that mean something, such as "<1ms", "35ms", "2.1s" or "3h"."""
    if seconds < BOUNDS[0]:
        return "<1ms"
    unit, size = next((unit, size) for unit, size, most in SHORT_UNITS if seconds < most * size)
    return f"{float(f'{seconds / size:.2g}'):g}{unit}"
