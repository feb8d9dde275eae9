"""Rows of the table `qcore_statistics`: what has ended, by queue, time and task name.

Verdicts write to their minute. The first one of a new minute adds the minutes that are too old to
be asked for to their days, and deletes them, and the days that are too old: so the table does not
grow where nobody sweeps. What is read of a day is its own row and those of its minutes.
"""

import json
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.row_validation import text, whole
from qcore.adapters.sqlite.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.statistics import (
    FieldCounts,
    Resolution,
    StatisticsRow,
    add_rows,
    row_name,
    statistics_of,
)

_SQL: Final = statements("statistics")
_COUNTS: Final = msgspec.json.Decoder(dict[str, int])
_MINUTE: Final = Resolution.MINUTE
_DAY: Final = Resolution.DAY

Rows: TypeAlias = dict[str, dict[str, int]]
"""Name to field to number: the rows of one period."""


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
    """Add minutes that are too old to their days, and delete them and the days that are too old."""
    first = _MINUTE.start(minute - _MINUTE.kept)
    old = _periods(tx, queue, _MINUTE, 0, first)
    for start, rows in _by_day(old).items():
        day = _periods(tx, queue, _DAY, start, start + 1).get(start, {})
        for each in rows:
            add_rows(day, each)
        _write(tx, {"queue": queue, "seconds": int(_DAY), "start": start}, day)
    for resolution, before in ((_MINUTE, first), (_DAY, _DAY.start(minute - _DAY.kept))):
        values = {"queue": queue, "seconds": int(resolution), "before": before}
        tx.execute(_SQL["forget"], values)


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
    if not starts:
        return {}
    end = starts[-1] + resolution
    periods = _periods(tx, queue, resolution, starts[0], end)
    if resolution is _DAY:
        for start, minutes in _by_day(_periods(tx, queue, _MINUTE, starts[0], end)).items():
            for each in minutes:
                add_rows(periods.setdefault(start, {}), each)
    return periods


def _by_day(minutes: Mapping[int, Rows]) -> dict[int, list[Rows]]:
    days: dict[int, list[Rows]] = {}
    for start, rows in sorted(minutes.items()):
        days.setdefault(_DAY.start(start), []).append(rows)
    return days


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
