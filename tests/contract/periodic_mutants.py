"""Memory brokers that break a promise of `Periodic` each."""

import asyncio
from collections.abc import Sequence
from math import floor

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.entries import Entries
from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import (
    DueEntries,
    EntryAnswer,
    EntryChange,
    EntryConflict,
    EntryWritten,
    check_change,
)
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry, UnreadableEntry
from qcore.domain.states import State

# a mutant knows what it breaks
# ruff: noqa: SLF001


class WithEntries(MemoryBroker):
    """A broker whose entries are of a kind of its own."""

    entries_class: type[Entries] = Entries

    def __init__(self) -> None:
        super().__init__()
        self.entry_store = self.entries_class()


class IgnoresRevisions(MemoryBroker):
    def _write_entry(self, change: EntryChange, now: Moment) -> EntryAnswer:
        seen = self.entry_store.revision(change.queue, change.id)
        return super()._write_entry(evolve(change, seen=seen), now)


class AddsAgain(MemoryBroker):
    def _write_entry(self, change: EntryChange, now: Moment) -> EntryAnswer:
        if change.seen is None:
            change = evolve(change, seen=self.entry_store.revision(change.queue, change.id))
        return super()._write_entry(change, now)


class BringsBack(MemoryBroker):
    def _write_entry(self, change: EntryChange, now: Moment) -> EntryAnswer:
        if self.entry_store.revision(change.queue, change.id) is None:
            change = evolve(change, seen=None)
        return super()._write_entry(change, now)


class EnqueuesAllTheSame(MemoryBroker):
    def _write_entry(self, change: EntryChange, now: Moment) -> EntryAnswer:
        answer = super()._write_entry(change, now)
        if isinstance(answer, EntryConflict):
            for task in change.tasks:
                self._queue(task.queue).add(task, now)
        return answer


class StopsAtAConflict(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        answers: list[EntryAnswer] = []
        for change in changes:
            if EntryConflict() in answers:
                answers.append(EntryConflict())
            else:
                answers += await super().write_entries([change], now=now)
        return answers


class ChecksOneByOne(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        answers: list[EntryAnswer] = []
        for change in changes:
            answers += await super().write_entries([change], now=now)
        return answers


class TakesTasksOfOtherQueues(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        for change in changes:
            check_change(evolve(change, tasks=()))
        with self._lock:
            return [self._write_entry(change, now) for change in changes]


class WritesInTwoSteps(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        answers = await super().write_entries([evolve(c, tasks=()) for c in changes], now=now)
        await asyncio.sleep(0)
        return [
            EntryWritten(answer.revision, await self.enqueue(change.tasks, now=now))
            if isinstance(answer, EntryWritten)
            else answer
            for change, answer in zip(changes, answers, strict=True)
        ]


class LooksAndThenWrites(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        revisions = [self.entry_store.revision(c.queue, c.id) for c in changes]
        await asyncio.sleep(0)
        return [
            self._write_entry(evolve(c, seen=self.entry_store.revision(c.queue, c.id)), now)
            if c.seen == revision
            else EntryConflict()
            for c, revision in zip(changes, revisions, strict=True)
        ]


class NotifiesNobody(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        with self._lock:
            return [self._write_entry(change, now) for change in changes]


class NotifiesEverybody(MemoryBroker):
    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        answers = await super().write_entries(changes, now=now)
        self._subscribers.tell_of_entries({"default", "b"})
        return answers


class FallsOverRefusals(MemoryBroker):
    def _write_entry(self, change: EntryChange, now: Moment) -> EntryAnswer:
        stored = self._queue(change.queue).tasks
        if any(task.id in stored for task in change.tasks):
            return EntryConflict()
        return super()._write_entry(change, now)


class RemovesQueuesWithEntries(MemoryBroker):
    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        if isinstance(answer, QueueNotEmpty) and not answer.tasks:
            self.entry_store._rows.pop(queue)
            return await super().remove_queue(queue, now=now)
        return answer


class CountsEntries(MemoryBroker):
    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        return await super().next_due(queues) or self.entry_store.next_wake(queues, 0.0)


class _CountsFromOne(Entries):
    """Gives an entry that is added again the revisions of the one before."""

    def put(self, queue: str, entry: EntryId, stored: StoredEntry | None) -> str | None:
        before = self.revision(queue, entry)
        super().put(queue, entry, stored)
        if stored is None:
            return None
        revision = self._rows[queue][entry].revision = str(int(before or 0) + 1)
        return revision


class StartsRevisionsAgain(WithEntries):
    entries_class = _CountsFromOne


class _KeepsRemoved(Entries):
    """Remembers when a removed entry was to be looked at."""

    def put(self, queue: str, entry: EntryId, stored: StoredEntry | None) -> str | None:
        row = self._rows[queue].get(entry)
        revision = super().put(queue, entry, stored)
        if stored is None and row is not None:
            self._rows[queue][f"{entry}\0gone"] = row
        return revision


class KeepsRemoved(WithEntries):
    entries_class = _KeepsRemoved


class _RoundsWakes(Entries):
    """Knows moments to the second."""

    def put(self, queue: str, entry: EntryId, stored: StoredEntry | None) -> str | None:
        revision = super().put(queue, entry, stored)
        if stored is not None and stored.state.wake is not None:
            self._rows[queue][entry].wake = float(floor(stored.state.wake))
        return revision


class RoundsWakes(WithEntries):
    entries_class = _RoundsWakes


class _Forgets(Entries):
    """Forgets the history of an entry."""

    def find(self, queue: str, entry: EntryId) -> FoundEntry | None:
        found = super().find(queue, entry)
        if isinstance(found, StoredEntry):
            return evolve(found, state=evolve(found.state, history=()))
        return found


class ForgetsHistory(WithEntries):
    entries_class = _Forgets


class _ReadsLeniently(Entries):
    """Raises for what cannot be read."""

    def find(self, queue: str, entry: EntryId) -> FoundEntry | None:
        found = super().find(queue, entry)
        if isinstance(found, UnreadableEntry):
            return None
        return found


class HidesUnreadable(WithEntries):
    entries_class = _ReadsLeniently


class _StopsAtUnreadable(Entries):
    """Counts what it cannot read against the limit."""

    def due(self, queues: Sequence[str], limit: int, now: Moment) -> list[StoredEntry]:
        rows = sorted(row for row in self._wakes(queues) if row[0] <= now)[:limit]
        found = [self.find(queue, entry) for _, queue, entry in rows]
        return [each for each in found if isinstance(each, StoredEntry)]


class StopsAtUnreadable(WithEntries):
    entries_class = _StopsAtUnreadable


class _DueByQueue(Entries):
    """Looks at one queue after the other."""

    def due(self, queues: Sequence[str], limit: int, now: Moment) -> list[StoredEntry]:
        found = [
            each for queue in queues for each in super(_DueByQueue, self).due([queue], limit, now)
        ]
        return found[:limit]


class DueByQueue(WithEntries):
    entries_class = _DueByQueue


class DueEverywhere(MemoryBroker):
    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        return await super().due_entries(self.entry_store.queues(), limit, now=now)


class DueWithoutEnd(MemoryBroker):
    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        return await super().due_entries(queues, limit + 1, now=now)


class TellsTheFirst(MemoryBroker):
    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        found = await super().due_entries(queues, limit, now=now)
        return DueEntries(found.entries, self.entry_store.next_wake(queues, 0.0))


class BelievesAllLive(MemoryBroker):
    def _last_task_lives(self, stored: StoredEntry) -> bool:
        return stored.state.last_task is not None


class BelievesNoneLives(MemoryBroker):
    def _last_task_lives(self, stored: StoredEntry) -> bool:
        return False


class BelievesTheKeptLive(MemoryBroker):
    def _last_task_lives(self, stored: StoredEntry) -> bool:
        return (stored.state.last_task or "") in self._queue(stored.queue).tasks


class BelievesOnlyTheActiveLive(MemoryBroker):
    def _last_task_lives(self, stored: StoredEntry) -> bool:
        task = self._queue(stored.queue).tasks.get(stored.state.last_task or "")
        return task is not None and task.state is State.ACTIVE


class LooksInAllQueues(MemoryBroker):
    def _last_task_lives(self, stored: StoredEntry) -> bool:
        last = stored.state.last_task
        return any(
            queue.tasks[last].state is not State.COMPLETED
            for queue in self._queues.values()
            if last is not None and last in queue.tasks
        )


class ListsByCase(MemoryBroker):
    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        found = await super().browse_entries(queue, 1_000)
        later = [each for each in found if each.id.casefold() > after.casefold()]
        return sorted(later, key=lambda each: each.id.casefold())[:limit]


class ListsTheEmptied(MemoryBroker):
    async def entry_queues(self) -> Sequence[str]:
        return sorted(self.entry_store._rows)


class AnswersInOrderOfIds(MemoryBroker):
    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        return await super().entries(queue, sorted(ids))
