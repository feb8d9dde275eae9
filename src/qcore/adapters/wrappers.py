"""Brokers around brokers."""

import copy
from collections.abc import Sequence
from typing import Self, cast

from qcore.domain.answers import Admission, LeaseLost, Missing, Moved, NotAllowed, Settled, Swept
from qcore.domain.groups import Group, Stale
from qcore.domain.lifecycle import Command, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Claim, Demand, Lease, Task, Verdict
from qcore.ports import (
    Aggregating,
    Broker,
    Capability,
    Counts,
    Kinds,
    Limiting,
    Notify,
    Page,
    Subscription,
    Timekeeper,
)


class ForwardingBroker:
    """Forward every verb to `inner`; a wrapper inherits this, and overrides just what it wants.

    `blocking()` is a shallow copy over `inner.blocking()`: of the same class, with the same
    settings, and sharing every object that the wrapper holds. So keep what changes in an object
    that is changed in place (a list, a `Counter`, a record of your own), not in an attribute that
    is bound anew: both colours then see it. Where the inner broker is its own twin, so is the
    wrapper. Override `blocking` where that does not do.
    """

    def __init__(self, inner: Broker) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities

    def time(self) -> Moment:
        # there to be asked where `Capability.TIME` is among the capabilities, as anywhere
        return cast("Timekeeper", self.inner).time()

    async def set_limit(self, queue: str, rule: LimitChange, *, now: Moment) -> Limits:
        return await cast("Limiting", self.inner).set_limit(queue, rule, now=now)

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        return await cast("Limiting", self.inner).limits(queues)

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        return await cast("Aggregating", self.inner).groups(queue, limit, after=after)

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        return await cast("Aggregating", self.inner).members(queue, group, limit)

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        return await cast("Aggregating", self.inner).aggregate(queue, group, ids, task, now=now)

    def blocking(self) -> Self:
        inner = self.inner.blocking()
        if inner is self.inner:
            # a twin is closed by whoever asked for it, and must not close the store of the other
            return self
        twin = copy.copy(self)
        twin.inner = inner
        return twin

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        return await self.inner.enqueue(tasks, now=now)

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        return await self.inner.claim(demand, now=now, until=until)

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        return await self.inner.settle(verdicts, now=now)

    async def extend(
        self, leases: Sequence[Lease], *, now: Moment, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        return await self.inner.extend(leases, now=now, until=until)

    async def save_details(
        self, notes: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        return await self.inner.save_details(notes)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        return await self.inner.sweep(queues, limit, now=now)

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        return await self.inner.next_due(queues)

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        return await self.inner.subscribe(queues, kinds, notify)

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        return await self.inner.get(queue, ids)

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        return await self.inner.browse(queue, state, limit, cursor=cursor)

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        return await self.inner.details(queue, ids)

    async def count(self) -> Counts:
        return await self.inner.count()

    async def execute(
        self, queue: str, ids: Sequence[TaskId], order: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        return await self.inner.execute(queue, ids, order, now=now)
