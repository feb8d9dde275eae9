"""A broker around a broker that forwards every call: what wrappers inherit."""

import copy
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Self, TypeVar

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
from qcore.domain.errors import InvalidOption
from qcore.domain.groups import Group, Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.periodic.changes import DueEntries, EntryAnswer, EntryChange
from qcore.domain.periodic.entry import EntryId, FoundEntry
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Claim, Demand, Lease, Task, Verdict
from qcore.domain.transitions import Command
from qcore.domain.workers import WorkerInfo
from qcore.ports import (
    Aggregating,
    Broker,
    Capability,
    Counts,
    Kinds,
    Limiting,
    Notify,
    Page,
    Periodic,
    Subscription,
    Verb,
    WorkerRegistry,
    aggregating_of,
    claim_endings_of,
    limiting_of,
    periodic_of,
    recording_of,
    timekeeper_of,
    worker_registry_of,
)

T = TypeVar("T")


class ForwardingBroker:
    """Forward every verb to `inner`; a wrapper inherits this, and overrides just what it wants.

    A wrapper of one verb overrides that verb; a wrapper of all of them overrides `around`, through
    which each call goes.

    `blocking()` is a shallow copy over `inner.blocking()`: of the same class, with the same
    settings, and sharing every object that the wrapper holds. So keep what changes in an object
    that is changed in place (a list, a `Counter`, a record of your own), not in an attribute that
    is bound anew: both colours then see it. Where the inner broker is its own twin, so is the
    wrapper. Override `blocking` where that does not do.
    """

    def __init__(self, inner: Broker) -> None:
        self.inner = inner

    async def around(
        self,
        verb: Verb,  # noqa: ARG002  (for who overrides this)
        call: Callable[[], Awaitable[T]],
        /,
        **arguments: object,  # noqa: ARG002  (for who overrides this)
    ) -> T:
        """Make a call of the inner broker; each awaited verb goes through here, and no other.

        `arguments` are those of the verb, by the names of the port; they were given to `call`
        already, which may be awaited once, several times or never. What this returns is the answer.
        """
        return await call()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities

    def time(self) -> Moment:
        timekeeper = timekeeper_of(self.inner)
        if timekeeper is None:
            raise _lacking(Capability.TIME)
        return timekeeper.time()

    def blocking(self) -> Self:
        inner = self.inner.blocking()
        if inner is self.inner:
            # a twin is closed by whoever asked for it, and must not close the store of the other
            return self
        twin = copy.copy(self)
        twin.inner = inner
        return twin

    async def open(self) -> None:
        await self.around("open", self.inner.open)

    async def close(self) -> None:
        await self.around("close", self.inner.close)

    # --- producer ------------------------------------------------------------------------------

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        call = partial(self.inner.enqueue, tasks, now=now)
        return await self.around("enqueue", call, tasks=tasks, now=now)

    # --- consumer ------------------------------------------------------------------------------

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        call = partial(self.inner.claim, demand, now=now, until=until)
        return await self.around("claim", call, demand=demand, now=now, until=until)

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        call = partial(self.inner.settle, verdicts, now=now)
        return await self.around("settle", call, verdicts=verdicts, now=now)

    async def extend(
        self, leases: Sequence[Lease], *, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        call = partial(self.inner.extend, leases, until=until)
        return await self.around("extend", call, leases=leases, until=until)

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        call = partial(self.inner.save_details, updates)
        return await self.around("save_details", call, updates=updates)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        call = partial(self.inner.sweep, queues, limit, now=now)
        return await self.around("sweep", call, queues=queues, limit=limit, now=now)

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        return await self.around("next_due", partial(self.inner.next_due, queues), queues=queues)

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        call = partial(self.inner.subscribe, queues, kinds, notify)
        return await self.around("subscribe", call, queues=queues, kinds=kinds, notify=notify)

    # --- reader and operator -------------------------------------------------------------------

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        return await self.around("get", partial(self.inner.get, queue, ids), queue=queue, ids=ids)

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        call = partial(self.inner.details, queue, ids)
        return await self.around("details", call, queue=queue, ids=ids)

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        call = partial(self.inner.browse, queue, state, limit, cursor=cursor)
        return await self.around(
            "browse", call, queue=queue, state=state, limit=limit, cursor=cursor
        )

    async def count(self) -> Counts:
        return await self.around("count", self.inner.count)

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        call = partial(self.inner.ready_since, queues, now=now)
        return await self.around("ready_since", call, queues=queues, now=now)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        call = partial(self.inner.execute, queue, ids, command, now=now)
        return await self.around("execute", call, queue=queue, ids=ids, command=command, now=now)

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        call = partial(self.inner.restore, snapshots, now=now, over=over)
        return await self.around("restore", call, snapshots=snapshots, now=now, over=over)

    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
        call = partial(self.inner.remove_queue, queue, now=now)
        return await self.around("remove_queue", call, queue=queue, now=now)

    # --- with `Capability.CLAIM_ENDINGS` -------------------------------------------------------

    def take_ended(self) -> Sequence[Swept]:
        endings = claim_endings_of(self.inner)
        if endings is None:
            raise _lacking(Capability.CLAIM_ENDINGS)
        return endings.take_ended()

    # --- with `Capability.LIMITS` --------------------------------------------------------------

    async def set_limit(self, queue: str, change: LimitChange, *, now: Moment) -> Limits:
        call = partial(self._limiting().set_limit, queue, change, now=now)
        return await self.around("set_limit", call, queue=queue, change=change, now=now)

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        return await self.around("limits", partial(self._limiting().limits, queues), queues=queues)

    async def limited_queues(self) -> Sequence[str]:
        return await self.around("limited_queues", self._limiting().limited_queues)

    def _limiting(self) -> Limiting:
        limiting = limiting_of(self.inner)
        if limiting is None:
            raise _lacking(Capability.LIMITS)
        return limiting

    # --- with `Capability.GROUPS` --------------------------------------------------------------

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        call = partial(self._aggregating().groups, queue, limit, after=after)
        return await self.around("groups", call, queue=queue, limit=limit, after=after)

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        call = partial(self._aggregating().members, queue, group, limit)
        return await self.around("members", call, queue=queue, group=group, limit=limit)

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        call = partial(self._aggregating().aggregate, queue, group, ids, task, now=now)
        return await self.around(
            "aggregate", call, queue=queue, group=group, ids=ids, task=task, now=now
        )

    def _aggregating(self) -> Aggregating:
        aggregating = aggregating_of(self.inner)
        if aggregating is None:
            raise _lacking(Capability.GROUPS)
        return aggregating

    # --- with `Capability.PERIODIC` ------------------------------------------------------------

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        call = partial(self._periodic().write_entries, changes, now=now)
        return await self.around("write_entries", call, changes=changes, now=now)

    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        call = partial(self._periodic().entries, queue, ids)
        return await self.around("entries", call, queue=queue, ids=ids)

    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        call = partial(self._periodic().browse_entries, queue, limit, after=after)
        return await self.around("browse_entries", call, queue=queue, limit=limit, after=after)

    async def entry_queues(self) -> Sequence[str]:
        return await self.around("entry_queues", self._periodic().entry_queues)

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        call = partial(self._periodic().due_entries, queues, limit, now=now)
        return await self.around("due_entries", call, queues=queues, limit=limit, now=now)

    def _periodic(self) -> Periodic:
        periodic = periodic_of(self.inner)
        if periodic is None:
            raise _lacking(Capability.PERIODIC)
        return periodic

    # --- with `Capability.WORKERS` -------------------------------------------------------------

    async def announce(self, info: WorkerInfo) -> None:
        await self.around("announce", partial(self._registry().announce, info), info=info)

    async def withdraw(self, worker: str) -> None:
        await self.around("withdraw", partial(self._registry().withdraw, worker), worker=worker)

    async def workers(self, *, now: Moment) -> Sequence[WorkerInfo]:
        return await self.around("workers", partial(self._registry().workers, now=now), now=now)

    def _registry(self) -> WorkerRegistry:
        registry = worker_registry_of(self.inner)
        if registry is None:
            raise _lacking(Capability.WORKERS)
        return registry

    # --- with `Capability.STATISTICS` ----------------------------------------------------------

    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        recording = recording_of(self.inner)
        if recording is None:
            raise _lacking(Capability.STATISTICS)
        call = partial(
            recording.statistics, queues, since=since, until=until, resolution=resolution
        )
        return await self.around(
            "statistics", call, queues=queues, since=since, until=until, resolution=resolution
        )


def _lacking(capability: Capability) -> InvalidOption:
    return InvalidOption(f"the inner broker has no Capability.{capability.name}")
