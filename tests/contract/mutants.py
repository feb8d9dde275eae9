"""Memory brokers that break a promise of notes, details, follow-ups, news or changes each."""

import threading
import time
from collections.abc import Sequence
from typing import Any, get_args

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.stored_task import StoredTask
from qcore.adapters.memory.subscriptions import Subscribers
from qcore.domain.answers import (
    Admission,
    Enqueued,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    QueueNotEmpty,
    QueueRemoved,
    Settled,
    Swept,
)
from qcore.domain.lifecycle import (
    ENDED,
    Command,
    Crashed,
    Failed,
    Rescheduled,
    RunNow,
    State,
    Succeeded,
    Transition,
    Updated,
)
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import NO_DETAILS, Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Task, Verdict, changed
from qcore.ports import Kinds, Notification, Notify, Page


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


class ForgetsWhatFollows(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        return super()._follow_up((), now)


class FollowsSilently(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        super()._follow_up(tasks, now)
        return set()


class StopsAtARefusal(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        for task in tasks:
            if not isinstance(self._queue(task.queue).add(task, now), Enqueued):
                break
        return {task.queue for task in tasks}


class OverwritesWhatIsThere(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        for task in tasks:
            stored = self._queue(task.queue).tasks.get(task.id)
            if stored is not None:
                stored.spec = task
        return super()._follow_up(tasks, now)


class FollowsFirst(MemoryBroker):
    """Stores what is to follow before the verdict has counted."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        for verdict in verdicts:
            if isinstance(verdict.outcome, Succeeded) and self._holder(verdict.lease):
                self._follow_up(verdict.outcome.then, now)
        without = [
            evolve(v, outcome=evolve(v.outcome, then=())) if isinstance(v.outcome, Succeeded) else v
            for v in verdicts
        ]
        return await super().settle(without, now=now)


class FollowsInASecondStep(MemoryBroker):
    """Lets a reader in between the end of a lease and what is to follow."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        ended = [evolve(v.outcome, then=()) if _followed(v) else v.outcome for v in verdicts]
        without = [evolve(v, outcome=outcome) for v, outcome in zip(verdicts, ended, strict=True)]
        answers = await super().settle(without, now=now)
        time.sleep(0)  # noqa: ASYNC251  (no time: it is another thread's turn)
        for verdict, answer in zip(verdicts, answers, strict=True):
            if isinstance(answer, Settled):
                await self.enqueue(_followed(verdict), now=now)
        return answers


def _followed(verdict: Verdict) -> Sequence[NewTask]:
    return verdict.outcome.then if isinstance(verdict.outcome, Succeeded) else ()


class SettlesWithoutALock(MemoryBroker):
    """Looks whose a lease is and ends it later, though another may have ended it by then."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        held = {verdict.lease: self._holder(verdict.lease) for verdict in verdicts}
        time.sleep(0)  # noqa: ASYNC251  (no time: it is another thread's turn)
        answers = [*await super().settle(verdicts, now=now)]
        for n, verdict in enumerate(verdicts):
            # of two verdicts in a batch the second has lost all the same
            stored = held.pop(verdict.lease, None)
            if stored is not None and isinstance(answers[n], LeaseLost):
                answers[n] = self.overtaken(stored, verdict.outcome)
        return answers

    def overtaken(self, stored: StoredTask, outcome: Transition) -> Settled | LeaseLost:
        """Return the answer to a verdict where another has ended the lease meanwhile."""
        return Settled(stored.state)


class KeepsTheLastVerdict(SettlesWithoutALock):
    """Tells the truth of who has lost a lease, but has written its result by then."""

    def overtaken(self, stored: StoredTask, outcome: Transition) -> LeaseLost:
        if isinstance(outcome, Succeeded):
            stored.result = outcome.result
        return LeaseLost()


class FollowsTheLost(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        answers = await super().settle(verdicts, now=now)
        for verdict in verdicts:
            if isinstance(verdict.outcome, Succeeded):
                self._follow_up(verdict.outcome.then, now)
        return answers


def deaf_to(verb: str) -> type[MemoryBroker]:
    """Return a broker that tells nobody of what one of its verbs has done."""

    async def muted(self: MemoryBroker, *args: Any, **options: Any) -> Any:
        subscribers, self._subscribers = self._subscribers, Subscribers()
        try:
            return await getattr(MemoryBroker, verb)(self, *args, **options)
        finally:
            self._subscribers = subscribers

    return type(f"DeafTo{verb.title()}", (MemoryBroker,), {verb: muted})


class TellsTooEarly(deaf_to("settle")):  # type: ignore[misc]  (a class made by a function)
    """Tells of verdicts that are not written yet, and not again when they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._was_read = threading.Event()

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        found = await super().get(queue, ids)
        self._was_read.set()
        return found

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        self._was_read.clear()
        for verdict in verdicts:
            self._subscribers.tell_of_tasks({verdict.lease.queue: [verdict.lease.id]})
        # until whoever was told has looked
        self._was_read.wait(1)
        return await super().settle(verdicts, now=now)


class TellsOfAll(MemoryBroker):
    """Tells everybody of what happens in every queue."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        return await super().subscribe([*queues, "default", "a", "b"], kinds, notify)


class TellsOfEveryKind(MemoryBroker):
    """Tells everybody whatever happens in their queues."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        return await super().subscribe(queues, get_args(Notification), notify)


class NeverStopsTelling(MemoryBroker):
    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        await super().subscribe(queues, kinds, notify)
        return await super().subscribe([], kinds, notify)


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


class RemovesWhatHasTasks(MemoryBroker):
    """Counts the tasks, and removes them."""

    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        self._queues.pop(queue, None)
        return answer


class RemovesWhatHasEnded(MemoryBroker):
    """Takes a queue for empty in which nothing waits or runs."""

    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        kept = self._queues.get(queue)
        if kept is not None and all(task.state in ENDED for task in kept.tasks.values()):
            self._queues.pop(queue)
        return await super().remove_queue(queue, now=now)


class RemovesNothing(MemoryBroker):
    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        kept = self._queues.get(queue)
        answer = await super().remove_queue(queue, now=now)
        if kept is not None:
            self._queues[queue] = kept
        return answer


class ForgetsTokensOfTheRemoved(MemoryBroker):
    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        if answer == QueueRemoved():
            self._queues.pop(queue, None)
        return answer


class RemovesNamesakes(MemoryBroker):
    """Removes the queues whose names begin with that of the removed one, too."""

    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        for name in [name for name in self._queues if name.startswith(f"{queue}:")]:
            self._queues.pop(name)
        return answer


class KnowsNoTypos(MemoryBroker):
    """Shows of a state that is none that nothing is in it."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        if state not in {*State}:
            return Page(())
        return await super().browse(queue, state, limit, cursor=cursor)


class KnowsNoTexts(MemoryBroker):
    """Takes a text for no state."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        if not isinstance(state, State):
            return Page(())
        return await super().browse(queue, state, limit, cursor=cursor)


class GoesOnBehindItsLast(MemoryBroker):
    """Begins a page behind the last task of the one before, wherever that is by now."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        whole = (await super().browse(queue, state, 10_000)).tasks
        ids = [task.id for task in whole]
        start = ids.index(cursor) + 1 if cursor in ids else 0
        shown = whole[start : start + limit]
        return Page(shown, shown[-1].id if start + limit < len(whole) and shown else None)


class SharesHeaders(MemoryBroker):
    """Gives everybody the same headers, which can be changed."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        shared: dict[str, dict[str, str]] = {}
        for task in tasks:
            own = shared.setdefault(repr(task.headers), {**task.headers})
            object.__setattr__(task, "headers", own)
        return await super().enqueue(tasks, now=now)
