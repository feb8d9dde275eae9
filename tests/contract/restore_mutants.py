"""Memory brokers that break a promise of `restore` each."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import Conflict, Duplicate, Restoration, Restored
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import REJECT
from qcore.domain.run_details import NO_DETAILS
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import ENDED, State
from qcore.domain.statistics import tallied


class Restoring(MemoryBroker):
    """Restores what a subclass makes of each snapshot."""

    def made(self, snapshot: TaskSnapshot, now: float) -> TaskSnapshot:
        """Return what is restored in the place of a snapshot."""
        raise NotImplementedError

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        return await super().restore([self.made(s, now) for s in snapshots], now=now, over=over)


def changing(name: str, change: Callable[[Any, float], Any]) -> type[MemoryBroker]:
    """Return a broker that restores something else in the place of each task."""

    def made(_: object, snapshot: TaskSnapshot, now: float) -> TaskSnapshot:
        return TaskSnapshot(change(snapshot.task, now), snapshot.details)

    return type(name, (Restoring,), {"made": made})


ForgetsAttempts = changing("ForgetsAttempts", lambda task, _: evolve(task, attempts=0))
ForgetsResults = changing("ForgetsResults", lambda task, _: evolve(task, result=None))
CreatesAnew = changing("CreatesAnew", lambda task, now: evolve(task, created=now))
RunsAtOnce = changing(
    "RunsAtOnce",
    lambda task, now: (
        evolve(task, state=State.PENDING, due=now) if task.state is State.RETRY else task
    ),
)
TakesARunForACrash = changing(
    "TakesARunForACrash",
    lambda task, _: evolve(task, crashes=task.crashes + (task.state is State.ACTIVE)),
)
EndsAnew = changing(
    "EndsAnew", lambda task, now: evolve(task, finished=now) if task.state in ENDED else task
)
ForgetsPriorities = changing(
    "ForgetsPriorities", lambda task, _: evolve(task, spec=evolve(task.spec, priority=0))
)
ForgetsGroups = changing(
    "ForgetsGroups",
    lambda task, _: evolve(task, state=State.PENDING) if task.state is State.AGGREGATING else task,
)
ForgetsThatItWaits = changing(
    "ForgetsThatItWaits",
    lambda task, now: evolve(task, due=now) if task.due == LAST_MOMENT else task,
)


class ForgetsDetails(Restoring):
    def made(self, snapshot: TaskSnapshot, now: float) -> TaskSnapshot:
        return TaskSnapshot(snapshot.task, NO_DETAILS)


class KeepsActive(MemoryBroker):
    """Restores a task as active, which nobody has a lease of."""

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        answers = await super().restore(snapshots, now=now, over=over)
        for each in snapshots:
            if each.task.state is State.ACTIVE:
                queue = self._queues[each.queue]
                queue.pending.discard(each.task.id)
                stored = queue.tasks[each.task.id]
                stored.state = State.ACTIVE
                queue.active[each.task.id] = stored
        return answers


class RestoresBackwards(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        return (await super().restore(snapshots[::-1], now=now, over=over))[::-1]


class ReplacesWhatHasEnded(MemoryBroker):
    """Does with ids that have ended as `enqueue` does."""

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        for each in snapshots:
            for queue in self._known([each.queue]):
                stored = queue.tasks.get(each.task.id)
                if stored is not None and stored.state in ENDED:
                    queue._transfer(stored, State.GONE)  # noqa: SLF001
        return await super().restore(snapshots, now=now, over=over)


class RestoresOverWhatIsAside(MemoryBroker):
    """Asks for no reason."""

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        if over is None:
            return await super().restore(snapshots, now=now)
        answers: list[Restoration] = []
        for each in snapshots:
            (stored,) = await self.get(each.queue, [each.task.id])
            reason = over if stored is None else stored.error
            answers += await super().restore([each], now=now, over=reason)
        return answers


class RestoresOverNothing(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        return await super().restore(snapshots, now=now)


class StopsAtTheFirstConflict(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        answers: list[Restoration] = []
        for each in snapshots:
            if any(isinstance(answer, Conflict) for answer in answers):
                answers.append(Conflict(each.task.id, State.PENDING))
            else:
                answers += await super().restore([each], now=now, over=over)
        return answers


class RestoresSilently(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        with self._lock:
            return [self._queue(each.queue).restore(each, now, over) for each in snapshots]


class TakesNoKeys(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        queues = {each.queue for each in snapshots}
        held = {each: dict(self._queue(each)._unique_holders) for each in queues}  # noqa: SLF001
        answers = await super().restore(snapshots, now=now, over=over)
        for queue, holders in held.items():
            self._queues[queue]._unique_holders = holders  # noqa: SLF001
        return answers


class TakesKeysForEver(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        answers = await super().restore(snapshots, now=now, over=over)
        for each in snapshots:
            holders = self._queues[each.queue]._unique_holders  # noqa: SLF001
            for key, (task, _) in holders.items():
                holders[key] = task, inf
        return answers


class TakesKeysOfOthers(MemoryBroker):
    """Replaces who has the key, as the task once asked for."""

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        answers: list[Restoration] = []
        for each in snapshots:
            (answer,) = await super().restore([each], now=now, over=over)
            if isinstance(answer, Duplicate) and each.task.spec.on_duplicate != REJECT:
                queue = self._queues[each.queue]
                queue._transfer(queue.tasks[answer.id], State.GONE)  # noqa: SLF001
                (answer,) = await super().restore([each], now=now, over=over)
            answers.append(answer)
        return answers


class CountsWhatIsRestored(MemoryBroker):
    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        from qcore.domain.transitions import Rejected

        answers = await super().restore(snapshots, now=now, over=over)
        for each, answer in zip(snapshots, answers, strict=True):
            if isinstance(answer, Restored) and answer.state is State.DEAD:
                ended = tallied([(each.task.name, Rejected("?"), State.DEAD, None)])
                self._queues[each.queue].statistics.add(ended, now)
        return answers
