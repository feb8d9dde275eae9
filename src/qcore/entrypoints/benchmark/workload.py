"""The workload: a queue of the benchmark's own in any store, and two handlers that do nothing."""

from collections.abc import Callable
from typing import Final, TypeAlias

from qcore.app.tasks.context import Context
from qcore.domain.new_task import TaskId
from qcore.domain.states import State
from qcore.entrypoints.facade import Qcore

PAGE: Final = 500

RecordRun: TypeAlias = Callable[[TaskId, float | None], None]
"""Called with each run's task, and the moment at which that was enqueued if the task carries it."""


class Workload:
    """What producers and the worker share: the store, the queue, and the handlers.

    The worker sets `record_run`, which both handlers call.
    """

    def __init__(self, url: str, queue: str) -> None:
        self.url = url
        self.queue = queue
        self.record_run: RecordRun = _discard
        self.q = Qcore(url)
        self.noop = self.q.task("bench:noop", queue=queue)(self._noop)
        self.timed = self.q.task("bench:timed", queue=queue)(self._timed)

    async def remaining(self) -> int:
        """Return how many tasks are in the queue, in whatever state."""
        return sum((await self.q.inspector.counts()).get(self.queue, {}).values())

    async def clear(self) -> None:
        """Remove all tasks of the queue."""
        inspector = self.q.inspector
        for state in (await inspector.counts()).get(self.queue, {}):
            while tasks := (await inspector.browse(self.queue, state, limit=PAGE)).tasks:
                ids = [task.id for task in tasks]
                if state is State.ACTIVE:
                    # an active task cannot be deleted; a cancelled one can
                    await inspector.cancel(self.queue, ids)
                await inspector.delete(self.queue, ids)

    async def _noop(self, ctx: Context, n: int) -> None:  # noqa: ARG002  (a payload to decode)
        self.record_run(ctx.id, None)

    async def _timed(self, ctx: Context, enqueued_at: float) -> None:
        self.record_run(ctx.id, enqueued_at)


def _discard(_task: TaskId, _enqueued_at: float | None) -> None:
    """Record nothing: producers run no tasks."""
