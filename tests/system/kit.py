"""Worker processes, and waiting for what they do."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from qcore import Qcore, Task
from qcore.app.client.handles import Handle

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds after which what has not happened will not."""
GLANCE = 0.02


async def until(come: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Wait until something has come about; fail, saying what, when it does not."""
    deadline = monotonic() + PATIENCE
    while True:
        answer = come()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        await asyncio.sleep(GLANCE)


class WorkerProcess:
    """A `qcore worker` that serves the test application."""

    def __init__(self, url: str, log: Path, *options: str) -> None:
        command = [sys.executable, "-m", "qcore", "worker", "tests.system.application:q", *options]
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"QCORE_URL": url}, stderr=output
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def said(self, what: str) -> None:
        """Wait until it has logged something."""
        await until(lambda: what in self.log or self._has_ended(), f"{what!r} in its log")
        assert what in self.log, f"it ended without {what!r}:\n{self.log}"

    async def ended(self) -> int:
        """Wait until it has ended; return its exit status."""
        await until(self._has_ended, f"the end of the worker; its log:\n{self.log}")
        return self.process.returncode

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _has_ended(self) -> bool:
        return self.process.poll() is not None


class Shop:
    """A store, the application on it, and worker processes; a folder in which handlers write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'shop.db'}"
        self.q = Qcore(self.url)
        self._workers: list[WorkerProcess] = []

    async def worker(self, *options: str) -> WorkerProcess:
        """Start a worker, and wait until it serves."""
        log = self.folder / f"worker-{len(self._workers)}.log"
        worker = WorkerProcess(self.url, log, *options)
        self._workers.append(worker)
        await worker.said("worker started")
        return worker

    def release(self) -> None:
        """Let tasks end that hold."""
        (self.folder / "release").touch()

    def ran(self) -> dict[int, list[str]]:
        """Return the tasks that each process has begun to run."""
        files = self.folder.glob("ran-*")
        return {int(f.name.removeprefix("ran-")): f.read_text().split() for f in files}

    async def running(self) -> int:
        """Wait until a handler has begun; return its process."""
        await until(lambda: any(self.ran().values()), "a handler has begun")
        return next(iter(self.ran()))

    def end(self) -> None:
        for worker in self._workers:
            worker.end()


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """Open a shop, and leave no worker behind."""
    shop = Shop(folder)
    try:
        yield shop
    finally:
        shop.end()


async def task_of(handle: Handle[object]) -> Task:
    """Return a task that is stored."""
    task = await handle.task()
    assert task is not None
    return task


def is_alive(pid: int) -> bool:
    """Return whether a process runs: one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
