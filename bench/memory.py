"""The memory broker, with the worker in the same process and every safety on."""

from typing import Any

from bench.runs import repeated
from qcore.entrypoints.benchmark.run import measure
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

TASKS = 20_000
"""In bulk, and from many producers; 44,020 to drain."""


def figures() -> dict[str, Any]:
    configure("warning")
    return repeated(_once)


def _once() -> dict[str, Any]:
    report = run(measure("memory://", TASKS))
    assert report.is_clean, report
    return report.figures()
