"""Measure, print the figures as one JSON object, and write the table and the chart."""

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers.catalogue import STORES, chosen
from bench.peers.chart import chart
from bench.peers.failures import Failure
from bench.peers.plans import Limits
from bench.peers.rounds import contest
from bench.peers.summary import is_clean, summarised
from bench.peers.table import document, marks, put_in


def main() -> None:
    words = _words()
    if words.figures:
        results = json.loads(words.figures.read_text())
    else:
        results = _measured(words)
        print(json.dumps(results, indent=1))
    if not results["systems"]:
        sys.exit("no system could be measured")
    if words.table:
        _write_table(words.table, results)
    if words.chart:
        words.chart.write_text(chart(results))
    if not is_clean(results):
        sys.exit("a system failed, lost a task or ran one twice: see the figures")


def _measured(words: argparse.Namespace) -> dict[str, Any]:
    # so that what is running ends with us
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _frame: sys.exit(128 + number))
    limits = Limits(tasks=words.tasks, seconds=words.seconds, probes=words.probes)
    try:
        return summarised(contest(words.store, words.entries, limits, words.rounds))
    except Failure as failure:
        sys.exit(str(failure))


def _write_table(path: Path, results: Mapping[str, Any]) -> None:
    """Write the table into a page that has a place for it, or as a page of its own."""
    page = path.read_text() if path.exists() else ""
    block, store = document(results), results["store"]["name"]
    begin, _ = marks(store)
    path.write_text(put_in(page, block, store) if begin in page else f"{block}\n")


def _words() -> argparse.Namespace:
    parser = _parser()
    words = parser.parse_args()
    try:
        words.entries = chosen(words.store, words.only)
    except ValueError as error:
        parser.error(str(error))
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    add = parser.add_argument
    add("--store", choices=STORES, default="redis", help="that all are measured on (%(default)s)")
    add("--only", type=lambda names: names.split(","), metavar="NAMES", help="as in qcore,huey")
    add("--rounds", type=int, default=3, help="after a warm-up (%(default)s)")
    add("--tasks", type=int, default=100_000, help="most tasks in one step (%(default)s)")
    add("--seconds", type=float, default=3.0, help="that a drain should take (%(default)s)")
    add("--probes", type=int, default=120, help="of an idle worker, at 20/s (%(default)s)")
    add("--figures", type=Path, metavar="JSON", help="take these; measure nothing")
    add("--table", type=Path, metavar="MD", help="write the table here")
    add("--chart", type=Path, metavar="SVG", help="write the chart here")
    return parser


if __name__ == "__main__":
    main()
