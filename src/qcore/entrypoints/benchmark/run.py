"""One run of the benchmark: enqueue in three ways, drain, measure latency, audit."""

import asyncio
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Final

from qcore.entrypoints.benchmark.journal import Audit
from qcore.entrypoints.benchmark.producers import bulk, concurrent, jittered, produce, serial
from qcore.entrypoints.benchmark.report import Report
from qcore.entrypoints.benchmark.worker_process import started_worker
from qcore.entrypoints.benchmark.workload import Workload

LATENCY_TASKS: Final = 200
"""Tasks by which the latency is measured."""
WARM_UP_TASKS: Final = 20
POLL_INTERVAL: Final = 0.05
DRAIN_TIMEOUT: Final = 60.0
"""Seconds after which a task that has not run counts as lost."""


async def measure(url: str, count: int) -> Report:
    """Measure the store at `url` with batches of `count` tasks, in a queue of its own.

    Nothing of it is left in the store, whichever way it ends.
    """
    workload = Workload(url, f"qcore-bench-{token_hex(4)}")
    async with workload.q:
        try:
            with TemporaryDirectory(prefix="qcore-bench-") as folder:
                return await _measure(workload, count, Path(folder) / "journal")
        finally:
            await workload.clear()


async def _measure(workload: Workload, count: int, journal: Path) -> Report:
    tasks = [*await serial(workload, min(count, WARM_UP_TASKS))]
    # in bulk first: a store that has worked for a while is the usual case (a file that still grows
    # takes longer to reach the disk than one that is overwritten)
    many = await produce(bulk, workload, count)
    one = await produce(serial, workload, max(1, count // 5))
    crowd = await produce(concurrent, workload, count)
    tasks += [*many.tasks, *one.tasks, *crowd.tasks]
    async with started_worker(workload, journal, len(tasks)) as worker:
        drain = await worker.drained()
        tasks += await jittered(workload, min(count, LATENCY_TASKS))
        await _wait_until_empty(workload)
        report = await worker.stop()
    audit = Audit.of(tasks, journal)
    return Report(
        enqueue_serial_per_s=one.rate,
        enqueue_bulk_per_s=many.rate,
        enqueue_concurrent_per_s=crowd.rate,
        drain_per_s=drain,
        latencies=report.latencies,
        worker_rss_mb=report.peak_mb,
        lost=audit.lost,
        duplicated=audit.duplicated,
    )


async def _wait_until_empty(workload: Workload) -> None:
    """Wait until the queue is empty, or for `DRAIN_TIMEOUT`."""
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT):
            while await workload.remaining():  # noqa: ASYNC110  (a store tells nobody that it is empty)
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        return
