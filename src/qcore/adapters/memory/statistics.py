"""`QueueStatistics`: what has ended in one queue of the memory broker, by time and name.

Verdicts write to their minute. The first one of a new minute adds the periods that are too old to
be asked for to the longer ones that they are in. What is read of a period is all of it.
"""

from collections.abc import Iterator, Mapping

from qcore.domain.moments import Moment
from qcore.domain.statistics import (
    FieldCounts,
    Resolution,
    Rows,
    StatisticsRow,
    add_periods,
    add_rows,
    statistics_of,
)


class QueueStatistics:
    """Count moves by the minute, and keep what is older by the hour and by the day."""

    def __init__(self) -> None:
        self._periods: dict[Resolution, dict[int, Rows]] = {each: {} for each in Resolution}

    def add(self, ended: Mapping[str, FieldCounts], now: Moment) -> None:
        """Add what ended now, by name."""
        minutes, start = self._periods[Resolution.MINUTE], Resolution.MINUTE.start(now)
        if start not in minutes:
            self._fold(start)
        add_rows(minutes.setdefault(start, {}), ended)

    def _fold(self, now: int) -> None:
        """Add what is too old for its resolution to the next one, and forget what none keeps."""
        for resolution, periods in self._periods.items():
            first = resolution.start(now - resolution.kept)
            old = {start: periods.pop(start) for start in [*periods] if start < first}
            if resolution.coarser is not None:
                add_periods(self._periods[resolution.coarser], old, resolution.coarser)

    def rows(
        self, queue: str, since: Moment, until: Moment, resolution: Resolution
    ) -> Iterator[StatisticsRow]:
        """Yield what ended between two moments, by period and name."""
        starts = resolution.starts(since, until)
        if not starts:
            return
        found: dict[int, Rows] = {}
        for each in reversed(Resolution):
            if each <= resolution:
                part = self._between(each, starts[0], starts[-1] + resolution)
                add_periods(found, part, resolution)
        for start, rows in sorted(found.items()):
            for name, stored in sorted(rows.items()):
                yield StatisticsRow(queue, name, start, statistics_of(stored))

    def _between(self, resolution: Resolution, first: int, end: int) -> dict[int, Rows]:
        periods = self._periods[resolution]
        return {start: rows for start, rows in periods.items() if first <= start < end}
