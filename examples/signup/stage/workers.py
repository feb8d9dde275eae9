"""Worker processes: the ordinary `qcore worker` command, started, killed and stopped."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from examples.signup import settings

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "qcore", "worker", "examples.signup.app:q")
OPTIONS = {
    "--queues": "critical=6,default=3,low=1",
    "--concurrency": "16",
    "--threads": "8",
    # so that a crash is noticed within seconds; the default is 30
    "--lease": "3",
}


class WorkerDied(Exception):
    """Say that a worker ended though nobody had asked it to."""


class Worker:
    """One worker process; what it says goes to a log file."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._was_asked = False

    @classmethod
    async def start(cls, name: str, smtp: str) -> Self:
        """Start a worker that sends its mail to `smtp`."""
        log = settings.HOME / f"{name.replace(' ', '-')}.log"
        environment = os.environ | {"SIGNUP_HOME": str(settings.HOME), "SIGNUP_SMTP": smtp}
        options = [word for option in OPTIONS.items() for word in option]
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, *options, cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def state(self) -> str:
        """Return what has become of it."""
        if self._process.returncode is None:
            return "stopping" if self._was_asked else "running"
        return "killed" if self._process.returncode == -9 else "stopped"

    def check(self) -> None:
        """Raise `WorkerDied` if it ended by itself."""
        if self._process.returncode is not None and not self._was_asked:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise WorkerDied(f"{self.name} ended with {self._process.returncode}:\n{tail}")

    async def kill(self) -> None:
        """Kill it with SIGKILL: no handler, no farewell, as when a machine runs out of memory."""
        self._was_asked = True
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ask it to finish what it is doing, and wait until it has."""
        self._was_asked = True
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()


@asynccontextmanager
async def working(smtp: str, count: int) -> AsyncGenerator[Sequence[Worker], None]:
    """Keep some workers for as long as the block lasts."""
    workers = [await Worker.start(f"worker {n}", smtp) for n in range(1, count + 1)]
    try:
        yield workers
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))
