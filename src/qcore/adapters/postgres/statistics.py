"""Rows of the table `statistics`: what has ended, by queue, time and task name.

Verdicts write to their minute. The first one of a new minute adds the minutes that are too old to
be asked for to their hours, hours to their days, and deletes them, and the days that are too old:
so the table does not grow where nobody sweeps. What is read of a period is its own rows and those
of the shorter periods in it.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from qcore.adapters.links.postgres import Row, Tx, Values
from qcore.adapters.links.postgres.arrays import texts
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.statistics import (
    FieldCounts,
    Resolution,
    Rows,
    StatisticsRow,
    add_periods,
    add_rows,
    statistics_of,
    tallied,
    tallied_successes,
)
from qcore.domain.task import Verdict

_SQL: Final = statements("statistics")
_COUNTS: Final = msgspec.json.Decoder(dict[str, int])
_MINUTE: Final = Resolution.MINUTE
MAX_REMEMBERED: Final = 1_000
"""Queues and minutes of which the names are remembered that have rows."""


class KnownNames:
    """The names that have rows of their own, by queue and minute: once there is one, it stays."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, int], set[str]] = OrderedDict()

    def get(self, queue: str, start: int) -> set[str] | None:
        """Return the names that are known of a minute; None where nothing is."""
        return self._names.get((queue, start))

    def set(self, queue: str, start: int, names: set[str]) -> None:
        """Remember the names of a minute."""
        self._names[queue, start] = names
        while len(self._names) > MAX_REMEMBERED:
            self._names.popitem(last=False)

    def forget(self, queue: str | None = None) -> None:
        """Forget a queue: its rows are removed; or all, as a transaction was undone."""
        for key in [key for key in self._names if queue in {None, key[0]}]:
            self._names.pop(key, None)


async def record(tx: Tx, endings: Endings, known: KnownNames) -> None:
    """Add what ended to the rows of the minute."""
    for queue, each in sorted(endings.by_queue.items()):
        if ended := tallied(each):
            await _record(tx, queue, ended, endings.moved_at, known)


async def _record(
    tx: Tx, queue: str, ended: Mapping[str, FieldCounts], now: Moment, known: KnownNames
) -> None:
    start = _MINUTE.start(now)
    names = known.get(queue, start)
    if names is None or not names.issuperset(ended):
        # a new name: whether it gets a row of its own is for all that there are to say
        place = {"queue": queue, "seconds": int(_MINUTE), "start": start}
        names = {name for (name,) in await tx.fetch(_SQL["names"], place)}
        if not names:
            await _fold(tx, queue, start)
    rows: Rows = {name: {} for name in names}
    add_rows(rows, ended)
    _add(tx, queue, _MINUTE, start, rows)
    known.set(queue, start, {*rows})


def values_of_successes(
    names: Sequence[str], verdicts: Sequence[Verdict], now: Moment, known: KnownNames
) -> Values | None:
    """Return what adds successes to the rows of the minute, given by the names of their tasks.

    None where there is a name that may have no row yet.
    """
    start = _MINUTE.start(now)
    by_queue: defaultdict[str, tuple[list[str], list[Verdict]]] = defaultdict(lambda: ([], []))
    for name, verdict in zip(names, verdicts, strict=True):
        some_names, some_verdicts = by_queue[verdict.lease.queue]
        some_names.append(name)
        some_verdicts.append(verdict)
    rows: list[tuple[str, str, FieldCounts]] = []
    for queue, some in by_queue.items():
        rows_of_names = known.get(queue, start)
        if rows_of_names is None or not rows_of_names.issuperset(some[0]):
            return None
        rows += [(queue, name, counts) for name, counts in tallied_successes(*some).items()]
    return {
        "seconds": int(_MINUTE),
        "start": start,
        "counted": texts([queue for queue, _, _ in rows]),
        "names": texts([name for _, name, _ in rows]),
        "counts": texts([_encode(counts) for _, _, counts in rows]),
    }


async def _fold(tx: Tx, queue: str, minute: int) -> None:
    """Add what is too old for its resolution to the next one, and delete what none keeps."""
    for resolution in Resolution:
        first = resolution.start(minute - resolution.kept)
        values = {"queue": queue, "seconds": int(resolution), "before": first}
        rows = await tx.fetch(_SQL["take_old"], values)
        if resolution.coarser is not None and rows:
            await _add_to(tx, queue, resolution.coarser, _by_period(rows))


async def _add_to(tx: Tx, queue: str, resolution: Resolution, old: Mapping[int, Rows]) -> None:
    """Add rows to those of the longer periods that they are in."""
    for start in sorted({resolution.start(each) for each in old}):
        place = {"queue": queue, "seconds": int(resolution), "start": start}
        named: Rows = {name: {} for (name,) in await tx.fetch(_SQL["names"], place)}
        periods = {start: named}
        part = {each: rows for each, rows in old.items() if resolution.start(each) == start}
        add_periods(periods, part, resolution)
        _add(tx, queue, resolution, start, periods[start])


def _add(tx: Tx, queue: str, resolution: Resolution, start: int, rows: Rows) -> None:
    """Add counts to the rows of a period."""
    counted = {name: counts for name, counts in rows.items() if counts}
    encoded = [_encode(counts) for counts in counted.values()]
    values = {"queue": queue, "seconds": int(resolution), "start": start}
    tx.add(_SQL["add"], {**values, "names": texts(counted), "counts": texts(encoded)})


async def read(
    tx: Tx, queues: Iterable[str], since: Moment, until: Moment, resolution: Resolution
) -> list[StatisticsRow]:
    """Return what ended in queues, by queue, period and name."""
    starts = resolution.starts(since, until)
    return [
        StatisticsRow(queue, name, start, statistics_of(counts))
        for queue in queues
        for start, rows in sorted((await _read(tx, queue, starts, resolution)).items())
        for name, counts in sorted(rows.items())
    ]


async def _read(tx: Tx, queue: str, starts: range, resolution: Resolution) -> dict[int, Rows]:
    if not starts:
        return {}
    # all in one statement: what is added to a longer period meanwhile is found in one of both
    values = {
        "queue": queue,
        "seconds": int(resolution),
        "first": starts[0],
        "end": starts[-1] + int(resolution),
    }
    rows = await tx.fetch(_SQL["rows"], values)
    found: dict[int, Rows] = {}
    # the longest first, which have what is oldest
    for each in reversed(Resolution):
        part = _by_period([row[1:] for row in rows if row[0] == each])
        add_periods(found, part, resolution)
    return found


def _by_period(found: Sequence[Row]) -> dict[int, Rows]:
    periods: dict[int, Rows] = {}
    for start, name, counts in found:
        add_rows(periods.setdefault(start, {}), {name: _decode(counts)})
    return periods


def _encode(counts: FieldCounts) -> str:
    return msgspec.json.encode(counts).decode()


def _decode(counts: str) -> dict[str, int]:
    """Return what is stored; nothing where it was edited by hand into something else."""
    try:
        return _COUNTS.decode(counts)
    except (msgspec.DecodeError, RecursionError):
        return {}
