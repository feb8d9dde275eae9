"""The worker's side of a benchmark: run what was enqueued, and report latencies and memory."""

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from qcore.domain.record import record
from qcore.entrypoints.benchmark.journal import DrainPlan, Journal
from qcore.entrypoints.benchmark.workload import Workload

STALLED: Final = 1.0
"""Seconds without a run after which the store is asked whether any task is left."""


@record
class WorkerReport:
    """What a worker has measured when it ends."""

    latencies: Sequence[float]
    """Seconds, in the order of the runs."""
    peak_mb: float
    """The process's largest resident set, in units of 2²⁰ bytes."""


async def run_worker(
    workload: Workload,
    path: Path,
    plan: DrainPlan,
    *,
    drained: Callable[[float], None],
    stopped: Callable[[], Awaitable[object]],
) -> WorkerReport:
    """Serve the workload's queue until `stopped` returns, with a journal at `path`.

    Calls `drained` with the rate, in tasks a second, of the runs of the plan that are timed.
    """
    worker = workload.q.worker(queues=[workload.queue])
    with closing(Journal(path, warm_up=plan.warm_up)) as journal:
        workload.record_run = journal.record
        # a worker that cannot start fails the group
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await _all_run(workload, journal, plan.total)
            drained(journal.rate())
            await stopped()
            worker.stop()
        return WorkerReport(journal.latencies, peak_mb())


async def _all_run(workload: Workload, journal: Journal, expected: int) -> None:
    """Wait until all that is expected has run, or the queue has nothing left to run."""
    runs = -1
    while journal.runs < expected:
        if runs == journal.runs and not await workload.remaining():
            return
        runs = journal.runs
        try:
            async with asyncio.timeout(STALLED):
                await journal.reached(expected)
        except TimeoutError:
            continue


def peak_mb() -> float:
    """Return the largest resident set of this process so far, in units of 2²⁰ bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage also counts the parent's memory, from before this process executed its own image
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)
