"""Tasks in one SQLite file, which several processes may share."""

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
    groups,
    queue_rows,
    run_details,
    settle,
    sweep,
)
from qcore.adapters.sqlite.lease_registry import Given
from qcore.adapters.sqlite.limits import limits as limits_of
from qcore.adapters.sqlite.limits import set_limit
from qcore.adapters.sqlite.schema import prepare
from qcore.domain.answers import Admission, LeaseLost, Missing, Moved, NotAllowed, Settled, Swept
from qcore.domain.errors import QcoreError
from qcore.domain.groups import Group, Stale, check_aggregate
from qcore.domain.lifecycle import ENDED, Command, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Claim, Demand, Lease, RetentionPolicy, Task, Verdict
from qcore.ports import Capability, Counts, Kinds, Notify, Page, Subscription

KEPT: Final = ENDED - {State.GONE}
USUAL: Final = RetentionPolicy()
FLEETING: Final = frozenset({Capability.UNIQUE, Capability.GROUPS, Capability.LIMITS})
LASTING: Final = FLEETING | {Capability.SHARED, Capability.DURABLE}


class SqliteBroker:
    """Keep tasks in a SQLite database, reached by a link.

    Each call is one transaction. Over a `BorrowedSqliteLink` it is a part of the caller's own.
    """

    def __init__(self, link: Link, *, keep: RetentionPolicy = USUAL) -> None:
        self._link = link
        self._keep = keep
        self._blocking: SqliteBroker | None = None
        self._given = Given()
        link.on_connect(prepare)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the broker can do beyond the port: less when in memory."""
        return LASTING if self._link.lasting else FLEETING

    @property
    def link(self) -> Link:
        """Return the link by which the broker reaches its file."""
        return self._link

    async def open(self) -> None:
        """Connect, and make the tables if the file is new."""
        await self._link.open()

    async def close(self) -> None:
        """Disconnect, and the blocking broker too."""
        if self._blocking is not None and self._blocking is not self:
            await self._blocking.close()
        await self._link.close()

    def blocking(self) -> "SqliteBroker":
        """Return a broker over the same database that never suspends."""
        if self._blocking is None:
            link = self._link.blocking()
            self._blocking = self if link is self._link else SqliteBroker(link, keep=self._keep)
        return self._blocking

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks."""
        answers = await self._link.write(partial(enqueue.enqueue, tasks=tasks, now=now))
        self._link.tell_of_work({task.queue for task in tasks})
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`."""
        handed = await self._link.write(
            partial(claim.claim, demand=demand, now=now, until=until),
            partial(claim.nothing_to_claim, queues=[*demand.quotas], now=now),
        )
        if handed.left:
            self._link.tell_of_work(handed.left)
        self._link.tell_of_tasks(dict.fromkeys(handed.ended, ()))
        self._given.add(claim.lease for claim in handed.claims)
        return handed.claims

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """End leases."""
        ended = await self._link.write(partial(settle.settle, verdicts=verdicts, now=now))
        self._given.forget(verdict.lease for verdict in verdicts)
        self._link.tell_of_work(ended.heard)
        pairs = zip(verdicts, ended.answers, strict=True)
        self._tell_of_tasks(
            verdict.lease
            for verdict, answer in pairs
            if isinstance(answer, Settled) and answer.state in KEPT
        )
        return ended.answers

    async def save_details(
        self, notes: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        """Keep what runs say of themselves."""
        answers = await self._link.write(partial(settle.save_details, notes=notes))
        self._tell_of_tasks(each.lease for each in notes if each.progress is not None)
        return answers

    def _tell_of_tasks(self, leases: Iterable[Lease]) -> None:
        """Tell subscribers in this process that these tasks have ended or got on."""
        changed: defaultdict[str, list[TaskId]] = defaultdict(list)
        for lease in leases:
            changed[lease.queue].append(lease.id)
        self._link.tell_of_tasks(changed)

    async def extend(
        self,
        leases: Sequence[Lease],
        *,
        now: Moment,  # noqa: ARG002  (a lease may be renewed whenever it ended)
        until: Moment,
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases."""
        return await self._link.write(partial(claim.extend, leases=leases, until=until))

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Move what time has moved."""
        asked = sweep.Chore(queues, limit, self._keep, now)
        swept = await self._link.write(
            partial(sweep.sweep, chore=asked), partial(sweep.nothing_to_sweep, chore=asked)
        )
        if swept.crashed:
            self._link.tell_of_work(queues)
        if swept.crashed or swept.expired:
            self._link.tell_of_tasks(dict.fromkeys(queues, ()))
        return swept

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due."""
        return await self._link.read(partial(claim.next_due, queues=queues))

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        """Call `notify` with each notification of these kinds about these queues.

        When another process has written, the leases that were given here are looked at, for one who
        wants to be told of those that ended; and any task may have changed.
        """
        return await self._link.subscribe(queues, kinds, notify, find_ended=self._ended)

    def _ended(self) -> Sequence[Lease]:
        """Return which of the leases given here are over; called from the thread that polls."""
        if not self._given:
            return ()
        # a file that cannot be read now is looked at after the next change
        with suppress(QcoreError):
            return run_to_end(self.blocking()._link.read(self._given.lost))  # noqa: SLF001  (its twin)
        return ()

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks as they are."""
        return await self._link.read(partial(admin.get, queue=queue, ids=ids))

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return what is kept of the runs of tasks."""
        return await self._link.read(partial(run_details.get, queue=queue, ids=ids))

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state, page by page."""
        return await self._link.read(
            partial(admin.browse, queue=queue, state=state, limit=limit, cursor=cursor)
        )

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any."""
        return await self._link.read(queue_rows.counted)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], order: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out an operator's order on tasks of one queue."""
        ordered = await self._link.write(
            partial(admin.execute, queue=queue, ids=ids, what=order, now=now)
        )
        self._link.tell_of_work({queue})
        self._link.tell_of_ended(queue, ordered.lost)
        self._link.tell_of_tasks({queue: ordered.ended} if ordered.ended else {})
        return ordered.answers

    async def set_limit(self, queue: str, rule: LimitChange, *, now: Moment) -> Limits:
        """Set one of a queue's limits."""
        limits = await self._link.write(partial(set_limit, queue=queue, rule=rule, now=now))
        self._link.tell_of_work({queue})
        return limits

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        """Return what holds for queues."""
        return await self._link.read(partial(limits_of, queues=queues))

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names."""
        return await self._link.read(partial(groups.groups, queue=queue, limit=limit, after=after))

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others."""
        return await self._link.read(partial(groups.members, queue=queue, group=group, limit=limit))

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Put one task in the place of members of a group, in one step."""
        check_aggregate(queue, ids, task)
        answer = await self._link.write(
            partial(groups.aggregate, group=group, ids=ids, task=task, now=now)
        )
        self._link.tell_of_work({queue})
        return answer
