"""Brokers in memory that make use of what the port leaves open."""

import time
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from math import inf
from typing import Final, Self, TypeVar

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import (
    Admission,
    Conflict,
    Enqueued,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    Restoration,
    Settled,
    Swept,
)
from qcore.domain.groups import Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import FOLLOWED, Command
from qcore.ports import (
    Broker,
    Capability,
    Kinds,
    Notification,
    Notify,
    Subscription,
    TasksChanged,
    WorkAvailable,
)

T = TypeVar("T")

YEAR: Final = 365 * 86_400.0


class EdgeBroker(ForwardingBroker):
    """Call those who listen as seldom as the port allows.

    That is when a queue that had nothing pending has something, if only what a claim made pending
    and left, when its next moment due gets earlier, when a group begins, and when nothing but time
    keeps what is pending any more.
    """

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.subscriptions: list[Ear] = []

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        others = [kind for kind in kinds if kind is not WorkAvailable]
        inner = await self.inner.subscribe(queues, others, notify)
        if WorkAvailable not in kinds:
            return inner
        subscription = Ear(frozenset(queues), notify, self.subscriptions, inner)
        self.subscriptions.append(subscription)
        return subscription

    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Sequence[Enqueued | Conflict]:
        return await self._told(self.inner.enqueue(tasks, now=now), {t.queue for t in tasks})

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        return await self._told(self.inner.claim(demand, now=now, until=until), demand.quotas)

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        ended = [verdict.outcome for verdict in verdicts]
        then = [task for each in ended if isinstance(each, FOLLOWED) for task in each.then]
        queues = {*(verdict.lease.queue for verdict in verdicts), *(task.queue for task in then)}
        return await self._told(self.inner.settle(verdicts, now=now), queues)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        return await self._told(self.inner.sweep(queues, limit, now=now), queues)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], order: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        return await self._told(self.inner.execute(queue, ids, order, now=now), [queue])

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        queues = {snapshot.queue for snapshot in snapshots}
        return await self._told(self.inner.restore(snapshots, now=now, over=over), queues)

    async def set_limit(self, queue: str, rule: LimitChange, *, now: Moment) -> Limits:
        return await self._told(super().set_limit(queue, rule, now=now), [queue])

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        call = super().aggregate(queue, group, ids, task, now=now)
        return await self._told(call, [queue])

    async def _told(self, call: Awaitable[T], queues: Iterable[str]) -> T:
        """Make a call, and tell of the edges it made."""
        queues = tuple(queues)
        before = [await self._look(queue) for queue in queues]
        groups = [await self._groups(queue) for queue in queues]
        answer = await call
        for n, queue in enumerate(queues):
            (had_work, due), (has_work, now_due) = before[n], await self._look(queue)
            begun = await self._groups(queue) - groups[n]
            if (has_work and not had_work) or now_due < due or begun:
                for subscription in [
                    subscription
                    for subscription in self.subscriptions
                    if queue in subscription.queues
                ]:
                    subscription.notify(WorkAvailable())
        return answer

    async def _look(self, queue: str) -> tuple[bool, Moment]:
        counts = (await self.inner.count()).get(queue, {})
        due = await self.inner.next_due([queue])
        (limits,) = await super().limits([queue])
        is_full = counts.get(State.ACTIVE, 0) >= (limits.in_flight or inf)
        # with a rate it is a moment that is due
        is_kept = is_full or limits.is_paused or limits.rate is not None
        return State.PENDING in counts and not is_kept, inf if due is None else due

    async def _groups(self, queue: str) -> set[str]:
        return {group.name for group in await super().groups(queue, 1_000)}


class Ear:
    """One who waits for work."""

    def __init__(
        self,
        queues: frozenset[str],
        notify: Notify,
        among: "list[Ear]",
        inner: Subscription,
    ) -> None:
        self.queues = queues
        self.notify = notify
        self._among = among
        self._inner = inner

    async def close(self) -> None:
        await self._inner.close()
        if self in self._among:
            self._among.remove(self)


class TalkativeBroker(ForwardingBroker):
    """Tell those who follow as often and as late as the port allows.

    They are told with no ids after each enqueue and claim, and told of news twice, by a thread.
    """

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.followers: list[Follower] = []

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        if TasksChanged not in kinds:
            return await self.inner.subscribe(queues, kinds, notify)
        follower = Follower(queues, notify, self.followers)
        follower.inner = await self.inner.subscribe(queues, kinds, follower.tell_later)
        self.followers.append(follower)
        return follower

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        answers = await self.inner.enqueue(tasks, now=now)
        self._tell_of_nothing()
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        claims = await self.inner.claim(demand, now=now, until=until)
        self._tell_of_nothing()
        return claims

    def _tell_of_nothing(self) -> None:
        for follower in tuple(self.followers):
            for queue in follower.queues:
                follower.tell(TasksChanged(queue, ()))
            for _ in range(50):
                time.sleep(0)  # no time: it is the turn of a thread that was told


class Follower:
    """Someone who follows, and the thread that tells them."""

    def __init__(self, queues: Sequence[str], notify: Notify, among: "list[Follower]") -> None:
        self.queues = queues
        self.inner: Subscription | None = None
        self._notify = notify
        self._among = among
        self._thread = ThreadPoolExecutor(1)

    def tell(self, notification: Notification) -> None:
        # one whose loop has ended harms nobody
        with suppress(RuntimeError):
            self._notify(notification)

    def tell_later(self, notification: Notification) -> None:
        for _ in range(2):
            self._thread.submit(self.tell, notification)

    async def close(self) -> None:
        if self.inner is not None:
            await self.inner.close()
        self._thread.shutdown()
        if self in self._among:
            self._among.remove(self)


class Store:
    """The clock of a store: a year ahead of this machine's, whatever is done to that."""

    def __init__(self) -> None:
        self.right = time.time

    def time(self) -> Moment:
        return self.right() + YEAR


class TimedBroker(ForwardingBroker):
    """Go by the clock of a store, as measured when it was opened."""

    def __init__(self, store: Store, inner: Broker | None = None) -> None:
        super().__init__(inner or MemoryBroker())
        self.store = store
        self.offsets: list[float] = []
        self.opened: list[str] = []

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities | {Capability.TIME}

    def blocking(self) -> Self:
        # a twin of its own, which knows what this one knows
        return copy(self)

    async def open(self) -> None:
        self.opened.append("opened")
        await super().open()
        while True:
            began, told = time.monotonic(), self.store.time()
            if time.monotonic() - began < 1e-5:
                # nobody was let in between the two clocks
                break
        self.offsets.append(told - began)

    def time(self) -> Moment:
        return time.monotonic() + self.offsets[-1] if self.offsets else time.time()
