"""`qcore bench`: measure a store."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from qcore.domain.errors import InvalidOption, QcoreError
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

if TYPE_CHECKING:
    from qcore.entrypoints.benchmark.report import Report


@click.command()
@click.option("--url", help="Where tasks wait. [default: an SQLite file for the time being]")
@click.option(
    "--tasks",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="To enqueue in bulk, and by 32 producers; a fifth one by one; fivefold to drain.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(url: str | None, tasks: int, *, as_json: bool) -> None:
    """Measure how fast tasks are enqueued and run, and check that each runs exactly once.

    The drain is that of a worker that is warm, from a backlog.

    Works in a queue of its own, and leaves the store as it was. Exits with 1 if a task was lost, or
    ran twice.
    """
    configure("warning")
    try:
        report = _report(url, tasks)
    except InvalidOption as error:
        raise Wrong(str(error)) from None
    except QcoreError as error:
        raise Unwell(str(error)) from None
    click.echo(json.dumps(report.figures(), indent=2) if as_json else report.table())
    if not report.is_clean:
        raise SystemExit(1)


def _report(url: str | None, tasks: int) -> "Report":
    # imported when asked for: `qcore worker` shares this command line, and needs no benchmark
    from qcore.entrypoints.benchmark.run import measure

    if url is not None:
        return run(measure(url, tasks))
    with TemporaryDirectory(prefix="qcore-bench-") as folder:
        return run(measure(f"sqlite:///{quote(str(Path(folder) / 'bench.db'))}", tasks))
