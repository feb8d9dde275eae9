"""`PostgresBroker`: tasks in a schema of a Postgres database, which many processes share."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from qcore.adapters.links.borrowing import Source
from qcore.adapters.links.postgres import Link
from qcore.adapters.postgres import (
    admin,
    claim,
    enqueue,
    entries,
    groups,
    queue_rows,
    restore,
    run_details,
    settle,
    sweep,
)
from qcore.adapters.postgres.limits import limited_queues, set_limit
from qcore.adapters.postgres.limits import limits as limits_of
from qcore.adapters.postgres.plain_leases import PlainLeases
from qcore.adapters.postgres.scan_starts import ScanStarts
from qcore.adapters.postgres.schema import preparing
from qcore.adapters.postgres.statistics import KnownNames
from qcore.adapters.postgres.workers import announce, withdraw
from qcore.adapters.postgres.workers import workers as listed_workers
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
from qcore.domain.errors import QcoreError
from qcore.domain.groups import Group, Stale, check_aggregate
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.periodic.changes import DueEntries, EntryAnswer, EntryChange, check_change
from qcore.domain.periodic.entry import EntryId, FoundEntry
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State, state_of
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Claim, Demand, Lease, RetentionPolicy, Task, Verdict
from qcore.domain.transitions import Command
from qcore.domain.workers import WorkerInfo
from qcore.ports import Capability, Counts, Kinds, Notify, Page, Subscription

DEFAULT_RETENTION: Final = RetentionPolicy()


class PostgresBroker:
    """Keep tasks in a Postgres database, reached by a link.

    Each call is one transaction. Over a `BorrowedPostgresLink` it is a part of the caller's own.
    """

    capabilities: frozenset[Capability] = frozenset(Capability)

    def __init__(self, link: Link, *, keep: RetentionPolicy = DEFAULT_RETENTION) -> None:
        self._link = link
        self._keep = keep
        self._blocking: PostgresBroker | None = None
        self._known = KnownNames()
        self._plain = PlainLeases()
        self._starts = ScanStarts()
        self._ended_tasks = EndedTasks()
        link.on_connect(preparing(link.schema))
        self.time: Callable[[], Moment] = link.time
        """Return what time the server has."""

    @property
    def link(self) -> Link:
        """Return the link by which the broker reaches its database."""
        return self._link

    async def open(self) -> None:
        """Connect, read the server's time, and create the tables if there are none."""
        await self._link.open()

    async def close(self) -> None:
        """Disconnect, and close the blocking broker too."""
        if self._blocking is not None and self._blocking is not self:
            await self._blocking.close()
        await self._link.close()

    def blocking(self) -> "PostgresBroker":
        """Return a broker over the same database that never suspends."""
        if self._blocking is None:
            link = self._link.blocking()
            self._blocking = self if link is self._link else PostgresBroker(link, keep=self._keep)
            self._blocking._starts = self._starts  # noqa: SLF001  (of the same class)
        return self._blocking

    def borrowing(self, source: Source) -> "PostgresBroker":
        """Return a broker over the same database that writes in a caller's own transaction.

        `source` finds the driver's connection, of either colour, when it is to be used.
        """
        return PostgresBroker(self._link.borrowing(source), keep=self._keep)

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks."""
        return await self._link.write(partial(enqueue.enqueue, tasks=tasks, now=now))

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`."""
        claiming = claim.Claiming(demand, now, until, known=self._known, starts=self._starts)
        try:
            claimed = await self._link.write(claiming)
        except QcoreError:
            claimed = claiming.committed
            if not claimed.claims:
                raise
        for each, place in zip(claimed.claims, claimed.places, strict=True):
            self._plain.add(each.lease, each.task, place)
        self._ended_tasks.add(claimed.ended)
        return claimed.claims

    def take_ended(self) -> Sequence[Swept]:
        """Return the tasks that claims have ended, and forget them."""
        return self._ended_tasks.take()

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """Apply verdicts to claimed tasks, which ends their leases."""
        settling = settle.Settling(verdicts, now, self._known, self._plain)
        answers = await self._link.write(settling)
        self._starts.put_back(settling.given_back)
        return answers

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        """Store progress and saved work of running tasks."""
        return await self._link.write(partial(run_details.save_details, updates=updates))

    async def extend(
        self, leases: Sequence[Lease], *, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases."""
        extended = await self._link.write(partial(claim.extend, leases=leases, until=until))
        self._plain.forget(leases)
        return extended

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Take back tasks of lost workers, end expired ones, trim those kept long enough."""
        request = sweep.SweepRequest(queues, limit, self._keep, now)
        swept = await self._link.write(partial(sweep.sweep, request=request, known=self._known))
        if swept.crashed:
            self._starts.put_back(queues)
        return swept

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due."""
        return await self._link.read(partial(claim.next_due, queues=queues))

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        """Call `notify` with each notification of these kinds about these queues."""
        return await self._link.subscribe(queues, kinds, notify)

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks by id, None for one that is not stored."""
        return await self._link.read(partial(admin.get, queue=queue, ids=ids))

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return errors, progress and saved work of tasks, None for one that is not stored."""
        return await self._link.read(partial(run_details.details, queue=queue, ids=ids))

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return a page of the tasks of one queue and state."""
        known = state_of(state)
        return await self._link.read(
            partial(admin.browse, queue=queue, state=known, limit=limit, cursor=cursor)
        )

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        """Return since when the task of each queue that has waited longest could have been run."""
        return await self._link.read(partial(admin.ready_since, queues=queues, now=now))

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any."""
        return await self._link.read(queue_rows.count_tasks)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out a command on tasks of one queue."""
        answers = await self._link.write(
            partial(
                admin.execute, queue=queue, ids=ids, command=command, now=now, known=self._known
            )
        )
        self._starts.put_back([queue])
        return answers

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        """Store tasks as they were."""
        answers = await self._link.write(
            partial(restore.restore, snapshots=snapshots, now=now, over=over)
        )
        self._starts.put_back([each.queue for each in snapshots])
        return answers

    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:  # noqa: ARG002  (tokens are kept for all queues together)
        """Remove a queue that has no tasks and no entries."""
        self._starts.forget([queue])
        return await self._link.write(partial(queue_rows.remove_queue, queue=queue))

    async def set_limit(self, queue: str, change: LimitChange, *, now: Moment) -> Limits:
        """Change one of a queue's limits, and return them all."""
        return await self._link.write(partial(set_limit, queue=queue, rule=change, now=now))

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        """Return the limits of each queue."""
        return await self._link.read(partial(limits_of, queues=queues))

    async def limited_queues(self) -> Sequence[str]:
        """Return the queues that have limits."""
        return await self._link.read(limited_queues)

    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        """Return what ended in queues between two moments, by period and name."""
        return await self._link.read(
            partial(
                queue_rows.read_statistics,
                queues=queues,
                since=since,
                until=until,
                resolution=resolution,
            )
        )

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names."""
        return await self._link.read(partial(groups.groups, queue=queue, limit=limit, after=after))

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others."""
        return await self._link.read(partial(groups.members, queue=queue, group=group, limit=limit))

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Replace members of a group by one task, in one transaction."""
        check_aggregate(queue, ids, task)
        return await self._link.write(
            partial(groups.aggregate, group=group, ids=ids, task=task, now=now)
        )

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        """Change entries, and enqueue the tasks that the changes bring, in one transaction."""
        for change in changes:
            check_change(change)
        return await self._link.write(partial(entries.write_entries, changes=changes, now=now))

    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        """Return entries by id, None for one that is not stored."""
        return await self._link.read(partial(entries.entries, queue=queue, ids=ids))

    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        """Return entries of a queue, in the order of their ids."""
        read = partial(entries.browse_entries, queue=queue, limit=limit, after=after)
        return await self._link.read(read)

    async def entry_queues(self) -> Sequence[str]:
        """Return the queues in which entries lie."""
        return await self._link.read(entries.entry_queues)

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        """Return the entries to look at now, and when there will be others."""
        read = partial(entries.due_entries, queues=queues, limit=limit, now=now)
        return await self._link.read(read)

    async def announce(self, info: WorkerInfo) -> None:
        """List a worker, and remove those that have expired."""
        await self._link.write(partial(announce, info=info))

    async def withdraw(self, worker: str) -> None:
        """Remove a worker."""
        await self._link.write(partial(withdraw, worker=worker))

    async def workers(self, *, now: Moment) -> Sequence[WorkerInfo]:
        """Return the workers that have not expired."""
        return await self._link.read(partial(listed_workers, now=now))
