"""Memory brokers that break a promise of rescheduled or changed tasks each."""

from collections.abc import Sequence

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import (
    Missing,
    Moved,
    NotAllowed,
)
from qcore.domain.task import changed
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Command,
    Discarded,
    Rescheduled,
    RunNow,
    Updated,
)


class NeverIntoThePast(MemoryBroker):
    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        order = Rescheduled(max(now, order.at)) if isinstance(order, Rescheduled) else order
        return await super().execute(queue, ids, order, now=now)


class NeverEarlier(MemoryBroker):
    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        for task in await self.get(queue, ids):
            if task is not None and isinstance(order, Rescheduled):
                order = Rescheduled(max(task.due, order.at))
        return await super().execute(queue, ids, order, now=now)


class LosesAChange(MemoryBroker):
    """Changes all but one field, each in a class of its own."""

    lost = ""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if isinstance(order, Updated):
            order = Updated({k: v for k, v in order.changes.items() if k != self.lost})
        return await super().execute(queue, ids, order, now=now)


def losing(field: str) -> type[MemoryBroker]:
    """Return a broker that does not change one field."""
    return type(f"Loses{field.title()}", (LosesAChange,), {"lost": field})


class ChangesTheWordsOnly(MemoryBroker):
    """Writes down what was changed, and acts as if it had not been."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if not isinstance(order, Updated):
            return await super().execute(queue, ids, order, now=now)
        answers = await super().execute(queue, ids, Updated({}), now=now)
        for task, answer in zip(ids, answers, strict=True):
            if isinstance(answer, Moved):
                stored = self._queues[queue].tasks[task]
                stored.spec = changed(stored.spec, order)
        return answers


class KeepsItsPlace(MemoryBroker):
    """Lets a task of another priority go before those that came after it."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        queues_changed = self._known([queue]) if isinstance(order, Updated) else []
        places = {
            task: stored.sequence
            for each_queue in queues_changed
            for task, stored in each_queue.tasks.items()
        }
        answers = await super().execute(queue, ids, order, now=now)
        for each_queue in queues_changed:
            for task in set(ids).intersection(each_queue.pending):
                stored = each_queue.tasks[task]
                stored.sequence = places[task]
                each_queue.pending.add((-stored.spec.priority, stored.sequence), task)
        return answers


class BringsBackAsNew(MemoryBroker):
    """Makes pending whatever was discarded, as an operator's "run now" does."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        order = RunNow() if isinstance(order, BroughtBack) else order
        return await super().execute(queue, ids, order, now=now)


class ArchivesForGood(MemoryBroker):
    """Discards as it archives: nothing says what the task was."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        order = Archived() if isinstance(order, Discarded) else order
        return await super().execute(queue, ids, order, now=now)
