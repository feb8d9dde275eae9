"""Limits after which a worker process is replaced, as a cure for handlers that leak."""

import asyncio
from collections.abc import Callable
from typing import Final

from qcore.app.worker.worker import Worker
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.entrypoints.memory_use import memory_in_mb

INTERVAL: Final = 0.5
"""Seconds between two looks."""


@record
class ProcessLimits:
    """How much a worker process may do and use."""

    max_tasks: int | None = None
    max_memory: int | None = None
    """MiB."""

    def __bool__(self) -> bool:
        """Return whether there is any limit."""
        return self.max_tasks is not None or self.max_memory is not None

    def check_at_start(self, memory: float) -> None:
        """Raise `InvalidOption` where a worker is beyond its limit before it has done anything.

        Each one that takes its place would be, too.
        """
        if self.max_memory is not None and memory > self.max_memory:
            raise InvalidOption(
                f"max_memory is {self.max_memory}: expected more than the {memory:.0f} MB that a "
                "worker of this application uses before its first task"
            )

    def reached(self, executed: int, memory: float) -> str | None:
        """Return which limit has been reached, in words; None for none."""
        if self.max_tasks is not None and executed >= self.max_tasks:
            return f"it has run {executed:,} tasks"
        if self.max_memory is not None and memory > self.max_memory:
            return f"it uses {memory:.0f} MB"
        return None


async def watch_limits(
    limits: ProcessLimits, worker: Worker, on_reached: Callable[[str], object]
) -> None:
    """Call `on_reached`, once, when a worker has reached a limit."""
    while (reached := limits.reached(worker.executed, memory_in_mb())) is None:  # noqa: ASYNC110
        await asyncio.sleep(INTERVAL)
    on_reached(reached)
