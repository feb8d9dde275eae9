"""Moments and durations as text, as commands and pages show them."""

from datetime import UTC, datetime
from math import inf
from typing import Final

from qcore.app.client.written_durations import duration
from qcore.domain.histogram import BOUNDS
from qcore.domain.moments import Moment

__all__ = ["duration", "short", "timestamp"]

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


def short(seconds: float) -> str:
    """Return a time in two digits that mean something, such as "<1ms", "35ms", "2.1s" or "3h"."""
    if seconds < BOUNDS[0]:
        return "<1ms"
    unit, size = next((unit, size) for unit, size, most in SHORT_UNITS if seconds < most * size)
    return f"{float(f'{seconds / size:.2g}'):g}{unit}"
