"""The worker of a benchmark: a child process if the store can be shared, else this process."""

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

from qcore.domain.errors import QcoreError
from qcore.entrypoints.benchmark.journal import DrainPlan
from qcore.entrypoints.benchmark.worker_run import WorkerReport, run_worker
from qcore.entrypoints.benchmark.workload import Workload
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import Capability

EXIT_TIMEOUT: Final = 10.0
"""Seconds to wait for the child process to exit."""

# a forked child would inherit this process's loop and its connections in mid-flight
_spawning: Final = multiprocessing.get_context("spawn")


class WorkerEnded(QcoreError):
    """Say that the worker process of a benchmark ended before it was stopped."""


class BenchmarkWorker(Protocol):
    """A worker that serves the workload's queue."""

    async def drained(self) -> float:
        """Wait until it has run all that is expected; return the rate in tasks a second."""
        ...

    async def stop(self) -> WorkerReport:
        """Stop it, and return its report."""
        ...


@asynccontextmanager
async def started_worker(
    workload: Workload, path: Path, plan: DrainPlan
) -> AsyncGenerator[BenchmarkWorker, None]:
    """Run a worker while the block lasts; it writes a journal at `path`."""
    if Capability.SHARED not in workload.q.broker.capabilities:
        async with asyncio.TaskGroup() as group:
            yield _InProcess(workload, path, plan, group)
        return
    child = _ChildProcess(workload, path, plan)
    try:
        yield child
    finally:
        await asyncio.to_thread(child.kill)


class _InProcess:
    """A worker in this process: the store lives in its memory."""

    def __init__(
        self, workload: Workload, path: Path, plan: DrainPlan, group: asyncio.TaskGroup
    ) -> None:
        self._drained: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._report = group.create_task(
            run_worker(
                workload, path, plan, drained=self._drained.set_result, stopped=self._stop.wait
            )
        )

    async def drained(self) -> float:
        return await self._drained

    async def stop(self) -> WorkerReport:
        self._stop.set()
        return await self._report


class _ChildProcess:
    """A worker in a spawned process; a pipe carries its rate, the order to stop, and its report."""

    def __init__(self, workload: Workload, path: Path, plan: DrainPlan) -> None:
        self._pipe, theirs = _spawning.Pipe()
        self._process = _spawning.Process(
            target=child_main,
            args=(theirs, workload.url, workload.queue, path, plan),
            daemon=True,
        )
        self._process.start()
        theirs.close()

    async def drained(self) -> float:
        return float(await self._received())

    async def stop(self) -> WorkerReport:
        self._pipe.send(None)
        report: WorkerReport = await self._received()
        await asyncio.to_thread(self._process.join, EXIT_TIMEOUT)
        return report

    async def _received(self) -> Any:
        try:
            return await asyncio.to_thread(self._pipe.recv)
        except (EOFError, OSError):
            self._process.join(EXIT_TIMEOUT)
            code = self._process.exitcode
            raise WorkerEnded(f"the worker process ended with exit code {code}") from None

    def kill(self) -> None:
        """Kill the process if it has not exited by itself."""
        self._process.kill()
        self._process.join()


def child_main(pipe: Connection, url: str, queue: str, path: Path, plan: DrainPlan) -> None:
    """Run the worker until the parent sends something or goes away: the child's main function."""
    # Ctrl-C reaches the whole process group; the parent decides what to do about it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure("warning")

    async def stopped() -> None:
        with suppress(EOFError):
            await asyncio.to_thread(pipe.recv)

    async def main() -> WorkerReport:
        async with (workload := Workload(url, queue)).q:
            return await run_worker(workload, path, plan, drained=pipe.send, stopped=stopped)

    pipe.send(run(main()))
