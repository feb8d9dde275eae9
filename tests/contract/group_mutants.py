"""Memory brokers that break a promise of groups each."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.queue import Queue
from qcore.adapters.memory.stored_task import StoredTask
from qcore.domain.answers import Admission, Enqueued
from qcore.domain.groups import Group, Stale
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Task
from qcore.domain.transitions import Aggregated
from tests.contract.limits_mutants import with_queue


def _groups_by_priority(self: Queue, group: str) -> list[StoredTask]:
    return sorted(Queue.members(self, group), key=lambda stored: -stored.spec.priority)


def _aggregates_what_is_there(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    there = [each for each in ids if each in self._groups.get(group, ())]
    return Queue.aggregate(self, group, there, task, now)


def _aggregates_from_anywhere(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    waiting = [each for members in self._groups.values() for each in members]
    if not ids or not set(ids).issubset(waiting):
        return Stale()
    answer = self.add(task, now)
    _remove(self, ids, answer)
    return answer


def _remove(self: Queue, ids: Sequence[TaskId], answer: Admission) -> None:
    for each in ids if isinstance(answer, Enqueued) else ():
        stored = self.tasks.get(each)
        if stored is not None and stored.state is State.AGGREGATING:
            self.move(stored, Aggregated(), 0.0)


def _aggregates_nobody_too(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    return Queue.aggregate(self, group, ids, task, now) if ids else self.add(task, now)


def _keeps_its_members(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    waiting = self._groups.get(group, ())
    return self.add(task, now) if ids and set(ids).issubset(waiting) else Stale()


def _takes_the_whole_group(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    whole = list(self._groups.get(group, ()))
    answer = Queue.aggregate(self, group, ids, task, now)
    _remove(self, whole, answer)
    return answer


def _admits_first(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    answer = self.add(task, now)
    if not isinstance(answer, Enqueued):
        return answer
    if not ids or not set(ids).issubset(self._groups.get(group, ())):
        return Stale()
    _remove(self, ids, answer)
    return answer


def _lets_members_go_first(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    if not ids or not set(ids).issubset(self._groups.get(group, ())):
        return Stale()
    for each in dict.fromkeys(ids):
        self.move(self.tasks[each], Aggregated(), now)
    return self.add(task, now)


def _keeps_their_keys(
    self: Queue, group: str, ids: Sequence[TaskId], task: NewTask, now: float
) -> Admission | Stale:
    held = [e for each in ids if (e := self.tasks.get(each)) and e.spec.unique_key]
    answer = Queue.aggregate(self, group, ids, task, now)
    if isinstance(answer, Enqueued):
        for stored in held:
            self._unique_holders.setdefault(stored.spec.unique_key or "", (task.id, inf))
    return answer


OrdersByPriority = with_queue(members=_groups_by_priority)
MergesWhatIsThere = with_queue(aggregate=_aggregates_what_is_there)
MergesFromAnywhere = with_queue(aggregate=_aggregates_from_anywhere)
MergesNobody = with_queue(aggregate=_aggregates_nobody_too)
KeepsMembers = with_queue(aggregate=_keeps_its_members)
TakesTheWholeGroup = with_queue(aggregate=_takes_the_whole_group)
AdmitsFirst = with_queue(aggregate=_admits_first)
LetsMembersGoFirst = with_queue(aggregate=_lets_members_go_first)
KeepsTheirKeys = with_queue(aggregate=_keeps_their_keys)


class JoinsWhenPromoted(MemoryBroker):
    """Lets a delayed task join its group when a claim comes upon it."""

    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        for queue in self._known(demand.quotas):
            for task in [t for t in queue.waiting if queue.tasks[t].due <= now]:
                stored = queue.tasks[task]
                if stored.spec.group is not None:
                    queue.waiting.discard(task)
                    stored.due = now
                    queue.waiting.add((now, stored.sequence), task)
        return await super().claim(demand, now=now, until=until)


class ForgetsGroups(MemoryBroker):
    """Makes pending at once what should wait."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        return await super().enqueue([evolve(task, group=None) for task in tasks], now=now)


def listing(change: Callable[[list[Group], str], list[Group]]) -> type[MemoryBroker]:
    """Return a broker that lists groups otherwise."""

    class Lists(MemoryBroker):
        async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
            found = change(list(await super().groups(queue, 10**9)), after)
            return [group for group in found if group.name > after][:limit]

    Lists.__name__ = change.__name__.strip("_").title().replace("_", "")
    return Lists


def _lists_in_utf_16(groups: list[Group], after: str) -> list[Group]:
    found = sorted(groups, key=lambda group: group.name.encode("utf-16-be"))
    past = after.encode("utf-16-be")
    return [group for group in found if group.name.encode("utf-16-be") > past]


def _lists_by_case(groups: list[Group], _: str) -> list[Group]:
    return sorted(groups, key=lambda group: (group.name.lower(), group.name))


def _lists_one_too_many(groups: list[Group], _: str) -> list[Group]:
    return [evolve(group, size=group.size + 1) for group in groups]


def _lists_no_last(groups: list[Group], _: str) -> list[Group]:
    return [evolve(group, last=group.first) for group in groups]


ListsInUtf16 = listing(_lists_in_utf_16)
ListsByCase = listing(_lists_by_case)
ListsOneTooMany = listing(_lists_one_too_many)
ListsNoLast = listing(_lists_no_last)


class ListsTheEmpty(MemoryBroker):
    """Lists groups whose members have left."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.known: dict[tuple[str, str], Group] = {}

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        found = {group.name: group for group in await super().groups(queue, 10**9)}
        old = {n: evolve(g, size=0) for (q, n), g in self.known.items() if q == queue}
        names = [name for name in sorted({**old, **found}) if name > after]
        return [found.get(name) or old[name] for name in names][:limit]

    async def execute(self, queue: str, ids: Any, order: Any, *, now: float) -> Any:
        for group in await super().groups(queue, 10**9):
            self.known[queue, group.name] = group
        return await super().execute(queue, ids, order, now=now)


class ListsAllMembers(MemoryBroker):
    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        return await super().members(queue, group, 10**9)


class ChecksNothing(MemoryBroker):
    """Lets anything become of members."""

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: float
    ) -> Admission | Stale:
        return self._queue(queue).aggregate(group, ids, task, now)
