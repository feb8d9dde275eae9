"""Where the worker works: in a process of its own if the store can be shared, else in this one."""

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

from qcore.domain.errors import QcoreError
from qcore.entrypoints.benchmark.worker_run import Shift, work
from qcore.entrypoints.benchmark.workload import Rig
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import Capability

STATION_EXIT_TIMEOUT: Final = 10.0

# a forked child would inherit this process's loop and its connections in mid-flight
_spawning: Final = multiprocessing.get_context("spawn")


class WorkerEnded(QcoreError):
    """Say that the worker process of a benchmark ended before its time."""


class Station(Protocol):
    """A worker at work."""

    async def drained(self) -> float:
        """Wait until it has called what was expected of it; return how many a second."""
        ...

    async def left(self) -> Shift:
        """Tell it to leave, and return what it has to say."""
        ...


@asynccontextmanager
async def station(rig: Rig, path: Path, expected: int) -> AsyncGenerator[Station, None]:
    """Keep a worker while the block lasts; it writes a journal at `path`."""
    if Capability.SHARED not in rig.q.broker.capabilities:
        async with asyncio.TaskGroup() as group:
            yield _Here(rig, path, expected, group)
        return
    elsewhere = _Elsewhere(rig, path, expected)
    try:
        yield elsewhere
    finally:
        await asyncio.to_thread(elsewhere.end)


class _Here:
    """A worker in this process."""

    def __init__(self, rig: Rig, path: Path, expected: int, group: asyncio.TaskGroup) -> None:
        self._drained: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._work = group.create_task(
            work(rig, path, expected, drained=self._drained.set_result, leave=self._leave.wait)
        )

    async def drained(self) -> float:
        return await self._drained

    async def left(self) -> Shift:
        self._leave.set()
        return await self._work


class _Elsewhere:
    """A worker in a process of its own."""

    def __init__(self, rig: Rig, path: Path, expected: int) -> None:
        self._pipe, theirs = _spawning.Pipe()
        self._process = _spawning.Process(
            target=serve, args=(theirs, rig.url, rig.queue, path, expected), daemon=True
        )
        self._process.start()
        theirs.close()

    async def drained(self) -> float:
        return float(await self._heard())

    async def left(self) -> Shift:
        self._pipe.send(None)
        shift: Shift = await self._heard()
        await asyncio.to_thread(self._process.join, STATION_EXIT_TIMEOUT)
        return shift

    async def _heard(self) -> Any:
        try:
            return await asyncio.to_thread(self._pipe.recv)
        except (EOFError, OSError):
            self._process.join(STATION_EXIT_TIMEOUT)
            code = self._process.exitcode
            raise WorkerEnded(f"the worker process ended with exit code {code}") from None

    def end(self) -> None:
        """End it if it has not ended by itself."""
        self._process.kill()
        self._process.join()


def serve(pipe: Connection, url: str, queue: str, path: Path, expected: int) -> None:
    """Work until the other side says something or goes away: the main function of the process."""
    # Ctrl-C reaches the whole group: it is the other side that decides what that means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure("warning")

    async def leave() -> None:
        with suppress(EOFError):
            await asyncio.to_thread(pipe.recv)

    async def main() -> Shift:
        async with (rig := Rig(url, queue)).q:
            return await work(rig, path, expected, drained=pipe.send, leave=leave)

    pipe.send(run(main()))
