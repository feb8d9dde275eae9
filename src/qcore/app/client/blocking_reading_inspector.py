"""What an inspector reads, for code that blocks: the same coroutines, stepped inline."""

from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from qcore.app.calls.codec import Codec
from qcore.app.calls.options import Changes
from qcore.app.client.auditing import Emit
from qcore.app.client.blocking_notifications import BlockingPauses
from qcore.app.client.bulk_moves import DEFAULT_LOOK as LOOK_BEFORE
from qcore.app.client.bulk_moves import DEFAULT_SAMPLE, Move, MovePreview
from qcore.app.client.failure_groups import DEFAULT_FAILED, DEFAULT_GROUPS, FailureReport
from qcore.app.client.group_listing import DEFAULT_WAITING, GroupPage
from qcore.app.client.inline import iterate_inline, run_inline
from qcore.app.client.inspector import Inspector
from qcore.app.client.queries import Query
from qcore.app.client.queue_listing import DEFAULT_QUEUES, QueuePage
from qcore.app.client.queue_size import DEFAULT_SAMPLE as WEIGHED
from qcore.app.client.queue_size import QueueSize
from qcore.app.client.reading_inspector import LAST_HOUR
from qcore.app.client.store_feed import DEFAULT_IDS, DEFAULT_INTERVAL, DEFAULT_POLL
from qcore.app.client.store_updates import StoreUpdate
from qcore.app.client.task_listing import DEFAULT_LIMIT, DEFAULT_LOOK, TaskPage
from qcore.app.client.waiting import Hindrance
from qcore.domain.moments import Duration, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.queue_limits import Limits
from qcore.domain.run_details import Details
from qcore.domain.states import State
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Task
from qcore.domain.workers import WorkerInfo
from qcore.ports import Broker, Clock, Counts, Page


class BlockingReadingInspector:
    """Ask a broker what it holds, from code that blocks.

    Each method is that of `Inspector`, where it is described.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        codec: Codec | None = None,
        emit: Emit | None = None,
        by: str | None = None,
    ) -> None:
        clock = clock.blocking()
        pauses = BlockingPauses(clock)
        self._inner = Inspector(
            broker.blocking(), clock=clock, codec=codec, pauses=pauses, emit=emit, by=by
        )

    def counts(self) -> Counts:
        """Return queue to state to number of tasks; states with none are left out."""
        return run_inline(self._inner.counts())

    def totals(self) -> Mapping[State, int]:
        """Return state to number of tasks over all queues."""
        return run_inline(self._inner.totals())

    def get(self, queue: str, task: TaskId) -> Task | None:
        """Return a task as it is, None when it is not stored."""
        return run_inline(self._inner.get(queue, task))

    def details(self, queue: str, task: TaskId) -> Details | None:
        """Return errors, progress and saved work of a task, None when it is not stored."""
        return run_inline(self._inner.details(queue, task))

    def browse(
        self, queue: str, state: State, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state; see `Inspector.browse`."""
        return run_inline(self._inner.browse(queue, state, limit=limit, cursor=cursor))

    def groups(
        self,
        queue: str | None = None,
        *,
        limit: int = DEFAULT_WAITING,
        cursor: str | None = None,
    ) -> GroupPage:
        """Return groups in which tasks wait; see `Inspector.groups`."""
        return run_inline(self._inner.groups(queue, limit=limit, cursor=cursor))

    def members(self, queue: str, group: str, *, limit: int = DEFAULT_WAITING) -> Sequence[Task]:
        """Return tasks that wait in a group; see `Inspector.members`."""
        return run_inline(self._inner.members(queue, group, limit=limit))

    def limited_queues(self) -> Mapping[str, Limits]:
        """Return the queues that have limits; see `Inspector.limited_queues`."""
        return run_inline(self._inner.limited_queues())

    def workers(self, *, queue: str | None = None, name: str | None = None) -> Sequence[WorkerInfo]:
        """Return the workers that are there; see `Inspector.workers`."""
        return run_inline(self._inner.workers(queue=queue, name=name))

    def unserved_queues(self) -> Mapping[str, int]:
        """Return the queues that no worker serves, with how many tasks wait in each."""
        return run_inline(self._inner.unserved_queues())

    def why_waiting(self, queue: str, task: TaskId) -> Sequence[Hindrance] | None:
        """Return what keeps a task from being run; see `Inspector.why_waiting`."""
        return run_inline(self._inner.why_waiting(queue, task))

    def tasks(
        self,
        query: Query | str = "",
        *,
        limit: int = DEFAULT_LIMIT,
        look: int = DEFAULT_LOOK,
        cursor: str | None = None,
    ) -> TaskPage:
        """Return tasks of a query; see `Inspector.tasks`."""
        return run_inline(self._inner.tasks(query, limit=limit, look=look, cursor=cursor))

    def queues(
        self,
        query: Query | str = "",
        *,
        limit: int = DEFAULT_QUEUES,
        cursor: str | None = None,
    ) -> QueuePage:
        """Return queues in the order of their names; see `Inspector.queues`."""
        return run_inline(self._inner.queues(query, limit=limit, cursor=cursor))

    def failures(
        self,
        query: Query | str = "",
        *,
        look: int = DEFAULT_FAILED,
        limit: int = DEFAULT_GROUPS,
    ) -> FailureReport:
        """Return the failed tasks of a query by cause; see `Inspector.failures`."""
        return run_inline(self._inner.failures(query, look=look, limit=limit))

    def preview(
        self,
        query: Query | str,
        move: Move | Changes,
        *,
        look: int = LOOK_BEFORE,
        sample: int = DEFAULT_SAMPLE,
    ) -> MovePreview:
        """Count the tasks that a move of many would reach; see `Inspector.preview`."""
        return run_inline(self._inner.preview(query, move, look=look, sample=sample))

    def watch(
        self,
        *,
        interval: Duration = DEFAULT_INTERVAL,
        poll: Duration = DEFAULT_POLL,
        ids: int = DEFAULT_IDS,
    ) -> Generator[StoreUpdate, None, None]:
        """Yield how all queues stand, and then what changes; see `Inspector.watch`."""
        yield from iterate_inline(self._inner.watch(interval=interval, poll=poll, ids=ids))

    def statistics(
        self,
        queue: str | Collection[str] | None = None,
        *,
        since: datetime | Moment | timedelta = LAST_HOUR,
        until: datetime | Moment | None = None,
        by: Resolution | Literal["minute", "hour", "day"] | None = None,
    ) -> Sequence[StatisticsRow]:
        """Return what ended, by period and task name; see `Inspector.statistics`."""
        return run_inline(self._inner.statistics(queue, since=since, until=until, by=by))

    def queue_size(self, queue: str, *, sample: int = WEIGHED) -> QueueSize:
        """Estimate how much a queue stores; see `Inspector.queue_size`."""
        return run_inline(self._inner.queue_size(queue, sample=sample))

    def limits(self, queue: str) -> Limits:
        """Return the limits of a queue."""
        return run_inline(self._inner.limits(queue))
