"""The SQLite broker, the worker in a process of its own.

With `synchronous=full`, the default, a task is on the disk when its producer is answered: there,
one by one means one disk flush after the other, so the disk's own figure stands beside it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from bench.runs import repeated
from qcore.entrypoints.benchmark.producers import bulk, produce, serial_blocking
from qcore.entrypoints.benchmark.run import measure
from qcore.entrypoints.benchmark.workload import Workload
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

TASKS = 10_000
ONE_BY_ONE = 1_000
FLUSHES = 200
RUNS = 3


def figures() -> dict[str, Any]:
    configure("warning")
    return {
        "disk_flushes_per_s": repeated(lambda: {"rate": _flushes()}, RUNS)["rate"],
        "full": repeated(lambda: _once("full"), RUNS),
        "normal": repeated(lambda: _once("normal"), RUNS),
    }


def _once(synchronous: str) -> dict[str, Any]:
    with _a_store(synchronous) as url:
        blocking = run(_one_by_one(url))
        report = run(measure(url, TASKS))
    assert report.is_clean, report
    return report.figures() | {"enqueue_serial_blocking_per_s": round(blocking)}


@contextmanager
def _a_store(synchronous: str) -> Iterator[str]:
    with TemporaryDirectory(prefix="qcore-bench-") as folder:
        yield f"sqlite:///{folder}/bench.db?synchronous={synchronous}"


async def _one_by_one(url: str) -> float:
    workload = Workload(url, "qcore-bench-blocking")
    async with workload.q:
        # as in `measure`, on a file that no longer grows with each task
        await bulk(workload, TASKS)
        production = await produce(serial_blocking, workload, ONE_BY_ONE)
        await workload.clear()
    return production.rate


def _flushes() -> float:
    """Return how often a second a page can be written and flushed to this disk."""
    with TemporaryDirectory(prefix="qcore-bench-") as folder:
        file = os.open(Path(folder) / "flush", os.O_CREAT | os.O_WRONLY)
        began = perf_counter()
        for _ in range(FLUSHES):
            os.write(file, bytes(4096))
            os.fsync(file)
        seconds = perf_counter() - began
        os.close(file)
    return FLUSHES / seconds
