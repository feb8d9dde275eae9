"""The entries of periodic tasks in the memory broker."""

from collections.abc import Sequence

from qcore.adapters.memory.entries import Entries
from qcore.adapters.memory.queue import Queue
from qcore.adapters.memory.reading import MemoryReading
from qcore.adapters.memory.subscriptions import Subscribers
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import (
    DueEntries,
    DueEntry,
    EntryAnswer,
    EntryChange,
    EntryConflict,
    EntryWritten,
    check_change,
)
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry
from qcore.domain.states import ENDED


class MemoryPeriodic(MemoryReading):
    """The verbs of `Periodic`: an entry is written with its tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.entry_store = Entries()
        self._subscribers = Subscribers()

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        """Change entries, and enqueue the tasks that the changes bring."""
        for change in changes:
            check_change(change)
        with self._lock:
            answers = [self._write_entry(change, now) for change in changes]
        written = [
            change
            for change, answer in zip(changes, answers, strict=True)
            if isinstance(answer, EntryWritten)
        ]
        self._subscribers.tell_of_work({change.queue for change in written if change.tasks})
        self._subscribers.tell_of_entries({change.queue for change in written})
        return answers

    def _write_entry(self, change: EntryChange, now: Moment) -> EntryAnswer:
        if self.entry_store.revision(change.queue, change.id) != change.seen:
            return EntryConflict()
        revision = self.entry_store.put(change.queue, change.id, change.entry)
        return EntryWritten(revision, [self._queue(t.queue).add(t, now) for t in change.tasks])

    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        """Return entries by id, None for one that is not stored."""
        with self._lock:
            return [self.entry_store.find(queue, each) for each in ids]

    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        """Return entries of a queue, in the order of their ids."""
        with self._lock:
            return self.entry_store.browse(queue, limit, after)

    async def entry_queues(self) -> Sequence[str]:
        """Return the queues in which entries lie."""
        with self._lock:
            return self.entry_store.queues()

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        """Return the entries to look at now, and when there will be others."""
        with self._lock:
            due = self.entry_store.due(queues, limit, now)
            found = [DueEntry(stored, self._last_task_lives(stored)) for stored in due]
            return DueEntries(found, self.entry_store.next_wake(queues, now))

    def _last_task_lives(self, stored: StoredEntry) -> bool:
        tasks = self._queues[stored.queue].tasks if stored.queue in self._queues else {}
        last = tasks.get(stored.state.last_task or "")
        return last is not None and last.state not in ENDED

    def _queue(self, name: str) -> Queue:
        """Return a queue, creating it if there is none of the name."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = Queue(name)
        return queue
