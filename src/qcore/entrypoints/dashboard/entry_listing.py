"""Entries of periodic tasks as pages show them: with masked arguments and the ticks to come."""

from collections.abc import Sequence
from typing import Any, Final

from attrs import field

from qcore.app.client.entry_listing import EntryStatus, ListedEntry
from qcore.domain.errors import CannotDecode, InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.schedules.texts import schedule_from
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.visit import Visit
from qcore.ports import Periodic, periodic_of

NEXT: Final = 5
LATE: Final = 5.0
"""Seconds after which a tick that nobody has seen to is late."""


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
