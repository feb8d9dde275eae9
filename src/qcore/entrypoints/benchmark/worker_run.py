"""The side that works."""

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from qcore.domain.record import record
from qcore.entrypoints.benchmark.journal import Journal
from qcore.entrypoints.benchmark.workload import Rig

STALLED: Final = 1.0
"""Seconds without a call after which it is worth asking whether there is anything left to do."""


@record
class Shift:
    """What a worker has to say when it leaves."""

    latencies: Sequence[float]
    """Seconds, in the order of the calls."""
    peak_mb: float
    """The most memory it had."""


async def work(
    rig: Rig,
    path: Path,
    expected: int,
    *,
    drained: Callable[[float], None],
    leave: Callable[[], Awaitable[object]],
) -> Shift:
    """Serve a queue until `leave` returns, with a journal at `path`.

    Tells `drained` the rate of the first `expected` calls.
    """
    worker = rig.q.worker(queues=[rig.queue])
    with closing(Journal(path)) as journal:
        rig.note = journal.note
        # a worker that cannot begin ends the group
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await _all_called(rig, journal, expected)
            drained(journal.rate())
            await leave()
            worker.stop()
        return Shift(journal.latencies, peak_mb())


async def _all_called(rig: Rig, journal: Journal, expected: int) -> None:
    """Wait until everything expected has been called, or there is nothing left that could be."""
    calls = -1
    while journal.calls < expected:
        if calls == journal.calls and not await rig.left():
            return
        calls = journal.calls
        try:
            async with asyncio.timeout(STALLED):
                await journal.reached(expected)
        except TimeoutError:
            continue


def peak_mb() -> float:
    """Return the most memory that this process has had, in units of 2²⁰ bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent had before this process became its own
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)
