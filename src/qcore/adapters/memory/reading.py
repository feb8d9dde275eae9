"""What can be read of the memory broker: tasks, counts, groups, limits, statistics, workers."""

from collections.abc import Iterable, Sequence
from threading import RLock

from qcore.adapters.memory.queue import Queue
from qcore.domain.errors import InvalidOption
from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.queue_limits import NO_LIMITS, Limits
from qcore.domain.run_details import Details
from qcore.domain.states import State, state_of
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Task
from qcore.domain.workers import WorkerInfo, in_order
from qcore.ports import Counts, Page


class MemoryReading:
    """What a memory broker holds, and the verbs that change nothing of it."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._workers: dict[str, WorkerInfo] = {}
        # clients in other threads enqueue into the same store
        self._lock = RLock()

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks by id, None for one that is not stored."""
        with self._lock:
            tasks = self._queues[queue].tasks if queue in self._queues else {}
            return [tasks[i].to_task() if i in tasks else None for i in ids]

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return errors, progress and saved work of tasks, None for one that is not stored."""
        with self._lock:
            tasks = self._queues[queue].tasks if queue in self._queues else {}
            return [tasks[i].details if i in tasks else None for i in ids]

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return a page of the tasks of one queue and state."""
        state, after = state_of(state), _decode_cursor(cursor)
        with self._lock:
            if queue not in self._queues:
                return Page(())
            # one more than is shown tells whether there are more
            rows = self._queues[queue].listed(state, limit + 1, after)
            shown = [stored.to_task() for stored in rows[:limit]]
            last = rows[limit - 1].sort_key() if 0 < limit < len(rows) else None
        return Page(shown, None if last is None else repr(last))

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        """Return since when the task of each queue that has waited longest could have been run."""
        with self._lock:
            return [self._queues[q].ready_since(now) if q in self._queues else None for q in queues]

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any."""
        with self._lock:
            counts = {name: queue.count() for name, queue in self._queues.items()}
        return {name: states for name, states in counts.items() if states}

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        """Return the limits of each queue."""
        with self._lock:
            return [self._queues[q].limits if q in self._queues else NO_LIMITS for q in queues]

    async def limited_queues(self) -> Sequence[str]:
        """Return the queues that have limits."""
        with self._lock:
            return sorted(q.name for q in self._queues.values() if q.limits != NO_LIMITS)

    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        """Return what ended in queues between two moments, by period and name."""
        with self._lock:
            return [
                row
                for queue in self._known(sorted(self._queues) if queues is None else queues)
                for row in queue.statistics.rows(queue.name, since, until, resolution)
            ]

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names."""
        with self._lock:
            found = [each.list_groups(after, max(0, limit)) for each in self._known([queue])]
        return [group for groups in found for group in groups]

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others."""
        with self._lock:
            found = [task for each in self._known([queue]) for task in each.members(group)]
            return [task.to_task() for task in found[: max(0, limit)]]

    async def workers(self, *, now: Moment) -> Sequence[WorkerInfo]:
        """Return the workers that have not expired."""
        with self._lock:
            return in_order([each for each in self._workers.values() if each.expires > now])

    def _known(self, names: Iterable[str]) -> list[Queue]:
        return [self._queues[name] for name in names if name in self._queues]


def _decode_cursor(cursor: str | None) -> tuple[float, int] | None:
    if cursor is None:
        return None
    try:
        first, second = cursor.strip("()").split(",")
        return float(first), int(second)
    except ValueError:
        raise InvalidOption(f"{cursor!r} is no cursor of this broker") from None
