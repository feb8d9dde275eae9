"""`QueueStatistics`: what has ended in one queue of the memory broker, by time and name."""

from collections.abc import Iterator, Mapping

from qcore.domain.moments import Moment
from qcore.domain.statistics import FieldCounts, Resolution, StatisticsRow, add_rows, statistics_of


class QueueStatistics:
    """Count moves in periods of each resolution, and forget the periods that are too old."""

    def __init__(self) -> None:
        self._periods: dict[Resolution, dict[int, dict[str, dict[str, int]]]] = {
            resolution: {} for resolution in Resolution
        }

    def add(self, ended: Mapping[str, FieldCounts], now: Moment) -> None:
        """Add what ended now, by name."""
        for resolution, periods in self._periods.items():
            start = resolution.start(now)
            if start not in periods:
                self._forget(periods, resolution.start(now - resolution.kept))
            add_rows(periods.setdefault(start, {}), ended)

    def _forget(self, periods: dict[int, dict[str, dict[str, int]]], before: int) -> None:
        for start in [start for start in periods if start < before]:
            del periods[start]

    def rows(
        self, queue: str, since: Moment, until: Moment, resolution: Resolution
    ) -> Iterator[StatisticsRow]:
        """Yield what ended between two moments, by period and name."""
        periods = self._periods[resolution]
        for start in resolution.starts(since, until):
            for name, stored in sorted(periods.get(start, {}).items()):
                yield StatisticsRow(queue, name, start, statistics_of(stored))
