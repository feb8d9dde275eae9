"""Memory brokers that break a promise of limits or of groups each."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.queue import Queue
from qcore.adapters.memory.stored_task import StoredTask
from qcore.adapters.memory.subscriptions import Subscribers
from qcore.domain.answers import SweptTask
from qcore.domain.queue_limits import (
    NO_LIMITS,
    LimitChange,
    Limits,
    Rate,
    SetInFlight,
    SetPaused,
    SetRate,
    ruled,
)
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Transition

# a mutant knows what it breaks
# ruff: noqa: SLF001


class MutantQueue(Queue):
    """A queue of a broken broker."""


class Broken(MemoryBroker):
    """A broker whose queues are of a kind of its own."""

    queue_class: type[Queue] = MutantQueue

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = self.queue_class(name)
        return queue


def with_queue(**methods: Any) -> type[MemoryBroker]:
    """Return a broker whose queues do some things otherwise, named after the first of them."""
    name = next(iter(methods.values())).__name__.strip("_").title().replace("_", "")
    return type(name, (Broken,), {"queue_class": type(name, (MutantQueue,), methods)})


def _free_of_rates(self: Queue, now: float) -> int:
    kept, self.limits = self.limits, evolve(self.limits, rate=None)
    try:
        return Queue._free(self, now)
    finally:
        self.limits = kept


def _free_of_crowds(self: Queue, now: float) -> int:
    kept, self.limits = self.limits, evolve(self.limits, in_flight=None)
    try:
        return Queue._free(self, now)
    finally:
        self.limits = kept


def _free_in_pauses(self: Queue, now: float) -> int:
    kept, self.limits = self.limits, evolve(self.limits, is_paused=False)
    try:
        return Queue._free(self, now)
    finally:
        self.limits = kept


def _fenced_one_too_wide(self: Queue, now: float) -> int:
    limits = self.limits
    if limits.in_flight is not None and len(self.active) == limits.in_flight:
        return 1
    return Queue._free(self, now)


def _stopped_when_paused(self: Queue, now: float) -> int:
    return 0 if self.limits.is_paused else Queue.promote(self, now)


def _takes_a_token_for_each_try(
    self: Queue, into: list[Claim], room: int, now: float, until: float
) -> Sequence[SweptTask]:
    before, pending = len(into), len(self.pending)
    ended = Queue.take(self, into, room, now, until)
    expired = pending - len(self.pending) - (len(into) - before)
    if self.limits.rate is not None and expired > 0:
        self._bucket_full = self.limits.rate.after(self._bucket_full, now, expired)
    return ended


def _takes_tokens_in_vain(
    self: Queue, into: list[Claim], room: int, now: float, until: float
) -> Sequence[SweptTask]:
    before = len(into)
    ended = Queue.take(self, into, room, now, until)
    if self.limits.rate is not None and room > 0 and len(into) == before:
        self._bucket_full = self.limits.rate.after(self._bucket_full, now, 1)
    return ended


def _takes_as_if_alone(
    self: Queue, into: list[Claim], room: int, now: float, until: float
) -> Sequence[SweptTask]:
    full = self._bucket_full
    ended = Queue.take(self, into, room, now, until)
    if len(into) > 3:
        self._bucket_full = full
    return ended


def _puts_back(
    self: Queue, stored: StoredTask, event: Transition, now: float, verdict: Verdict | None = None
) -> State:
    was_active = stored.state is State.ACTIVE
    state = Queue.move(self, stored, event, now, verdict)
    if was_active and state is not State.GONE and self.limits.rate is not None:
        self._bucket_full -= self.limits.rate.pace
    return state


def _fills_all_at_once(self: Queue, now: float) -> int:
    rate = self.limits.rate
    if rate is None or self._bucket_full <= now or Queue._free(self, now) == 0:
        return Queue._free(self, now)
    # as many as come in a whole time, at its end
    return 0 if self._bucket_full - now > FINE else rate.count


FINE = 1e-3


def _counts_in_milliseconds(self: Queue, now: float) -> int:
    return Queue._free(self, round(now, 3))


def _begins_empty(self: Queue, rule: LimitChange, now: float) -> Limits:
    rate = self.limits.rate
    limits = Queue.set_limit(self, rule, now)
    if limits.rate is not None and limits.rate != rate:
        self._bucket_full = now + limits.rate.per
    return limits


def _fills_again(self: Queue, rule: LimitChange, now: float) -> Limits:
    self._bucket_full = now
    return Queue.set_limit(self, rule, now)


def _never_fills(self: Queue, rule: LimitChange, now: float) -> Limits:
    full = self._bucket_full
    limits = Queue.set_limit(self, rule, now)
    self._bucket_full = full
    return limits


def _sets_one_limit_alone(self: Queue, rule: LimitChange, now: float) -> Limits:
    self.limits = ruled(NO_LIMITS, rule)
    self._bucket_full = now
    return self.limits


def _rounds_rates(self: Queue, rule: LimitChange, now: float) -> Limits:
    if isinstance(rule, SetRate) and rule.rate is not None:
        rule = SetRate(Rate(rule.rate.count, float(max(1, round(rule.rate.per)))))
    return Queue.set_limit(self, rule, now)


def _never_lifts(self: Queue, rule: LimitChange, now: float) -> Limits:
    if rule in {SetRate(None), SetInFlight(None), SetPaused(is_paused=False)}:
        return self.limits
    return Queue.set_limit(self, rule, now)


def _due_without_rates(self: Queue) -> float | None:
    first = self.waiting.first()
    return None if first is None else first[0]


def _due_when_kept(self: Queue) -> float | None:
    kept, self.limits = self.limits, Limits(self.limits.rate)
    try:
        return Queue.next_due(self)
    finally:
        self.limits = kept


def _due_unless_kept(self: Queue) -> float | None:
    return None if self.limits.is_paused else Queue.next_due(self)


def _due_when_full(self: Queue) -> float | None:
    due, rate = Queue.next_due(self), self.limits.rate
    return due if due is None or rate is None or self.waiting else self._bucket_full


ForgetsRates = with_queue(_free=_free_of_rates)
ForgetsHowManyRun = with_queue(_free=_free_of_crowds)
ForgetsPauses = with_queue(_free=_free_in_pauses)
LetsOneMoreRun = with_queue(_free=_fenced_one_too_wide)
PausesPromotion = with_queue(promote=_stopped_when_paused)
TakesForTheExpired = with_queue(take=_takes_a_token_for_each_try)
TakesInVain = with_queue(take=_takes_tokens_in_vain)
ForgetsLargeClaims = with_queue(take=_takes_as_if_alone)
PutsBack = with_queue(move=_puts_back)
FillsAllAtOnce = with_queue(_free=_fills_all_at_once)
CountsInMilliseconds = with_queue(_free=_counts_in_milliseconds)
BeginsEmpty = with_queue(set_limit=_begins_empty)
FillsAgain = with_queue(set_limit=_fills_again)
NeverFills = with_queue(set_limit=_never_fills)
SetsOneAlone = with_queue(set_limit=_sets_one_limit_alone)
RoundsRates = with_queue(set_limit=_rounds_rates)
NeverLifts = with_queue(set_limit=_never_lifts)
TellsNoStarts = with_queue(next_due=_due_without_rates)
TellsStartsOfTheKept = with_queue(next_due=_due_when_kept)
HidesWhatIsDue = with_queue(next_due=_due_unless_kept)
TellsWhenItIsFull = with_queue(next_due=_due_when_full)


class LimitsAll(MemoryBroker):
    """Sets for all queues what was asked for one."""

    async def set_limit(self, queue: str, rule: LimitChange, *, now: float) -> Limits:
        for name in ("default", "a", "b", "red", "blue"):
            await super().set_limit(name, rule, now=now)
        return await super().set_limit(queue, rule, now=now)


class ForgetsEmptyQueues(MemoryBroker):
    """Forgets the limits of a queue when its last task is gone."""

    async def settle(self, verdicts: Any, *, now: float) -> Any:
        answers = await super().settle(verdicts, now=now)
        for queue in self._queues.values():
            if not queue.tasks:
                queue.limits = NO_LIMITS
        return answers


class ForgetsWhatRan(MemoryBroker):
    """Forgets what was started when the last task of a queue is gone."""

    async def settle(self, verdicts: Any, *, now: float) -> Any:
        answers = await super().settle(verdicts, now=now)
        for queue in self._queues.values():
            if not queue.tasks:
                queue._bucket_full = 0.0
        return answers


class AnswersInOrderOfNames(MemoryBroker):
    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        return await super().limits(sorted(queues))


class ListsNoEmptyQueues(MemoryBroker):
    """Lists those queues with limits that have tasks, too."""

    async def limited_queues(self) -> Sequence[str]:
        counts = await self.count()
        return [name for name in await super().limited_queues() if name in counts]


class ListsWhatWasLifted(MemoryBroker):
    """Lists a queue that has ever had limits."""

    async def limited_queues(self) -> Sequence[str]:
        return sorted(self._queues)


class ListsInOrderOfCalls(MemoryBroker):
    async def limited_queues(self) -> Sequence[str]:
        there = set(await super().limited_queues())
        return [name for name in self._queues if name in there]


class StopsAtTheLimited(MemoryBroker):
    """Gives up the room that a limited queue could not fill."""

    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        limits = await self.limits(list(demand.quotas))
        kept = dict(zip(demand.quotas, limits, strict=True))
        full = sum(n for queue, n in demand.quotas.items() if kept[queue] != NO_LIMITS)
        claims = await super().claim(demand, now=now, until=until)
        return [c for c in claims if kept[c.lease.queue] != NO_LIMITS] if full else claims


class CountsLimited(MemoryBroker):
    """Counts queues that have nothing but limits."""

    async def count(self) -> Any:
        bare = {name: dict[State, int]() for name, q in self._queues.items() if not q.tasks}
        return {**await super().count(), **bare}


def deaf_to(verb: str) -> type[MemoryBroker]:
    """Return a broker that tells nobody of what one of its verbs has done."""

    async def muted(self: MemoryBroker, *args: Any, **options: Any) -> Any:
        subscribers, self._subscribers = self._subscribers, Subscribers()
        try:
            return await getattr(MemoryBroker, verb)(self, *args, **options)
        finally:
            self._subscribers = subscribers

    return type(f"DeafTo{verb.title()}", (MemoryBroker,), {verb: muted})
