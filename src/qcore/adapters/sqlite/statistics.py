"""Rows of the table `qcore_statistics`: what has ended, by queue, time and task name.

Verdicts write to their minute. The first one of a new minute adds the minutes that are too old to
be asked for to their hours, hours to their days, and deletes them, and the days that are too old:
so the table does not grow where nobody sweeps. What is read of a period is its own row and those of
the shorter periods in it. A qcore that knew no hours has added minutes to days at once, and does
not read hours; nothing is counted twice by either.
"""

import json
from collections.abc import Mapping
from typing import Final

import msgspec

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.row_validation import text, whole
from qcore.adapters.sqlite.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.statistics import (
    FieldCounts,
    Resolution,
    Rows,
    StatisticsRow,
    add_periods,
    add_rows,
    row_name,
    statistics_of,
)

_SQL: Final = statements("statistics")
_COUNTS: Final = msgspec.json.Decoder(dict[str, int])
_MINUTE: Final = Resolution.MINUTE


def record(tx: Tx, queue: int, ended: Mapping[str, FieldCounts], now: Moment) -> None:
    """Add what ended now in a queue, by its key, to the rows of the minute."""
    start = _MINUTE.start(now)
    place = {"queue": queue, "seconds": int(_MINUTE), "start": start}
    found = tx.execute(_SQL["named"], {**place, "names": json.dumps(list(ended))})
    rows = {text(name): _decode(counts) for name, counts in found}
    if len(rows) < len(ended):
        # a new name: whether it gets a row of its own is for all that there are to say
        rows = _periods(tx, queue, _MINUTE, start, start + 1).get(start, {})
    if not rows:
        _fold(tx, queue, start)
    add_rows(rows, ended)
    _write(tx, place, {name: rows[name] for name in {row_name(each, rows) for each in ended}})


def _fold(tx: Tx, queue: int, minute: int) -> None:
    """Add what is too old for its resolution to the next one, and delete what none keeps."""
    for resolution in Resolution:
        first = resolution.start(minute - resolution.kept)
        if resolution.coarser is not None:
            _add_to(tx, queue, resolution.coarser, _periods(tx, queue, resolution, 0, first))
        tx.execute(_SQL["forget"], {"queue": queue, "seconds": int(resolution), "before": first})


def _add_to(tx: Tx, queue: int, resolution: Resolution, old: Mapping[int, Rows]) -> None:
    """Add rows to those of the longer periods that they are in."""
    for start in sorted({resolution.start(each) for each in old}):
        periods = _periods(tx, queue, resolution, start, start + 1)
        part = {each: rows for each, rows in old.items() if resolution.start(each) == start}
        add_periods(periods, part, resolution)
        _write(tx, {"queue": queue, "seconds": int(resolution), "start": start}, periods[start])


def read(
    tx: Tx, queues: Mapping[str, int], since: Moment, until: Moment, resolution: Resolution
) -> list[StatisticsRow]:
    """Return what ended in queues, given as names to keys, by queue, period and name."""
    starts = resolution.starts(since, until)
    return [
        StatisticsRow(queue, name, start, statistics_of(counts))
        for queue, key in queues.items()
        for start, rows in sorted(_read(tx, key, starts, resolution).items())
        for name, counts in sorted(rows.items())
    ]


def _read(tx: Tx, queue: int, starts: range, resolution: Resolution) -> dict[int, Rows]:
    found: dict[int, Rows] = {}
    # the longest first, which have what is oldest
    for each in reversed(Resolution):
        if starts and each <= resolution:
            part = _periods(tx, queue, each, starts[0], starts[-1] + resolution)
            add_periods(found, part, resolution)
    return found


def _periods(tx: Tx, queue: int, resolution: Resolution, first: int, end: int) -> dict[int, Rows]:
    """Return the rows of the periods that begin from `first` and before `end`."""
    values = {"queue": queue, "seconds": int(resolution), "first": first, "end": end}
    periods: dict[int, Rows] = {}
    for start, name, counts in tx.execute(_SQL["rows"], values):
        periods.setdefault(whole(start, 0) or 0, {})[text(name)] = _decode(counts)
    return periods


def _write(tx: Tx, place: Mapping[str, int], rows: Rows) -> None:
    tx.executemany(
        _SQL["write"],
        [
            {**place, "name": name, "counts": msgspec.json.encode(counts).decode()}
            for name, counts in rows.items()
        ],
    )


def _decode(counts: str | bytes) -> dict[str, int]:
    """Return what is stored; nothing where it was edited by hand into something else."""
    try:
        return _COUNTS.decode(counts)
    except (msgspec.DecodeError, RecursionError, TypeError):
        return {}
