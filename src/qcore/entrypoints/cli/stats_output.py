"""Statistics as commands print them: a table as wide as the terminal, cells, or a record."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import click

from qcore.domain.histogram import Histogram
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.statistics import Outcome, Resolution, Statistics, StatisticsRow, totals
from qcore.entrypoints.cli.output import (
    BETWEEN,
    cell,
    is_terminal,
    print_table,
    table_width,
    terminal_width,
)
from qcore.entrypoints.cli.sparkline import sparkline
from qcore.entrypoints.written_times import short, timestamp

QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
TITLES: Final = (
    "QUEUE",
    "TASK",
    "RUNS",
    "FAILED",
    "RETRIED",
    "DEAD",
    "CRASHED",
    "WAIT P50 P95 P99",
    "RAN P50 P95 P99",
)
SPARE: Final = ("CRASHED", "RETRIED", "DEAD", "WAIT P50 P95 P99")
"""Columns that a narrow terminal goes without, the first of them first."""
TASK: Final = TITLES.index("TASK")
NARROWEST_TASK: Final = 12
PICTURE: Final = {each: f"BY {each.name}" for each in Resolution}
WIDEST_PICTURE: Final = 31
NARROWEST_PICTURE: Final = 9
"""Characters, those of the title: where there is less room, there is no picture."""


Key: TypeAlias = tuple[str | Moment, ...]
"""A queue and a name."""


@record
class Span:
    """What is asked for, in periods of one length."""

    since: Moment
    until: Moment
    resolution: Resolution


# --- JSON --------------------------------------------------------------------------------------


def as_record(rows: Sequence[StatisticsRow], span: Span) -> Mapping[str, Any]:
    """Return statistics as JSON has them: of each queue and name, and of its periods."""
    return {
        "since": timestamp(span.since),
        "until": timestamp(span.until),
        "period_seconds": int(span.resolution),
        "statistics": [
            {
                **dict(zip(("queue", "name"), key, strict=True)),
                **_record(total),
                "periods": [
                    {"start": timestamp(row.start), **_record(row.statistics)}
                    for row in rows
                    if (row.queue, row.name) == key
                ],
            }
            for key, total in totals(rows, "queue", "name").items()
        ],
    }


def _record(statistics: Statistics) -> Mapping[str, Any]:
    return {
        "processed": statistics.processed,
        "failed": statistics.failed,
        "dead": statistics.dead,
        "outcomes": {each.value: statistics.number(each) for each in Outcome},
        "waited_seconds": _quantiles(statistics.waits),
        "ran_seconds": _quantiles(statistics.runs),
    }


def _quantiles(histogram: Histogram) -> Mapping[str, float | None]:
    found = ((name, histogram.quantile(share)) for name, share in QUANTILES)
    return {name: None if each is None else float(f"{each:.3g}") for name, each in found}


# --- text --------------------------------------------------------------------------------------


def show(rows: Sequence[StatisticsRow], span: Span) -> None:
    """Print a row for each queue and name, in a terminal as wide as that is."""
    grouped = totals(rows, "queue", "name")
    if not is_terminal():
        print_table((), [_plain_row(key, each) for key, each in grouped.items()])
    elif not rows:
        click.echo(f"nothing has ended since {timestamp(span.since)}")
    else:
        width = terminal_width()
        table = _fitted([TITLES, *(_row(*each) for each in grouped.items())], width)
        room = min(WIDEST_PICTURE, width - table_width(table) - len(BETWEEN))
        if room >= NARROWEST_PICTURE:
            pictures = [_picture(rows, key, span, room) for key in grouped]
            table = _with_pictures(table, [PICTURE[span.resolution], *pictures])
        print_table(table[0], table[1:])


def _fitted(table: Sequence[Sequence[str]], width: int) -> Sequence[Sequence[str]]:
    """Return a table without the columns that a width has no room for, and shorter names."""
    for title in SPARE:
        if table_width(table) <= width:
            return table
        at = table[0].index(title)
        table = [(*row[:at], *row[at + 1 :]) for row in table]
    over = table_width(table) - width
    most = max(NARROWEST_TASK, max(len(row[TASK]) for row in table) - over)
    return [(*row[:TASK], _shortened(row[TASK], most), *row[TASK + 1 :]) for row in table]


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _with_pictures(
    table: Sequence[Sequence[str]], pictures: Sequence[str]
) -> Sequence[Sequence[str]]:
    """Return a table with a column of pictures behind the names."""
    at = TASK + 1
    return [(*row[:at], each, *row[at:]) for row, each in zip(table, pictures, strict=True)]


def _plain_row(key: Key, statistics: Statistics) -> Sequence[str]:
    """Return cells for a program: numbers, and seconds, "-" for none."""
    histograms = (statistics.waits, statistics.runs)
    times = [each for histogram in histograms for each in _quantiles(histogram).values()]
    return (
        *(cell(str(each)) for each in key),
        *(str(each) for each in _counts(statistics)),
        *("-" if each is None else f"{each:g}" for each in times),
    )


def _row(key: Key, statistics: Statistics) -> Sequence[str]:
    """Return cells for a person."""
    processed, failed, retried, dead, crashed = (f"{each:,}" for each in _counts(statistics))
    return (
        *(cell(str(each)) for each in key),
        processed,
        click.style(failed, fg="yellow") if statistics.failed else failed,
        retried,
        click.style(dead, fg="red") if statistics.dead else dead,
        crashed,
        _times(statistics.waits),
        _times(statistics.runs),
    )


def _counts(statistics: Statistics) -> Sequence[int]:
    return (
        statistics.processed,
        statistics.failed,
        statistics.retried,
        statistics.dead,
        statistics.crashed,
    )


def _times(histogram: Histogram) -> str:
    """Return the quantiles in one cell."""
    found = [histogram.quantile(share) for _, share in QUANTILES]
    return " ".join("-" if each is None else short(each) for each in found)


def _picture(rows: Sequence[StatisticsRow], key: Key, span: Span, width: int) -> str:
    """Return a sparkline of how many runs ended in each period."""
    ended = {row.start: row.statistics.processed for row in rows if (row.queue, row.name) == key}
    counts = [ended.get(start, 0) for start in span.resolution.starts(span.since, span.until)]
    return sparkline(counts, width)
