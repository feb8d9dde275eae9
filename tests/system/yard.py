"""Worker processes on a store that many share, and the journals that they keep."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from qcore import BrokerUnavailable, Handle, Qcore, State, Task
from qcore.types import Call
from tests.system.journal import FOLDER, Journal
from tests.system.kit import ROOT, WorkerProcess

PATIENCE: Final = 60.0
"""Seconds after which what has not happened will not, even where servers fail over."""
GLANCE: Final = 0.05
LIVE: Final = frozenset(State) - {State.COMPLETED, State.ARCHIVED, State.DEAD, State.GONE}
FLOW: Final = 100
"""So many runs of a worker, or answers to a producer, are no coincidence."""
AT_ONCE: Final = 1_000


async def until(
    come: Callable[[], bool | Awaitable[bool]], what: str, within: float = PATIENCE
) -> None:
    """Wait until something has come about; fail, saying what, when it does not."""
    deadline = monotonic() + within
    while True:
        answer = come()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(GLANCE)


class YardWorker(WorkerProcess):
    """A `qcore worker` that serves the application with journals; its clock may be wrong."""

    def __init__(self, url: str, log: Path, *options: str, clock: float = 0.0) -> None:
        module = ["tests.system.wrong_clock", str(clock)] if clock else ["qcore"]
        application = "tests.system.journal_application:q"
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module, "worker", application, *options],
                cwd=ROOT,
                env=os.environ | {"QCORE_URL": url, FOLDER: str(log.parent)},
                stderr=output,
            )

    @property
    def has_started(self) -> bool:
        return "worker started" in self.log

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    async def leave(self) -> None:
        """Ask it to stop once it has started, and wait until it has: its journal is whole."""
        # before that the signal would kill it
        await self.said("worker started")
        self.send(signal.SIGTERM)
        assert await self.ended() == 0, self.log


class Yard:
    """A store, the application on it, and worker processes; a folder for their journals."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.q = Qcore(url)
        self.journal = Journal(folder)
        self.workers: list[YardWorker] = []
        self._folder = folder

    def hire(self, *options: str, clock: float = 0.0) -> YardWorker:
        """Start a worker."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        worker = YardWorker(self.url, log, *options, clock=clock)
        self.workers.append(worker)
        return worker

    async def crew(self, number: int, *options: str) -> Sequence[YardWorker]:
        """Start workers, and wait until all serve."""
        workers = [self.hire(*options) for _ in range(number)]
        for worker in workers:
            await worker.said("worker started")
        return workers

    async def ask(self, calls: Sequence[Call[object]]) -> list[str]:
        """Ask for calls; return their ids."""
        ids: list[str] = []
        for start in range(0, len(calls), AT_ONCE):
            answers = await self.q.client.enqueue_many(calls[start : start + AT_ONCE])
            ids += [each.id for each in answers if isinstance(each, Handle) and each.is_new]
        assert len(ids) == len(calls)
        return ids

    async def is_done(self) -> bool:
        """Return whether everything has ended that the store has."""
        try:
            return not LIVE.intersection(await self.q.inspector.totals())
        except BrokerUnavailable:
            return False

    async def done(self) -> None:
        """Wait until everything has ended that the store has."""
        await until(self.is_done, "the end of all tasks")

    async def stored(self, queue: str, state: State) -> Mapping[str, Task]:
        """Return all tasks of a queue in a state, by id."""
        tasks: dict[str, Task] = {}
        cursor: str | None = None
        while True:
            page = await self.q.inspector.browse(queue, state, limit=AT_ONCE, cursor=cursor)
            tasks |= {task.id: task for task in page.tasks}
            cursor = page.cursor
            if cursor is None:
                return tasks

    async def delete(self, queue: str, ids: Sequence[str]) -> None:
        """Delete tasks that have ended."""
        for start in range(0, len(ids), AT_ONCE):
            await self.q.inspector.delete(queue, ids[start : start + AT_ONCE])

    async def flows(
        self, workers: Sequence[YardWorker], queue: str | None = None, least: int = FLOW
    ) -> float:
        """Wait until each worker has run so many tasks; return when all had begun one."""
        since = monotonic()
        pids = {worker.pid for worker in workers}
        first: dict[int, float] = {}

        def come() -> bool:
            assert all(worker.is_alive for worker in workers), "a worker has ended"
            runs = [run for run in self.journal.runs(since=since) if queue in {run.queue, None}]
            for run in runs:
                first[run.pid] = min(run.at, first.get(run.pid, run.at))
            return all(sum(run.pid == pid for run in runs) >= least for pid in pids)

        await until(come, "runs of every worker")
        return max(first[pid] for pid in pids)

    async def leave(self) -> None:
        """Let all workers leave that live, and wait until they have: their journals are whole."""
        await asyncio.gather(*(worker.leave() for worker in self.workers if worker.is_alive))

    def release(self) -> None:
        """Let tasks end that hold."""
        (self._folder / "release").touch()

    def end(self) -> None:
        for worker in self.workers:
            worker.end()


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Yard]:
    """Open a yard, and leave no worker behind."""
    yard = Yard(url, folder)
    try:
        yield yard
    finally:
        yard.end()


def measured(what: str, value: float) -> None:
    """Tell a figure to whoever runs the tests with `--log-cli-level=info`; it asserts nothing."""
    logging.getLogger("measured").info("%s: %.3g", what, value)
