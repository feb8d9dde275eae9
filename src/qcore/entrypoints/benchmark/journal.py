"""Who ran when: what a worker's handlers write down, and what an auditor makes of it."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Self

from qcore.domain.new_task import TaskId
from qcore.domain.record import record


class Journal:
    """Every call of a handler, in a file: a long list would weigh on the worker measured."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._first = self._last = 0.0
        self._target = 0
        self._reached = asyncio.Event()
        self.calls = 0
        self.latencies: list[float] = []
        """Seconds from asking to the start of the handler, of those who told when they asked."""

    def note(self, task: TaskId, asked: float | None = None) -> None:
        """Write down that a task runs now."""
        now = self._last = perf_counter()
        if not self.calls:
            self._first = now
        self.calls += 1
        self._file.write(f"{task}\n")
        if asked is not None:
            self.latencies.append(now - asked)
        if self.calls == self._target:
            self._reached.set()

    async def reached(self, calls: int) -> None:
        """Wait until there have been so many calls."""
        if self.calls < calls:
            self._target = calls
            await self._reached.wait()

    def rate(self) -> float:
        """Return calls a second between the first and the last."""
        seconds = self._last - self._first
        return (self.calls - 1) / seconds if seconds > 0 else 0.0

    def close(self) -> None:
        """Write the last lines."""
        self._file.close()


@record
class Audit:
    """Tasks that never ran, and runs beyond a task's first."""

    lost: int
    duplicated: int

    @classmethod
    def of(cls, asked: Iterable[TaskId], path: Path) -> Self:
        """Hold what was asked for against the file of a journal."""
        with path.open() as lines:
            ran = Counter(line.rstrip("\n") for line in lines)
        lost = sum(task not in ran for task in asked)
        return cls(lost, sum(ran.values()) - len(ran))
