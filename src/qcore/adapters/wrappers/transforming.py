"""A broker around a broker, with a hook for each kind of thing that passes.

Tasks enter a broker by five verbs and leave it by four, their payloads by one and three more; so do
results and saved work. A wrapper that overrides the verbs forgets one of them. Here each verb calls
the hooks, and a wrapper overrides hooks.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs

from qcore.adapters.wrappers.forwarding import ForwardingBroker
from qcore.domain.answers import (
    Admission,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    Restoration,
    Settled,
)
from qcore.domain.groups import Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId, another
from qcore.domain.periodic.changes import DueEntries, DueEntry, EntryAnswer, EntryChange
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Task, Verdict
from qcore.domain.transitions import FOLLOWED, Command, Succeeded, Updated
from qcore.ports import Page, Verb

T = TypeVar("T")


class TransformingBroker(ForwardingBroker):
    """Pass whatever goes into the inner broker, and comes out of it, through hooks.

    A wrapper overrides those that it wants; each returns what it is given unless overridden. They
    are plain functions, must not wait, and are called in either colour, from any thread.

    What a hook raises is the answer of the whole call. On the way in that should be a
    `BrokerRefused`: the client and the worker then divide the batch until the culprit is alone.
    On the way out it would take the neighbours along, and of a claim leave their leases to run
    out: there a hook returns what it cannot read as it is.
    """

    def on_queue(self, queue: str) -> None:
        """Look at the name of a queue that a call is about, those of follow-ups included.

        Raise `BrokerUnusable` to refuse the call: a worker goes on with its other queues. Of a task
        that goes in, `on_task_in` comes first, and can refuse the one task with `BrokerRefused`.
        `count` names no queue, and `statistics` may ask for all: a wrapper that hides some
        overrides these, too.
        """

    def on_task_in(self, task: NewTask) -> NewTask:
        """Return a task as it is to be stored: new, a follow-up, an aggregate, of a tick, restored.

        Its id stays as it is: the answers name it. The task that the entry of a periodic task
        describes is none yet: of it the payload alone passes, through `on_content_in`.
        """
        return task

    def on_update_in(self, queue: str, changes: Mapping[str, object]) -> Mapping[str, object]:  # noqa: ARG002
        """Return the changes of stored tasks' fields, by name, as an `Updated` has them."""
        return changes

    def on_task_out(self, task: Task) -> Task:
        """Return a stored task as it is to be seen: by a worker, a handle or an inspector."""
        return task

    def on_content_in(self, queue: str, content: bytes) -> bytes:  # noqa: ARG002
        """Return a payload, a result or saved work as it is to be stored."""
        return content

    def on_content_out(self, queue: str, content: bytes) -> bytes:  # noqa: ARG002
        """Return a stored payload, result or saved work as it is to be seen."""
        return content

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[T]], /, **arguments: object
    ) -> T:
        for queue in queues_in(arguments):
            self.on_queue(queue)
        return await super().around(verb, call, **arguments)

    # --- in ------------------------------------------------------------------------------------

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        return await super().enqueue([self._task_in(each) for each in tasks], now=now)

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        return await super().settle([self._verdict_in(each) for each in verdicts], now=now)

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        return await super().save_details([self._details_in(each) for each in updates])

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if isinstance(command, Updated):
            changes = self._changes_in(queue, command.changes)
            command = attrs.evolve(command, changes=changes)
        return await super().execute(queue, ids, command, now=now)

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        inner = [self._snapshot_in(each) for each in snapshots]
        return await super().restore(inner, now=now, over=over)

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        return await super().aggregate(queue, group, ids, self._task_in(task), now=now)

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        return await super().write_entries([self._change_in(each) for each in changes], now=now)

    def _change_in(self, change: EntryChange) -> EntryChange:
        entry = change.entry
        if entry is not None:
            entry = _with_payload(entry, self.on_content_in(entry.queue, entry.entry.task.payload))
        tasks = tuple(self._task_in(each) for each in change.tasks)
        return attrs.evolve(change, entry=entry, tasks=tasks)

    def _task_in(self, task: NewTask) -> NewTask:
        task = self.on_task_in(task)
        payload = self.on_content_in(task.queue, task.payload)
        return task if payload is task.payload else another(task, task.id, payload)

    def _snapshot_in(self, snapshot: TaskSnapshot) -> TaskSnapshot:
        task, details = snapshot.task, snapshot.details
        result, saved = task.result, details.saved
        if result is not None:
            result = self.on_content_in(task.queue, result)
        if saved is not None:
            saved = self.on_content_in(task.queue, saved)
        return TaskSnapshot(
            attrs.evolve(task, spec=self._task_in(task.spec), result=result),
            attrs.evolve(details, saved=saved),
        )

    def _verdict_in(self, verdict: Verdict) -> Verdict:
        outcome, queue = verdict.outcome, verdict.lease.queue
        if not isinstance(outcome, FOLLOWED):
            return verdict
        stored = outcome
        if outcome.then:
            then = tuple(self._task_in(each) for each in outcome.then)
            stored = attrs.evolve(outcome, then=then)
        if isinstance(stored, Succeeded) and stored.result is not None:
            stored = attrs.evolve(stored, result=self.on_content_in(queue, stored.result))
        if stored is outcome:
            return verdict
        return Verdict(verdict.lease, stored, verdict.waited, verdict.ran)

    def _details_in(self, update: DetailsUpdate) -> DetailsUpdate:
        if update.saved is None:
            return update
        saved = self.on_content_in(update.lease.queue, update.saved)
        return DetailsUpdate(update.lease, update.progress, saved)

    def _changes_in(self, queue: str, changes: Mapping[str, object]) -> Mapping[str, object]:
        changes = self.on_update_in(queue, changes)
        payload = changes.get("payload")
        if not isinstance(payload, bytes):
            return changes
        return {**changes, "payload": self.on_content_in(queue, payload)}

    # --- out -----------------------------------------------------------------------------------

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        return [Claim(self._task_out(each.task), each.lease) for each in claims]

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        tasks = await super().get(queue, ids)
        return [None if each is None else self._task_out(each) for each in tasks]

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        page = await super().browse(queue, state, limit, cursor=cursor)
        return Page([self._task_out(each) for each in page.tasks], page.cursor)

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        return [self._task_out(each) for each in await super().members(queue, group, limit)]

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        found = await super().details(queue, ids)
        return [None if each is None else self._details_out(queue, each) for each in found]

    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        found = await super().entries(queue, ids)
        return [None if each is None else self._entry_out(each) for each in found]

    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        found = await super().browse_entries(queue, limit, after=after)
        return [self._entry_out(each) for each in found]

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        due = await super().due_entries(queues, limit, now=now)
        entries = [DueEntry(self._stored_out(each.stored), each.lives) for each in due.entries]
        return DueEntries(entries, due.next)

    def _entry_out(self, found: FoundEntry) -> FoundEntry:
        return self._stored_out(found) if isinstance(found, StoredEntry) else found

    def _stored_out(self, stored: StoredEntry) -> StoredEntry:
        payload = self.on_content_out(stored.queue, stored.entry.task.payload)
        return _with_payload(stored, payload)

    def _task_out(self, task: Task) -> Task:
        spec, result = task.spec, task.result
        payload = self.on_content_out(spec.queue, spec.payload)
        if payload is not spec.payload:
            spec = another(spec, spec.id, payload)
        if result is not None:
            result = self.on_content_out(spec.queue, result)
        if spec is not task.spec or result is not task.result:
            task = attrs.evolve(task, spec=spec, result=result)
        return self.on_task_out(task)

    def _details_out(self, queue: str, details: Details) -> Details:
        if details.saved is None:
            return details
        return attrs.evolve(details, saved=self.on_content_out(queue, details.saved))


def _with_payload(stored: StoredEntry, payload: bytes) -> StoredEntry:
    task = stored.entry.task
    if payload is task.payload:
        return stored
    entry = attrs.evolve(stored.entry, task=another(task, task.id, payload))
    return attrs.evolve(stored, entry=entry)


def _queues_of_verdict(verdict: Verdict) -> Iterable[str]:
    outcome = verdict.outcome
    then = outcome.then if isinstance(outcome, FOLLOWED) else ()
    return (verdict.lease.queue, *(each.queue for each in then))


_QUEUES: Final[Mapping[str, Callable[[Any], Iterable[str]]]] = {
    "queue": lambda queue: (queue,),
    "queues": lambda queues: queues or (),
    "task": lambda task: (task.queue,),
    "tasks": lambda tasks: (each.queue for each in tasks),
    "demand": lambda demand: demand.quotas,
    "changes": lambda changes: (each.queue for each in changes),
    "snapshots": lambda snapshots: (each.queue for each in snapshots),
    "leases": lambda leases: (each.queue for each in leases),
    "updates": lambda updates: (each.lease.queue for each in updates),
    "verdicts": lambda verdicts: (queue for each in verdicts for queue in _queues_of_verdict(each)),
}
"""The queues that an argument of a verb names, by the argument's name."""


def queues_in(arguments: Mapping[str, object]) -> Sequence[str]:
    """Return the queues that a call is about, each once; also those of follow-ups.

    `arguments` are those that `ForwardingBroker.around` is given.
    """
    named = (
        queue
        for name, value in arguments.items()
        if name in _QUEUES
        for queue in _QUEUES[name](value)
    )
    return list(dict.fromkeys(named))
