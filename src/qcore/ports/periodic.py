"""`Periodic`: entries of periodic tasks, and changes of them that bring tasks in the same step."""

from collections.abc import Sequence
from typing import Protocol, cast

from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import DueEntries, EntryAnswer, EntryChange
from qcore.domain.periodic.entry import EntryId, FoundEntry
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class Periodic(Protocol):
    """What a broker with `Capability.PERIODIC` has besides: entries of periodic tasks.

    An entry lies in the queue of its tasks. What becomes of it is decided outside of the broker, of
    the entry as it was seen; so one verb writes whatever was decided: an entry that was added,
    changed, paused or removed, and a tick with its tasks.

    - The same id may lie in two queues.
    - Entries are no tasks: `count`, `claim` and `next_due` know nothing of them.
    - A queue that has entries is not removed: `remove_queue` answers with `QueueNotEmpty`, which
      says how many.
    """

    async def write_entries(
        self, changes: Sequence[EntryChange], *, now: Moment
    ) -> Sequence[EntryAnswer]:
        """Change entries, and enqueue the tasks that the changes bring.

        - Each answer is at its change's place: `EntryWritten` or `EntryConflict`.
        - A change is made if its entry has the revision that was seen, or if there is none where
          none was seen; else it is an `EntryConflict`, and nothing of it is written, of its tasks
          neither. So of several who change what they have seen one does, and a change that is asked
          for twice is made once.
        - One change is one step: an entry is never changed without its tasks, nor a task enqueued
          without its entry, even where the batch is cut.
        - Each task is admitted as by `enqueue`, and notified of as by it. One that is refused there
          is no error: the answer is at its place in `admissions`, and the rest is written.
        - What is written comes back unchanged, under a revision that nothing had before that lay
          under its id: neither what was seen, nor what was removed long ago.
        - With no entry, the entry is removed, and nothing is left of it; what it has enqueued
          stays.
        - A change whose entry or tasks are of another queue, whose entry has another id, or that
          brings more than 100 tasks, is an `InvalidTask`; then nothing of the batch is written.
        - Without `Capability.SHARED`, whoever has subscribed to `EntriesChanged` is notified of
          each queue of which an entry was written. With it this may be left out: schedulers ask
          again.
        - An empty batch is answered with no answers.
        """
        ...

    async def entries(self, queue: str, ids: Sequence[EntryId]) -> Sequence[FoundEntry | None]:
        """Return entries by id.

        - Each answer is at its id's place, None where none lies in this queue.
        - What a newer qcore has stored there, or somebody by hand, is an `UnreadableEntry`, which
          says why it cannot be read. It has a revision, so that it can be replaced and removed.
        """
        ...

    async def browse_entries(
        self, queue: str, limit: int, *, after: EntryId = ""
    ) -> Sequence[FoundEntry]:
        """Return entries of a queue, in the order of their ids.

        - At most `limit`, those whose ids come after `after` (by code points).
        - Those too that cannot be read.
        """
        ...

    async def entry_queues(self) -> Sequence[str]:
        """Return the queues in which entries lie.

        - In the order of their names, each once; also those that have no tasks.
        """
        ...

    async def due_entries(self, queues: Sequence[str], limit: int, *, now: Moment) -> DueEntries:
        """Return the entries that a scheduler has to look at, and when there will be others.

        - Those whose `wake` is `now` or earlier, the earliest first; at most `limit` in all.
        - Only of the queues named; nothing is changed.
        - Each says whether the last task that it made lives: it is stored in this queue, and has
          not ended.
        - `next` is the earliest `wake` of these queues that is later than `now`; None if there is
          none.
        - One that cannot be read is left out, and keeps no other one from being found.
        """
        ...


def periodic_of(broker: Producer) -> Periodic | None:
    """Return a broker as one that has entries; None where it declares that it has none."""
    return cast("Periodic", broker) if Capability.PERIODIC in broker.capabilities else None
