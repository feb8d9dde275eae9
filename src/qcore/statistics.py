"""What has ended in queues: counts and times, by task name, minute and day."""

from qcore.domain.histogram import Histogram
from qcore.domain.statistics import (
    OTHER,
    Outcome,
    Resolution,
    Statistics,
    StatisticsRow,
    merged,
    totals,
)
from qcore.ports import Recording

__all__ = [
    "OTHER",
    "Histogram",
    "Outcome",
    "Recording",
    "Resolution",
    "Statistics",
    "StatisticsRow",
    "merged",
    "totals",
]
