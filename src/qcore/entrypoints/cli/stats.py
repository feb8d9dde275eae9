"""`qcore stats`: what has ended, how fast, and how long it had waited and run."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

import click

from qcore.domain.histogram import Histogram
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.statistics import Outcome, Resolution, Statistics, StatisticsRow, totals
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.known_values import queue_name
from qcore.entrypoints.cli.output import cell, is_terminal, print_json, print_table
from qcore.entrypoints.cli.sparkline import sparkline
from qcore.entrypoints.written_times import short, timestamp

QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
UNITS: Final = {"min": 60, "h": 3_600, "d": 86_400}
MAX_DIGITS: Final = 5
EXPECTED: Final = "expected such as 90min, 3h or 30d"
TITLES: Final = (
    "QUEUE",
    "TASK",
    "BY MINUTE",
    "PROCESSED",
    "FAILED",
    "RETRIED",
    "DEAD",
    "CRASHED",
    "WAITED P50 P95 P99",
    "RAN P50 P95 P99",
)
TITLES_BY_DAY: Final = tuple("BY DAY" if each == "BY MINUTE" else each for each in TITLES)
WIDEST_SPARKLINE: Final = 31


Key: TypeAlias = tuple[str | Moment, ...]
"""A queue and a name."""


@record
class Span:
    """What is asked for, in periods of one length."""

    since: Moment
    until: Moment
    resolution: Resolution


@click.command()
@click.argument("queue", required=False, shell_complete=queue_name)
@url_option
@click.option(
    "--since", metavar="SPAN", default="1h", show_default=True, help="So long ago: 90min, 3h, 30d."
)
@click.option(
    "--by",
    type=click.Choice([each.name.lower() for each in Resolution]),
    help="Minutes are kept for 3 hours, days for 90 days. [default: minutes where they are kept]",
)
@json_option
def stats(url: str | None, queue: str | None, since: str, by: str | None, *, as_json: bool) -> None:
    """Show what has ended in QUEUE, or in all queues, by task name.

    How much of it by its outcome, and how long it had waited and run: the median, and the times
    that 95 and 99 of a hundred did not exceed, each within 19 %.
    """
    seconds = _seconds(since)
    resolution = Resolution.of(by) if by else _default(seconds)

    async def call(store: Store) -> tuple[Sequence[StatisticsRow], Span]:
        ago = timedelta(seconds=seconds)
        rows = await store.inspector.statistics(queue, since=ago, by=resolution)
        until = store.now()
        return rows, Span(until - seconds, until, resolution)

    rows, span = ask(url, call)
    if as_json:
        print_json(as_record(rows, span))
    else:
        show(rows, span)


def _default(seconds: float) -> Resolution:
    return Resolution.MINUTE if seconds <= Resolution.MINUTE.kept else Resolution.DAY


def _seconds(text: str) -> float:
    """Return how long ago a span begins; raise `Wrong` for what is none."""
    for unit, size in UNITS.items():
        number = text.removesuffix(unit)
        if (
            number != text
            and number.isascii()
            and number.isdigit()
            and len(number) <= MAX_DIGITS
            and int(number)
        ):
            return float(int(number) * size)
    raise Wrong(f"--since {text!r}: {EXPECTED}")


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
    """Print a row for each queue and name, in a terminal with a picture of its rate."""
    grouped = totals(rows, "queue", "name")
    if not is_terminal():
        print_table((), [_plain_row(key, each) for key, each in grouped.items()])
    elif not rows:
        click.echo(f"nothing has ended since {timestamp(span.since)}")
    else:
        table = [_row(key, each, _picture(rows, key, span)) for key, each in grouped.items()]
        print_table(TITLES if span.resolution is Resolution.MINUTE else TITLES_BY_DAY, table)


def _plain_row(key: Key, statistics: Statistics) -> Sequence[str]:
    """Return cells for a program: numbers, and seconds, "-" for none."""
    histograms = (statistics.waits, statistics.runs)
    times = [each for histogram in histograms for each in _quantiles(histogram).values()]
    return (
        *(cell(str(each)) for each in key),
        *(str(each) for each in _counts(statistics)),
        *("-" if each is None else f"{each:g}" for each in times),
    )


def _row(key: Key, statistics: Statistics, picture: str) -> Sequence[str]:
    """Return cells for a person."""
    processed, failed, retried, dead, crashed = (f"{each:,}" for each in _counts(statistics))
    return (
        *(cell(str(each)) for each in key),
        picture,
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


def _picture(rows: Sequence[StatisticsRow], key: Key, span: Span) -> str:
    """Return a sparkline of how many runs ended in each period."""
    ended = {row.start: row.statistics.processed for row in rows if (row.queue, row.name) == key}
    counts = [ended.get(start, 0) for start in span.resolution.starts(span.since, span.until)]
    return sparkline(counts, WIDEST_SPARKLINE)
