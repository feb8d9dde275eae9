"""`qcore stats`: what has ended, how fast, and how long it had waited and run."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import click

from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import queue_name
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.output import print_json
from qcore.entrypoints.cli.stats_output import Span, as_record, show

UNITS: Final = {"min": 60, "h": 3_600, "d": 86_400}
MAX_DIGITS: Final = 5
EXPECTED: Final = "expected such as 90min, 3h or 30d"


@click.command()
@click.argument("queue", required=False, shell_complete=queue_name)
@url_option
@click.option(
    "--since", metavar="SPAN", default="1h", show_default=True, help="So long ago: 90min, 3h, 30d."
)
@click.option(
    "--by",
    type=click.Choice([each.name.lower() for each in Resolution]),
    help="Minutes are kept for 3 hours, hours for 2 days, days for 90 days. "
    "[default: the finest that is kept for so long]",
)
@json_option
def stats(url: str | None, queue: str | None, since: str, by: str | None, *, as_json: bool) -> None:
    """Show what has ended in QUEUE, or in all queues, by task name.

    How much of it by its outcome, and how long it had waited and run: the median, and the times
    that 95 and 99 of a hundred did not exceed, each within 19 %.
    """
    seconds = _seconds(since)
    resolution = Resolution.of(by) if by else Resolution.finest(seconds)

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
