"""One benchmark from its first task to its report."""

import asyncio
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Final

from qcore.entrypoints.benchmark.journal import Audit
from qcore.entrypoints.benchmark.producers import bulk, concurrent, jittered, measured, serial
from qcore.entrypoints.benchmark.report import Report
from qcore.entrypoints.benchmark.worker_process import station
from qcore.entrypoints.benchmark.workload import Rig

SAMPLES: Final = 200
"""Tasks by which the latency is measured."""
WARM_UP: Final = 20
GLANCE: Final = 0.05
PATIENCE: Final = 60.0
"""Seconds after which what has not run is lost."""


async def measure(url: str, count: int) -> Report:
    """Measure the store at `url` with batches of `count` tasks, in a queue of our own.

    Nothing of it is left behind, whichever way it ends.
    """
    rig = Rig(url, f"qcore-bench-{token_hex(4)}")
    async with rig.q:
        try:
            with TemporaryDirectory(prefix="qcore-bench-") as folder:
                return await _measure(rig, count, Path(folder) / "journal")
        finally:
            await rig.clear()


async def _measure(rig: Rig, count: int, journal: Path) -> Report:
    tasks = [*await serial(rig, min(count, WARM_UP))]
    # in bulk first: a store that has worked for a while is what one would meet (a file that still
    # grows takes longer to reach the disk than one that is written over)
    many = await measured(bulk, rig, count)
    one = await measured(serial, rig, max(1, count // 5))
    crowd = await measured(concurrent, rig, count)
    tasks += [*many.tasks, *one.tasks, *crowd.tasks]
    async with station(rig, journal, len(tasks)) as worker:
        drain = await worker.drained()
        tasks += await jittered(rig, min(count, SAMPLES))
        await _emptied(rig)
        shift = await worker.left()
    audit = Audit.of(tasks, journal)
    return Report(
        enqueue_serial_per_s=one.rate,
        enqueue_bulk_per_s=many.rate,
        enqueue_concurrent_per_s=crowd.rate,
        drain_per_s=drain,
        latencies=shift.latencies,
        worker_rss_mb=shift.peak_mb,
        lost=audit.lost,
        duplicated=audit.duplicated,
    )


async def _emptied(rig: Rig) -> None:
    """Wait until nothing is left in the queue, or for a minute."""
    try:
        async with asyncio.timeout(PATIENCE):
            while await rig.left():  # noqa: ASYNC110  (a store tells nobody that it is empty)
                await asyncio.sleep(GLANCE)
    except TimeoutError:
        return
