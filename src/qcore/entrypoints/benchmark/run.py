"""One run of the benchmark: enqueue in three ways, drain, measure latency, audit.

The drain is timed once the worker is warm: what the three ways have enqueued, it runs first, and
then a backlog of `BACKLOG` times as many as one of them, whose rate is published. A worker serves
for days; timed from its first run, it would be measured by what each process does once: a task of
the first thousand takes 142 µs of the processor, a later one 17.
"""

import asyncio
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Final

from qcore.entrypoints.benchmark.journal import Audit, DrainPlan
from qcore.entrypoints.benchmark.producers import bulk, concurrent, jittered, produce, serial
from qcore.entrypoints.benchmark.report import Report
from qcore.entrypoints.benchmark.worker_process import started_worker
from qcore.entrypoints.benchmark.workload import Workload

BACKLOG: Final = 5
"""Batches of a drain that is timed."""
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
    backlog = await bulk(workload, BACKLOG * count)
    plan = DrainPlan(warm_up=len(tasks), timed=len(backlog))
    tasks += backlog
    async with started_worker(workload, journal, plan) as worker:
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
