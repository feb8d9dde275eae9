"""Memory brokers that break a promise of run details each."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import (
    Admission,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    Swept,
)
from qcore.domain.audit import audit_record
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import NO_DETAILS, Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Verdict
from qcore.domain.transitions import Command, Crashed, Failed, RunNow


class AnswersNotesBackwards(MemoryBroker):
    async def save_details(
        self, notes: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        return [*await super().save_details(notes)][::-1]


class NotesInFull(MemoryBroker):
    """Writes down what a note has, and what it does not have too."""

    def _write(self, note: DetailsUpdate) -> DetailsSaved | LeaseLost:
        stored, answer = self._holder(note.lease), super()._write(note)
        if stored is not None:
            stored.details = Details(stored.details.errors, note.progress, note.saved)
        return answer


class NotesWhatHasEnded(MemoryBroker):
    """Takes a note of any task that is there."""

    def _write(self, note: DetailsUpdate) -> DetailsSaved | LeaseLost:
        stored = self._queues[note.lease.queue].tasks.get(note.lease.id)
        if stored is None:
            return LeaseLost()
        self._queues[note.lease.queue].write(stored, note)
        return DetailsSaved()


class RemembersTheGone(MemoryBroker):
    """Keeps what was noted by id, whoever has that."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kept: dict[tuple[str, TaskId], Details] = {}

    def _write(self, note: DetailsUpdate) -> DetailsSaved | LeaseLost:
        stored, answer = self._holder(note.lease), super()._write(note)
        if stored is not None:
            self.kept[note.lease.queue, note.lease.id] = stored.details
        return answer

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        found = await super().details(queue, ids)
        return [
            self.kept.get((queue, task)) if each in {None, NO_DETAILS} else each
            for task, each in zip(ids, found, strict=True)
        ]


class Shows(MemoryBroker):
    """Shows details otherwise than they are."""

    def shown(self, details: Details) -> Details:
        raise NotImplementedError

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        found = await super().details(queue, ids)
        return [None if each is None else self.shown(each) for each in found]


class ShowsNine(Shows):
    def shown(self, details: Details) -> Details:
        return evolve(details, errors=details.errors[-9:])


class ShowsTheLatestFirst(Shows):
    def shown(self, details: Details) -> Details:
        return evolve(details, errors=details.errors[::-1])


class ShowsNoTracebacks(Shows):
    def shown(self, details: Details) -> Details:
        return evolve(details, errors=tuple(evolve(e, traceback=None) for e in details.errors))


class ShowsNoWorkers(Shows):
    def shown(self, details: Details) -> Details:
        return evolve(details, errors=tuple(evolve(e, worker=None) for e in details.errors))


class ShowsNoLostWorkers(Shows):
    def shown(self, details: Details) -> Details:
        lost = Crashed().error
        return evolve(details, errors=tuple(e for e in details.errors if e.error != lost))


class ShowsTheFirstOrders(Shows):
    def shown(self, details: Details) -> Details:
        return evolve(details, audit=details.audit[-19:])


class ShowsOrdersBackwards(Shows):
    def shown(self, details: Details) -> Details:
        return evolve(details, audit=details.audit[::-1])


class RecordsNobody(MemoryBroker):
    """Records who gave an order, also where that was not said."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        order = evolve(order, by="somebody") if order.by is None else order
        return await super().execute(queue, ids, order, now=now)


class RecordsWhatWasAsked(MemoryBroker):
    """Records an order with each task that it names, whether or not it may be carried out."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        answers = await super().execute(queue, ids, order, now=now)
        record = audit_record(order, now)
        for task, answer in zip(ids, answers, strict=True):
            if isinstance(answer, NotAllowed) and record is not None:
                stored = self._queues[queue].tasks[task]
                stored.details = evolve(stored.details, audit=(record,))
        return answers


class ForgetsWhoAtAFailure(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        for verdict in verdicts:
            stored = self._holder(verdict.lease)
            if stored is not None:
                stored.details = evolve(stored.details, audit=())
        return await super().settle(verdicts, now=now)


class SeesEverybody(MemoryBroker):
    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        return [each or NO_DETAILS for each in await super().details(queue, ids)]


class ForgetsAtACrash(MemoryBroker):
    async def sweep(self, queues: Sequence[str], limit: int, *, now: float) -> Swept:
        for each_queue in self._known(queues):
            for stored in each_queue.active.values():
                if stored.until <= now:
                    stored.details = Details(stored.details.errors)
        return await super().sweep(queues, limit, now=now)


class ForgetsAtARetry(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        for verdict in verdicts:
            stored = self._holder(verdict.lease)
            if stored is not None and isinstance(verdict.outcome, Failed):
                stored.details = Details(stored.details.errors)
        return await super().settle(verdicts, now=now)


class ForgetsAtAnOrder(MemoryBroker):
    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        for stored in [e for each_queue in self._known([queue]) for e in each_queue.tasks.values()]:
            if stored.spec.id in ids and isinstance(order, RunNow):
                stored.details = NO_DETAILS
        return await super().execute(queue, ids, order, now=now)


class Bequeaths(MemoryBroker):
    """Gives a task what was kept of the one that had its id."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        old = [await self.details(task.queue, [task.id]) for task in tasks]
        answers = await super().enqueue(tasks, now=now)
        for task, (details,) in zip(tasks, old, strict=True):
            # a later one of the batch may have taken its place
            stored = self._queues[task.queue].tasks.get(task.id)
            if details is not None and stored is not None:
                stored.details = details
        return answers
