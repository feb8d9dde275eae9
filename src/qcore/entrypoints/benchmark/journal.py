"""The journal that a worker's handlers write, and the audit of it: tasks lost and run twice."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Self

from qcore.domain.new_task import TaskId
from qcore.domain.record import record


@record
class DrainPlan:
    """What a worker is to run, and how much of that is timed."""

    warm_up: int
    """Runs before the timing begins: the first thousand of a process take eight times as long."""
    timed: int

    @property
    def total(self) -> int:
        """Return how many runs are expected."""
        return self.warm_up + self.timed


class Journal:
    """A file with the task id of each run: a list in memory would count as the worker's memory."""

    def __init__(self, path: Path, *, warm_up: int = 0) -> None:
        self._file = path.open("w")
        self._timed_from = max(1, warm_up)
        """The run whose beginning is where the timing begins."""
        self._first = self._last = 0.0
        self._target = 0
        self._reached = asyncio.Event()
        self.runs = 0
        self.latencies: list[float] = []
        """Seconds from enqueue to the start of the handler, of tasks that carry their moment."""

    def record(self, task: TaskId, enqueued_at: float | None = None) -> None:
        """Write down that a task starts now; `enqueued_at` is a reading of `perf_counter`."""
        now = self._last = perf_counter()
        self.runs += 1
        if self.runs == self._timed_from:
            self._first = now
        self._file.write(f"{task}\n")
        if enqueued_at is not None:
            self.latencies.append(now - enqueued_at)
        if self.runs == self._target:
            self._reached.set()

    async def reached(self, runs: int) -> None:
        """Wait until there have been `runs` runs."""
        if self.runs < runs:
            self._target = runs
            await self._reached.wait()

    def rate(self) -> float:
        """Return runs a second from the end of the warm-up, or the first run, to the last."""
        seconds, timed = self._last - self._first, self.runs - self._timed_from
        return timed / seconds if timed > 0 and seconds > 0 else 0.0

    def close(self) -> None:
        """Write the last lines."""
        self._file.close()


@record
class Audit:
    """How many tasks never ran, and how many runs there were beyond a task's first."""

    lost: int
    duplicated: int

    @classmethod
    def of(cls, enqueued: Iterable[TaskId], path: Path) -> Self:
        """Compare the ids of enqueued tasks with the file of a journal."""
        with path.open() as lines:
            ran = Counter(line.rstrip("\n") for line in lines)
        lost = sum(task not in ran for task in enqueued)
        return cls(lost, sum(ran.values()) - len(ran))
