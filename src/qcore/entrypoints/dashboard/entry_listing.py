"""Entries of periodic tasks as pages show them: found among thousands, with ticks to come."""

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import field

from qcore.app.client.entries import EntryStatus, ListedEntry, listed_entry
from qcore.domain.errors import CannotDecode, InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.entry import FoundEntry, StoredEntry
from qcore.domain.record import record
from qcore.domain.schedules.texts import schedule_from
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import Visit
from qcore.ports import Periodic, periodic_of

LOOK: Final = 2_000
"""Entries that one page looks at."""
CALLS: Final = 300
"""Calls to the broker for that: each queue takes one at least."""
BATCH: Final = 250
NEXT: Final = 5
LATE: Final = 5.0
"""Seconds after which a tick that nobody has seen to is late."""


@record
class EntryPage:
    """Some entries, by queue, then by name."""

    entries: Sequence[ListedEntry]
    looked: int
    cursor: str | None


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
    visit: Visit, periodic: Periodic, search: EntrySearch, limit: int, cursor: str | None
) -> EntryPage:
    """Return entries of queues that the visitor may see, after a cursor."""
    at_queue, after = ("", "") if cursor is None else _decoded(cursor)
    shown: list[ListedEntry] = []
    looked = calls = 0
    batch = limit + 1 if search.is_of_all else BATCH
    for queue in await periodic.entry_queues():
        if queue < at_queue or not visit.may(Right.PERIODIC_READ, queue):
            continue
        last = after if queue == at_queue else ""
        while True:
            if calls >= CALLS or looked >= LOOK:
                return EntryPage(shown, looked, json.dumps([queue, last]))
            found = await periodic.browse_entries(queue, batch, after=last)
            calls += 1
            for each in found:
                listed = listed_entry(each, visit.now) if search.might_have(each) else None
                if listed is not None and search.status in {None, listed.status}:
                    if len(shown) == limit:
                        return EntryPage(shown, looked, json.dumps([queue, last]))
                    shown.append(listed)
                looked, last = looked + 1, each.id
            if len(found) < batch:
                break
    return EntryPage(shown, looked, None)


def _decoded(cursor: str) -> tuple[str, str]:
    try:
        queue, after = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        queue = after = None
    if not isinstance(queue, str) or not isinstance(after, str):
        raise BadRequest("the cursor is none of this page: expected that of its link")
    return queue, after


async def opened(visit: Visit) -> Periodic | None:
    """Return the store as one that has entries; None where it has none."""
    broker = visit.board.q.broker
    await broker.open()
    return periodic_of(broker)


# --- one entry ---------------------------------------------------------------------------------


@record
class Arguments:
    """What the task of an entry is made with, masked."""

    data: Any = field(hash=False)
    is_readable: bool


def arguments_of(board: Board, spec: NewTask) -> Arguments:
    """Return the arguments of an entry's task as they may be seen."""
    try:
        data: object = board.codec.loads(spec.payload, spec.content_type, object)
    except CannotDecode:
        return Arguments(None, is_readable=False)
    return Arguments(board.mask.of(data, board.mask.secrets(data)), is_readable=True)


def next_ticks(listed: ListedEntry, now: Moment) -> Sequence[Moment]:
    """Return the next ticks, a few, that are later than now; those that the entry's end leaves."""
    entry, moment = listed.entry, listed.next
    if entry is None or listed.status not in {EntryStatus.ACTIVE, EntryStatus.WAITING}:
        return ()
    found: list[Moment] = []
    try:
        schedule = schedule_from(entry.schedule)
        if moment is not None and moment <= now:
            moment = schedule.after(now)
        while moment is not None and len(found) < NEXT:
            if entry.end is not None and moment >= entry.end:
                break
            found.append(moment)
            moment = schedule.after(moment)
    except InvalidOption:
        return found
    return found


def late_by(listed: ListedEntry, now: Moment) -> float | None:
    """Return by how many seconds a tick is late that nobody has seen to; None if none is."""
    if listed.status is not EntryStatus.ACTIVE or listed.next is None or listed.entry is None:
        return None
    ago = now - listed.next - listed.entry.jitter
    return ago if ago > LATE else None
