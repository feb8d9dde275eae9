"""`SqliteBroker`: tasks in one SQLite file, which several processes may share."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from qcore.adapters.links.inline import run_to_end
from qcore.adapters.links.sqlite import Link
from qcore.adapters.sqlite import (
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
from qcore.adapters.sqlite.lease_registry import LeaseRegistry
from qcore.adapters.sqlite.limits import limited_queues, set_limit
from qcore.adapters.sqlite.limits import limits as limits_of
from qcore.adapters.sqlite.merge import merge_lost
from qcore.adapters.sqlite.schema import prepare
from qcore.adapters.sqlite.workers import announce, withdraw
from qcore.adapters.sqlite.workers import workers as listed_workers
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
from qcore.domain.periodic.changes import (
    DueEntries,
    EntryAnswer,
    EntryChange,
    EntryWritten,
    check_change,
)
from qcore.domain.periodic.entry import EntryId, FoundEntry
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import ENDED, State, state_of
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Claim, Demand, Lease, RetentionPolicy, Task, Verdict
from qcore.domain.transitions import Command
from qcore.domain.workers import WorkerInfo
from qcore.ports import Capability, Counts, Kinds, Notify, Page, Subscription

KEPT_STATES: Final = ENDED - {State.GONE}
DEFAULT_RETENTION: Final = RetentionPolicy()
IN_MEMORY: Final = frozenset(
    {
        Capability.UNIQUE,
        Capability.GROUPS,
        Capability.LIMITS,
        Capability.PERIODIC,
        Capability.STATISTICS,
        Capability.WORKERS,
        Capability.CLAIM_ENDINGS,
    }
)
ON_DISK: Final = IN_MEMORY | {Capability.SHARED, Capability.DURABLE}


class SqliteBroker:
    """Keep tasks in a SQLite database, reached by a link.

    Each call is one transaction. Over a `BorrowedSqliteLink` it is a part of the caller's own.
    A file that has another application's tables is refused, unless `beside_others`; with None it
    is not, and the log says so when tables are made there.
    """

    def __init__(
        self,
        link: Link,
        *,
        keep: RetentionPolicy = DEFAULT_RETENTION,
        beside_others: bool | None = False,
    ) -> None:
        self._link = link
        self._keep = keep
        self._beside_others = beside_others
        self._blocking: SqliteBroker | None = None
        self._leases = LeaseRegistry()
        self._ended_tasks = EndedTasks()
        link.on_connect(partial(prepare, beside_others=beside_others), merge_lost)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return the optional ports it has: a database in memory is neither shared nor durable."""
        return ON_DISK if self._link.is_persistent else IN_MEMORY

    @property
    def link(self) -> Link:
        """Return the link by which the broker reaches its file."""
        return self._link

    async def open(self) -> None:
        """Connect, and create the tables if the file is new."""
        await self._link.open()

    async def close(self) -> None:
        """Disconnect, and close the blocking broker too."""
        if self._blocking is not None and self._blocking is not self:
            await self._blocking.close()
        await self._link.close()

    def blocking(self) -> "SqliteBroker":
        """Return a broker over the same database that never suspends."""
        if self._blocking is None:
            link = self._link.blocking()
            self._blocking = (
                self
                if link is self._link
                else SqliteBroker(link, keep=self._keep, beside_others=self._beside_others)
            )
        return self._blocking

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks."""
        answers = await self._link.write(partial(enqueue.enqueue, tasks=tasks, now=now))
        self._link.tell_of_work({task.queue for task in tasks})
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`."""
        result = await self._link.write(
            partial(claim.claim, demand=demand, now=now, until=until),
            partial(claim.nothing_to_claim, queues=[*demand.quotas], now=now),
        )
        if result.queues_with_work:
            self._link.tell_of_work(result.queues_with_work)
        if result.ended:
            self._ended_tasks.add(result.ended)
            self._link.tell_of_tasks({task.queue: () for task in result.ended})
        self._leases.add(claim.lease for claim in result.claims)
        return result.claims

    def take_ended(self) -> Sequence[Swept]:
        """Return the tasks that claims have ended, and forget them."""
        return self._ended_tasks.take()

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """Apply verdicts to claimed tasks, which ends their leases."""
        result = await self._link.write(partial(settle.settle, verdicts=verdicts, now=now))
        self._leases.remove(verdict.lease for verdict in verdicts)
        self._link.tell_of_work(result.queues_with_work)
        pairs = zip(verdicts, result.answers, strict=True)
        self._tell_of_tasks(
            verdict.lease
            for verdict, answer in pairs
            if isinstance(answer, Settled) and answer.state in KEPT_STATES
        )
        return result.answers

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        """Store progress and saved work of running tasks."""
        answers = await self._link.write(partial(run_details.save_details, updates=updates))
        self._tell_of_tasks(each.lease for each in updates if each.progress is not None)
        return answers

    def _tell_of_tasks(self, leases: Iterable[Lease]) -> None:
        """Tell subscribers in this process that these tasks ended, or their progress changed."""
        changed: defaultdict[str, list[TaskId]] = defaultdict(list)
        for lease in leases:
            changed[lease.queue].append(lease.id)
        self._link.tell_of_tasks(changed)

    async def extend(
        self,
        leases: Sequence[Lease],
        *,
        until: Moment,
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases."""
        return await self._link.write(partial(claim.extend, leases=leases, until=until))

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Take back tasks of lost workers, end expired ones, trim those kept long enough."""
        request = sweep.SweepRequest(queues, limit, self._keep, now)
        swept = await self._link.write(
            partial(sweep.sweep, request=request), partial(sweep.nothing_to_sweep, request=request)
        )
        if swept.crashed or swept.expired:
            # an expired task may have had a successor
            self._link.tell_of_work(queues)
        if swept.crashed or swept.expired:
            self._link.tell_of_tasks(dict.fromkeys(queues, ()))
        return swept

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due."""
        return await self._link.read(partial(claim.next_due, queues=queues))

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        """Call `notify` with each notification of these kinds about these queues.

        After another process has written, leases given by this broker are looked up in the file, to
        notify of those that ended. Which tasks changed is not known: the notification names none.
        """
        return await self._link.subscribe(queues, kinds, notify, find_ended=self._ended)

    def _ended(self) -> Sequence[Lease]:
        """Return the leases given here that are over; runs in the thread that polls the file."""
        if not self._leases:
            return ()
        # if the file cannot be read now, the leases are compared after the next write
        with suppress(QcoreError):
            return run_to_end(self.blocking().link.read(self._leases.pop_ended))
        return ()

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
        result = await self._link.write(
            partial(admin.execute, queue=queue, ids=ids, command=command, now=now)
        )
        self._link.tell_of_work({queue})
        self._link.tell_of_ended(queue, result.lost_tokens)
        self._link.tell_of_tasks({queue: result.ended} if result.ended else {})
        return result.answers

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        """Store tasks as they were."""
        answers = await self._link.write(
            partial(restore.restore, snapshots=snapshots, now=now, over=over)
        )
        self._link.tell_of_work({each.queue for each in snapshots})
        return answers

    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
        """Remove a queue that has no tasks and no entries."""
        return await self._link.write(partial(queue_rows.remove_queue, queue=queue, now=now))

    async def set_limit(self, queue: str, change: LimitChange, *, now: Moment) -> Limits:
        """Change one of a queue's limits, and return them all."""
        limits = await self._link.write(partial(set_limit, queue=queue, rule=change, now=now))
        self._link.tell_of_work({queue})
        return limits

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
        read = partial(
            queue_rows.read_statistics,
            queues=queues,
            since=since,
            until=until,
            resolution=resolution,
        )
        return await self._link.read(read)

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names."""
        read = partial(groups.groups, queue=queue, limit=limit, after=after)
        while (found := await self._link.read(read)).unreadable:
            end = partial(groups.end_unreadable, queue=queue, names=found.unreadable)
            await self._link.write(end)
            self._link.tell_of_tasks({queue: ()})
        return found.groups

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others."""
        return await self._link.read(partial(groups.members, queue=queue, group=group, limit=limit))

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Replace members of a group by one task, in one transaction."""
        check_aggregate(queue, ids, task)
        answer = await self._link.write(
            partial(groups.aggregate, group=group, ids=ids, task=task, now=now)
        )
        self._link.tell_of_work({queue})
        return answer

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        """Change entries, and enqueue the tasks that the changes bring, in one transaction."""
        for change in changes:
            check_change(change)
        answers = await self._link.write(partial(entries.write_entries, changes=changes, now=now))
        written = [
            change
            for change, answer in zip(changes, answers, strict=True)
            if isinstance(answer, EntryWritten)
        ]
        self._link.tell_of_work({change.queue for change in written if change.tasks})
        self._link.tell_of_entries({change.queue for change in written})
        return answers

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
