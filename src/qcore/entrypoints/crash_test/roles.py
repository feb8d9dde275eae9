"""What the processes of a trial do: enqueue, and run; each writes down what it has done."""

import asyncio
import os
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Final, Protocol

from qcore.app.tasks.context import Context
from qcore.app.worker.worker import Worker
from qcore.domain.new_task import KEEP
from qcore.domain.states import ENDED
from qcore.entrypoints.facade import Qcore

LEASE: Final = 2.0
"""Seconds: what a killed worker had is taken back soon."""
MAX_CRASHES: Final = 1_000
"""So that no task is dead of the kills alone."""
DAY: Final = 86_400.0
RUN: Final = 0.05
"""Seconds that a task takes, so that kills find some of them active."""
PACE: Final = 0.01
"""Seconds from one enqueue to the next, so that kills find a producer at its work."""
TASK: Final = "crash-test"


class Append(Protocol):
    """Add a line to a journal."""

    def __call__(self, line: object) -> None:
        """Write it at once: the process may be killed next."""
        ...


@contextmanager
def journal(file: Path) -> Generator[Append]:
    """Give a function that adds a line to a file, which several processes may do at a time."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(line: object) -> None:
        os.write(descriptor, f"{line}\n".encode())

    try:
        yield append
    finally:
        os.close(descriptor)


def lines_of(file: Path) -> Counter[str]:
    """Return the whole lines of a journal, and how often each is there."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return Counter(line.rstrip() for line in lines if line.endswith("\n"))


def produce(url: str, queue: str, folder: Path, tasks: int) -> None:
    """Enqueue tasks one by one, but for those that were acknowledged; write down each that is."""
    q = Qcore(url, instruments=[])

    @q.task(TASK, queue=queue, retention=DAY, max_crashes=MAX_CRASHES)
    async def run(ctx: Context) -> None: ...

    done = lines_of(folder / "acknowledged")
    with journal(folder / "acknowledged") as acknowledged:
        for number in range(tasks):
            if str(number) not in done:
                # one that was stored, and whose answer a kill has lost, is kept
                run.using(task_id=str(number), on_conflict=KEEP).enqueue_sync()
                acknowledged(number)
                sleep(PACE)
    q.blocking.close()


async def work(url: str, queue: str, folder: Path, *, to_the_end: bool) -> None:
    """Run the tasks, and write down each that begins; `to_the_end`: until all have ended."""
    q = Qcore(url)

    with journal(folder / "begun") as begun:

        @q.task(TASK, queue=queue)
        async def run(ctx: Context) -> None:
            begun(ctx.id)
            await asyncio.sleep(RUN)

        await _worker(q, queue, burst=to_the_end).run()
        # what a killed worker had comes back when its lease has run out
        while to_the_end and await _has_tasks(q, queue):
            await asyncio.sleep(LEASE / 4)
            await _worker(q, queue, burst=True).run()
    await q.close()


def _worker(q: Qcore, queue: str, *, burst: bool) -> Worker:
    return q.worker(queues=[queue], concurrency=4, lease=LEASE, sweep_every=LEASE / 4, burst=burst)


async def _has_tasks(q: Qcore, queue: str) -> bool:
    """Return whether any task of a queue has not ended."""
    return not {*(await q.inspector.counts()).get(queue, {})} <= ENDED
