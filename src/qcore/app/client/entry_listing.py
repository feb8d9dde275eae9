"""Entries of periodic tasks as they are shown, and found page by page over all queues."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.periodic.entry import Entry, FoundEntry, StoredEntry, TickRecord
from qcore.domain.record import record
from qcore.domain.schedules.texts import schedule_from
from qcore.domain.states import State
from qcore.domain.text import shown
from qcore.ports import Periodic

PAGE: Final = 500
"""Entries that are read in one call."""
DEFAULT_ENTRIES: Final = 100
LOOK: Final = 2_000
"""Entries that one page looks at."""
CALLS: Final = 300
"""Calls to the broker for that: each queue takes one at least."""
BATCH: Final = 250


class EntryStatus(StrEnum):
    """What an entry does."""

    ACTIVE = "active"
    """It ticks."""
    WAITING = "waiting"
    """Its tick waits for the end of the last task."""
    PAUSED = "paused"
    ENDED = "ended"
    """No tick is to come."""
    STALE = "stale"
    """No code declares it any more: it does not tick, and is removed after a week."""
    UNREADABLE = "unreadable"
    """A newer qcore has stored it, or somebody by hand: it is never fired here."""


@record
class TickOutcome:
    """A tick that has been, and what has become of its task."""

    tick: TickRecord
    state: State | None = None
    """Where its task is; None where none was made, or it is no longer stored."""
    error: str | None = None
    """What its task's last failure said."""


@record
class ListedEntry:
    """An entry of a periodic task, as it is shown."""

    queue: str
    name: str
    status: EntryStatus
    schedule: str = ""
    """In words."""
    entry: Entry | None = None
    """What was asked for; None of one that cannot be read."""
    next: Moment | None = None
    """The next tick; None where none is to come, or it is paused."""
    runs: int = 0
    """Tasks made by ticks."""
    history: tuple[TickOutcome, ...] = ()
    """The last ticks, the latest first."""
    why: str = ""
    """Why it cannot be read."""


@record
class EntryPage:
    """Some entries, by queue, then by name."""

    entries: Sequence[ListedEntry]
    looked: int
    """How many were looked at."""
    cursor: str | None = None
    """Asks for those after them; None at the end."""


@record
class EntrySearch:
    """What is asked of entries."""

    text: str = ""
    """In the entry's name, in that of its task, or in that of its queue."""
    status: EntryStatus | None = None

    def might_have(self, found: FoundEntry) -> bool:
        """Return whether the text is in an entry."""
        names = [found.id, found.queue]
        if isinstance(found, StoredEntry):
            names.append(found.entry.task.name)
        return any(self.text in each for each in names)

    @property
    def is_of_all(self) -> bool:
        """Return whether it selects all."""
        return not self.text and self.status is None


async def entry_page(
    periodic: Periodic,
    now: Moment,
    limit: int,
    cursor: str | None,
    search: EntrySearch,
    *,
    has_queue: Callable[[str], bool] = lambda _: True,
) -> EntryPage:
    """Return entries after a cursor, of the queues that are wanted, looking at a bounded number.

    Raises `InvalidOption` for a cursor that is of no such page.
    """
    at_queue, after = ("", "") if cursor is None else _decoded(cursor)
    found: list[ListedEntry] = []
    looked = calls = 0
    batch = limit + 1 if search.is_of_all else BATCH
    for queue in await periodic.entry_queues():
        if queue < at_queue or not has_queue(queue):
            continue
        last = after if queue == at_queue else ""
        while True:
            if calls >= CALLS or looked >= LOOK:
                return EntryPage(found, looked, json.dumps([queue, last]))
            some = await periodic.browse_entries(queue, batch, after=last)
            calls += 1
            for each in some:
                listed = listed_entry(each, now) if search.might_have(each) else None
                if listed is not None and search.status in {None, listed.status}:
                    if len(found) == limit:
                        return EntryPage(found, looked, json.dumps([queue, last]))
                    found.append(listed)
                looked, last = looked + 1, each.id
            if len(some) < batch:
                break
    return EntryPage(found, looked)


def _decoded(cursor: str) -> tuple[str, str]:
    try:
        queue, after = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        queue = after = None
    if not isinstance(queue, str) or not isinstance(after, str):
        raise InvalidOption(f"cursor is {shown(cursor)}: expected that of a page of entries")
    return queue, after


async def browse_all(periodic: Periodic, queue: str) -> list[FoundEntry]:
    """Return all entries of a queue, read page by page."""
    found: list[FoundEntry] = []
    while page := await periodic.browse_entries(queue, PAGE, after=found[-1].id if found else ""):
        found += page
        if len(page) < PAGE:
            break
    return found


def listed_entry(found: FoundEntry, now: Moment) -> ListedEntry:
    """Return an entry as it is shown."""
    if not isinstance(found, StoredEntry):
        return ListedEntry(found.queue, found.id, EntryStatus.UNREADABLE, why=found.why)
    entry, state = found.entry, found.state
    try:
        words = schedule_from(entry.schedule).describe()
    except InvalidOption as error:
        # a zone that this machine does not know, or a schedule of a newer qcore
        return ListedEntry(
            found.queue, found.id, EntryStatus.UNREADABLE, entry.schedule, entry, why=str(error)
        )
    return ListedEntry(
        found.queue,
        found.id,
        _status(found, now),
        words,
        entry,
        None if state.is_paused else state.next,
        state.runs,
        tuple(TickOutcome(tick) for tick in state.history[::-1]),
    )


def _status(found: StoredEntry, now: Moment) -> EntryStatus:
    state = found.state
    if found.is_stale(now):
        return EntryStatus.STALE
    if state.is_paused:
        return EntryStatus.PAUSED
    if state.next is None:
        return EntryStatus.ENDED
    return EntryStatus.WAITING if state.is_waiting else EntryStatus.ACTIVE
