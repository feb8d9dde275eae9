"""`Series`: the numbers of counters and histograms, of a bounded number, which can be added up."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from threading import Lock
from typing import Final, TypeAlias

from qcore.adapters.instruments.metric_catalogue import BOUNDS, COUNTED, METRICS, Metric
from qcore.domain.statistics import MAX_NAMES, OTHER

MAX_QUEUES: Final = 200
"""Queues with series of their own."""
MAX_LABEL: Final = 100
"""Characters of a label's value that are kept."""

Cell: TypeAlias = list[float]
"""A counter's one number; of a histogram the number in each bucket, and the sum of seconds last."""
Sample: TypeAlias = tuple[Metric, tuple[str, ...], Sequence[float]]
"""A metric, its labels' values, and the numbers of its cell: of a gauge, one."""
Change: TypeAlias = tuple[str, Sequence[str], Mapping[int, float]]
"""A metric's name, its labels' values, and by how much which number of the cell has grown."""


class LabelBounds:
    """Let only so many values of a label be; further ones become one, `OTHER`."""

    def __init__(self) -> None:
        self._queues: set[str] = set()
        self._names: defaultdict[str, set[str]] = defaultdict(set)

    def bounded(self, metric: Metric, values: Sequence[str]) -> tuple[str, ...]:
        """Return the values of a metric's labels as they are shown."""
        shown = [cleaned(each) for each in values]
        # a queue is the first label of a metric that has one, and a name the second
        if "queue" in metric.labels:
            shown[0] = _admitted(shown[0], self._queues, MAX_QUEUES)
        if "name" in metric.labels:
            shown[1] = _admitted(shown[1], self._names[shown[0]], MAX_NAMES)
        return tuple(shown)


def _admitted(value: str, known: set[str], most: int) -> str:
    if value not in known:
        if len(known) >= most:
            return OTHER
        known.add(value)
    return value


def cleaned(value: str) -> str:
    """Return a label's value that any tool can show: printable, of bounded length, never empty."""
    if value.isprintable() and len(value) <= MAX_LABEL:
        return value
    text = value.encode(errors="backslashreplace").decode()
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


def observe_one(cell: Cell, seconds: float) -> None:
    """Count seconds in a histogram's cell, as `observe` does."""
    seconds = max(seconds, 0.0)
    cell[-1] += seconds
    cell[bisect_left(BOUNDS, seconds)] += 1


def observe(cell: Cell, seconds: Collection[float]) -> None:
    """Count seconds in a histogram's cell; those below 0, of clocks that differ, are none."""
    if not seconds:
        return
    # sorted: then a batch costs a search for each bucket rather than one for each number
    ordered = sorted(seconds)
    if ordered[0] < 0:
        ordered = [max(each, 0.0) for each in ordered]
    cell[-1] += sum(ordered)
    at = 0
    while at < len(ordered):
        # the bound is in its bucket: `le` is less or equal
        bucket = bisect_left(BOUNDS, ordered[at])
        is_last = bucket == len(BOUNDS)
        end = len(ordered) if is_last else bisect_right(ordered, BOUNDS[bucket], at)
        cell[bucket] += end - at
        at = end


class Series:
    """All counters and histograms of a process, or of several. To be used under its `lock`.

    Only to a buffer anybody appends at any time: the lock takes longer than to measure a call.
    """

    def __init__(self) -> None:
        self.lock: Final = Lock()
        self._bounds = LabelBounds()
        self._cells: dict[tuple[str, tuple[str, ...]], Cell] = {}
        self._told: dict[tuple[str, tuple[str, ...]], Cell] = {}
        self._buffers: dict[tuple[Metric, tuple[str, ...]], list[float]] = {}
        for metric in COUNTED:
            if not metric.labels:
                # 0 from the beginning: a rate needs two values
                self.cell(metric)

    def cell(self, metric: Metric, *values: str) -> Cell:
        """Return the cell of a metric with these labels."""
        key = metric.name, self._bounds.bounded(metric, values)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _empty(metric)
        return cell

    def buffer(self, metric: Metric, *values: str) -> list[float]:
        """Return the list of the seconds that are yet to be counted in a histogram."""
        return self._buffers.setdefault((metric, values), [])

    def count_buffered(self) -> None:
        """Count what is in buffers; so is done when the numbers are asked for."""
        for (metric, values), buffer in self._buffers.items():
            if number := len(buffer):
                observe(self.cell(metric, *values), buffer[:number])
                # others go on to append meanwhile
                del buffer[:number]

    def samples(self) -> list[Sample]:
        """Return all that was counted."""
        self.count_buffered()
        return [
            (METRICS[name], labels, tuple(cell)) for (name, labels), cell in self._cells.items()
        ]

    def changes(self) -> list[Change]:
        """Return what has grown since this was asked for the last time."""
        self.count_buffered()
        changes: list[Change] = []
        for key, cell in self._cells.items():
            told = self._told.get(key)
            if told != cell:
                before = told or [0.0] * len(cell)
                grown = {at: new - before[at] for at, new in enumerate(cell) if new != before[at]}
                # one that begins at 0 is told, too
                changes.append((*key, grown))
                self._told[key] = list(cell)
        return changes

    def add(self, changes: Iterable[Change]) -> None:
        """Count what another process has counted; metrics of other versions are left out."""
        for name, labels, grown in changes:
            metric = METRICS.get(name)
            if metric is None or len(labels) != len(metric.labels):
                continue
            cell = self.cell(metric, *labels)
            for at, number in grown.items():
                if 0 <= at < len(cell):
                    cell[at] += number


def _empty(metric: Metric) -> Cell:
    return [0.0] if metric.kind == "counter" else [0.0] * (len(BOUNDS) + 2)
