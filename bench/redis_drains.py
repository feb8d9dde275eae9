"""How fast workers empty a queue that is full, each in a process of its own, all safety on.

All are ready before they may begin; the rate is that from the first call of a handler in any of
them to the last, on one clock (perf_counter is the machine's, not the process's). What a task costs
in processor time says what rate there would be if nobody had to wait for a processor.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from psutil import Process

from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.entrypoints.benchmark.journal import Audit
from qcore.entrypoints.benchmark.producers import bulk
from qcore.entrypoints.benchmark.workload import Workload
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

GLANCE = 0.05
PATIENCE = 60.0
spawning = multiprocessing.get_context("spawn")


@record
class Crew:
    """Workers, and how they reach the store."""

    url: str
    workers: int = 1
    concurrency: int = 100


@record
class Span:
    """What a worker says of its first call of a handler and its last."""

    first: float
    last: float
    """Seconds, on the machine's clock."""
    cpu: float
    """Seconds of processor time that the process used between the two."""


def drained(url: str, crew: Crew, tasks: int, server: Process) -> dict[str, Any]:
    """Fill a queue of a server at `url` and let a crew empty it; return its rate and its costs."""
    return run(_drained(Workload(url, f"qcore-bench-{token_hex(4)}"), crew, tasks, server))


async def _drained(workload: Workload, crew: Crew, tasks: int, server: Process) -> dict[str, Any]:
    async with workload.q:
        asked = await bulk(workload, tasks)
        with TemporaryDirectory(prefix="qcore-bench-") as folder:
            journals = [Path(folder) / str(n) for n in range(crew.workers)]
            with _at_the_door(crew, workload.queue, journals) as pipes:
                before = _used(server)
                spans = await _let_in(workload, pipes)
                used = _used(server) - before
            audit = _audit(asked, journals)
    assert not audit.lost, audit
    assert not audit.duplicated, audit
    first, last = min(span.first for span in spans), max(span.last for span in spans)
    return {
        "drain_per_s": round((tasks - 1) / (last - first)),
        "worker_cpu_us_per_task": 1e6 * sum(span.cpu for span in spans) / tasks,
        "server_cpu_us_per_task": 1e6 * used / tasks,
        "lost": 0,
        "duplicated": 0,
    }


def _used(server: Process) -> float:
    times = server.cpu_times()
    return times.user + times.system


async def _let_in(workload: Workload, pipes: Sequence[Connection]) -> list[Span]:
    """Let all begin at once; when nothing is left, return what they say of their first and last."""
    for pipe in pipes:
        await heard(pipe)
    for pipe in pipes:
        pipe.send(None)
    async with asyncio.timeout(PATIENCE):
        while await workload.remaining():  # noqa: ASYNC110  (a store tells nobody that it is empty)
            await asyncio.sleep(GLANCE)
    for pipe in pipes:
        pipe.send(None)
    return [await heard(pipe) for pipe in pipes]


async def heard(pipe: Connection) -> Any:
    return await asyncio.to_thread(pipe.recv)


def _audit(asked: Sequence[TaskId], journals: Sequence[Path]) -> Audit:
    whole = journals[0].with_name("whole")
    whole.write_text("".join(journal.read_text() for journal in journals))
    return Audit.of(asked, whole)


@contextmanager
def _at_the_door(crew: Crew, queue: str, journals: Sequence[Path]) -> Iterator[list[Connection]]:
    """Start the workers; they wait for a word to begin, and for another to leave."""
    pairs = [spawning.Pipe() for _ in journals]
    processes = [
        spawning.Process(target=_serve, args=(theirs, crew, queue, journal), daemon=True)
        for (_, theirs), journal in zip(pairs, journals, strict=True)
    ]
    try:
        for process, (_, theirs) in zip(processes, pairs, strict=True):
            process.start()
            # so that we notice when it ends
            theirs.close()
        yield [ours for ours, _ in pairs]
        for process in processes:
            process.join(PATIENCE)
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()


def _serve(pipe: Connection, crew: Crew, queue: str, path: Path) -> None:
    """Work between two words: the main function of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure("warning")
    journal = _Journal(path)
    run(_work(Workload(crew.url, queue), pipe, crew.concurrency, journal))
    pipe.send(journal.closed())


async def _work(
    workload: Workload, pipe: Connection, concurrency: int, journal: "_Journal"
) -> None:
    async with workload.q:
        workload.record_run = journal.note
        worker = workload.q.worker(queues=[workload.queue], concurrency=concurrency)
        pipe.send(None)
        await heard(pipe)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await heard(pipe)
            worker.stop()


class _Journal:
    """Every call of a handler, in a file, and when the first and the last were."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._first = self._last = self._used = 0.0

    def note(self, task: TaskId, _asked: float | None) -> None:
        self._last = perf_counter()
        if not self._first:
            self._first, self._used = self._last, process_time()
        self._file.write(f"{task}\n")

    def closed(self) -> Span:
        """Return the moments of the first and the last, those of no call ahead of none."""
        self._file.close()
        # what it does when it is empty, until it may leave, is little
        used = process_time() - self._used if self._first else 0.0
        return Span(self._first or float("inf"), self._last, used)
