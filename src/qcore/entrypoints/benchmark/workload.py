"""A queue of our own in somebody's store, with two tasks that do nothing."""

from collections.abc import Callable
from typing import Final, TypeAlias

from qcore.app.tasks.context import Context
from qcore.domain.lifecycle import State
from qcore.domain.new_task import TaskId
from qcore.entrypoints.facade import Qcore

PAGE: Final = 500

Note: TypeAlias = Callable[[TaskId, float | None], None]
"""Told of each run: its task, and when that was asked for if it is known."""


class Rig:
    """What both sides of a benchmark have: the one that asks, and the one that works and notes."""

    def __init__(self, url: str, queue: str) -> None:
        self.url = url
        self.queue = queue
        self.note: Note = _forget
        self.q = Qcore(url)
        self.noop = self.q.task("bench:noop", queue=queue)(self._noop)
        self.timed = self.q.task("bench:timed", queue=queue)(self._timed)

    async def left(self) -> int:
        """Return how many tasks are in the queue, in whatever state."""
        return sum((await self.q.inspector.counts()).get(self.queue, {}).values())

    async def clear(self) -> None:
        """Remove what is left in the queue."""
        inspector = self.q.inspector
        for state in (await inspector.counts()).get(self.queue, {}):
            while tasks := (await inspector.browse(self.queue, state, limit=PAGE)).tasks:
                ids = [task.id for task in tasks]
                if state is State.ACTIVE:
                    # what somebody runs cannot be deleted
                    await inspector.cancel(self.queue, ids)
                await inspector.delete(self.queue, ids)

    async def _noop(self, ctx: Context, n: int) -> None:  # noqa: ARG002  (a payload to decode)
        self.note(ctx.id, None)

    async def _timed(self, ctx: Context, asked: float) -> None:
        self.note(ctx.id, asked)


def _forget(_task: TaskId, _asked: float | None) -> None:
    """Note nothing."""
