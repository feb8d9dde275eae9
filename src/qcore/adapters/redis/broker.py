"""The Redis broker: tasks that any number of processes on any machines share."""

from collections.abc import Callable, Sequence
from typing import Final

from qcore.adapters.links.redis import Link
from qcore.adapters.redis import (
    admin,
    claim,
    due_entries,
    enqueue,
    entries,
    groups,
    limits,
    notifications,
    restore,
    run_details,
    settle,
    statistics,
    sweep,
    workers,
)
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.domain.answers import (
    Admission,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    QueueNotEmpty,
    QueueRemoved,
    Restoration,
    Settled,
    Swept,
)
from qcore.domain.ended_tasks import EndedTasks
from qcore.domain.groups import Group, Stale, check_aggregate
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.periodic.changes import DueEntries, EntryAnswer, EntryChange, check_change
from qcore.domain.periodic.entry import EntryId, FoundEntry
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Claim, Demand, Lease, RetentionPolicy, Task, Verdict
from qcore.domain.transitions import Command
from qcore.domain.workers import WorkerInfo
from qcore.ports import Capability, Counts, Kinds, Notify, Page, Subscription

USUAL: Final = RetentionPolicy()
DEFAULT_NAMESPACE: Final = "qcore"


class RedisBroker:
    """Keep tasks in Redis, reached by a link, under keys that begin with `namespace`.

    What one call changes in one queue is atomic, in chunks of 250 tasks; a change whose reply was
    lost is sent again and made once (see `script_runner`). Needs Redis 6.2 or newer, or Valkey.
    """

    capabilities: frozenset[Capability] = frozenset(
        {
            Capability.SHARED,
            Capability.DURABLE,
            Capability.UNIQUE,
            Capability.GROUPS,
            Capability.LIMITS,
            Capability.PERIODIC,
            Capability.STATISTICS,
            Capability.TIME,
            Capability.WORKERS,
            Capability.CLAIM_ENDINGS,
        }
    )

    def __init__(
        self, link: Link, *, keep: RetentionPolicy = USUAL, namespace: str = DEFAULT_NAMESPACE
    ) -> None:
        self.link = link
        self._keep = keep
        self._ended_tasks = EndedTasks()
        self.namespace: Final = namespace
        self._runner = ScriptRunner(link, keep, namespace)
        self._has_permissions = False
        """Whether the user was found to have all permissions that the scripts take."""
        self._blocking: RedisBroker | None = None
        self.time: Callable[[], Moment] = link.time
        """Return what time the server has."""

    async def open(self) -> None:
        """Connect, read the server's time, and check the permissions of the user."""
        await self.link.open()
        if not self._has_permissions:
            try:
                await self._runner.check_permissions()
            except BaseException:
                await self.link.close()
                raise
            self._has_permissions = True

    async def close(self) -> None:
        """Disconnect, and the blocking broker too."""
        if self._blocking is not None and self._blocking is not self:
            await self._blocking.close()
        await self.link.close()

    def blocking(self) -> "RedisBroker":
        """Return a broker over the same Redis that never suspends."""
        if self._blocking is None:
            link = self.link.blocking()
            if link is self.link:
                return self
            self._blocking = RedisBroker(link, keep=self._keep, namespace=self.namespace)
        return self._blocking

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks."""
        return await enqueue.enqueue(self._runner, tasks, now)

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`."""
        return await claim.claim(self._runner, demand, now, until, self._ended_tasks)

    def take_ended(self) -> Sequence[Swept]:
        """Return the tasks that claims have ended, and forget them."""
        return self._ended_tasks.take()

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """End leases."""
        return await settle.settle(self._runner, verdicts, now)

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        """Save the progress and work of runs."""
        return await run_details.save_details(self._runner, updates)

    async def extend(
        self,
        leases: Sequence[Lease],
        *,
        until: Moment,
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases."""
        return await claim.extend(self._runner, leases, until)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Take back tasks whose lease ended, end those that expired, and trim history."""
        return await sweep.sweep(self._runner, queues, limit, now)

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due."""
        return await claim.next_due(self._runner, queues)

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        """Call `notify` with each notification of these kinds about these queues."""
        return await notifications.subscribe(self._runner, queues, kinds, notify)

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks as they are."""
        return await admin.get(self._runner, queue, ids)

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return the run details of tasks."""
        return await run_details.details(self._runner, queue, ids)

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state, page by page."""
        return await admin.browse(self._runner, queue, state, limit, cursor)

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        """Return since when the task of each queue that has waited longest could have been run."""
        return await admin.ready_since(self._runner, queues, now)

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any."""
        return await admin.count(self._runner)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out an operator's command on tasks of one queue."""
        return await admin.execute(self._runner, queue, ids, command, now)

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        """Store tasks as they were."""
        return await restore.restore(self._runner, snapshots, now, over)

    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
        """Remove a queue that has neither tasks nor entries."""
        twins = [self] if self._blocking is None else [self, self._blocking]
        sessions = [name for each in twins for name in each._runner.sessions.idle()]  # noqa: SLF001  (one of us)
        return await admin.remove_queue(self._runner, queue, now, sessions)

    async def set_limit(self, queue: str, change: LimitChange, *, now: Moment) -> Limits:
        """Set one of a queue's limits."""
        return await limits.set_limit(self._runner, queue, change, now)

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        """Return the limits of queues."""
        return await limits.limits(self._runner, queues)

    async def limited_queues(self) -> Sequence[str]:
        """Return the queues that have limits."""
        return await limits.limited_queues(self._runner)

    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        """Return what ended in queues between two moments, by period and name."""
        return await statistics.statistics(self._runner, queues, since, until, resolution)

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names."""
        return await groups.groups(self._runner, queue, limit, after)

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others."""
        return await groups.members(self._runner, queue, group, limit)

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Put one task in the place of members of a group, in one step."""
        check_aggregate(queue, ids, task)
        return await groups.aggregate(self._runner, group, ids, task, now)

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        """Change entries, and enqueue the tasks that the changes bring."""
        for change in changes:
            check_change(change)
        return await entries.write_entries(self._runner, changes, now)

    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        """Return entries by id, None for one that is not stored."""
        return await entries.entries(self._runner, queue, ids)

    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        """Return entries of a queue, in the order of their ids."""
        return await entries.browse_entries(self._runner, queue, limit, after)

    async def entry_queues(self) -> Sequence[str]:
        """Return the queues in which entries lie."""
        return await entries.entry_queues(self._runner)

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        """Return the entries to look at now, and when there will be others."""
        return await due_entries.due_entries(self._runner, queues, limit, now)

    async def announce(self, info: WorkerInfo) -> None:
        """List a worker until it expires, or is withdrawn."""
        await workers.announce(self._runner, info)

    async def withdraw(self, worker: str) -> None:
        """Remove a worker."""
        await workers.withdraw(self._runner, worker)

    async def workers(self, *, now: Moment) -> Sequence[WorkerInfo]:
        """Return the workers that have not expired."""
        return await workers.workers(self._runner, now)
