"""What is asked of a broker of its entries, and what it answers."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from qcore.domain.answers import Admission
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.entry import EntryId, StoredEntry
from qcore.domain.record import record

MAX_TASKS: Final = 100
"""Tasks that one change brings: as many as a broker stores in one step."""


@record
class EntryChange:
    """Put an entry in the place of what was seen of it, and enqueue tasks, in one step."""

    queue: str
    id: EntryId
    seen: str | None
    """The revision that it had; None where there was no entry."""
    entry: StoredEntry | None
    """What takes its place; None to remove it."""
    tasks: tuple[NewTask, ...] = ()
    """Of its queue: at most 100."""
    missed: int = 0
    """Ticks that it leaves out as missed, which a broker need not know."""


@record
class EntryWritten:
    """The change was made. Each admission is at its task's place; one refused is no error."""

    revision: str | None
    """That the entry has now; None of one that was removed."""
    admissions: Sequence[Admission] = ()


@record
class EntryConflict:
    """The entry is not as it was seen: somebody was faster. Nothing was written."""


EntryAnswer: TypeAlias = EntryWritten | EntryConflict


@record
class DueEntry:
    """An entry that a scheduler has to look at."""

    stored: StoredEntry
    lives: bool
    """Whether the last task that it made lives: is stored, and has not ended."""


@record
class DueEntries:
    """Entries to look at now, and when there will be others."""

    entries: Sequence[DueEntry] = ()
    next: Moment | None = None
    """The earliest moment after `now` at which another is to be looked at."""


def check_change(change: EntryChange) -> None:
    """Raise `InvalidTask` for a change that is not of one queue, or brings too many tasks."""
    if len(change.tasks) > MAX_TASKS:
        raise InvalidTask(f"{len(change.tasks):,} tasks at once: expected at most {MAX_TASKS}")
    entry = change.entry
    if entry is not None and (entry.queue, entry.id) != (change.queue, change.id):
        raise InvalidTask(
            f"the entry {entry.id!r} of the queue {entry.queue!r} is to take the place of "
            f"{change.id!r} of {change.queue!r}: expected the same"
        )
    for task in change.tasks:
        if task.queue != change.queue:
            raise InvalidTask(
                f"{task.name} is for the queue {task.queue!r}: expected that of the entry, "
                f"{change.queue!r}"
            )
