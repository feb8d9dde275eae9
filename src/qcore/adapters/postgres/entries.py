"""The verbs of `Periodic`: entries of periodic tasks, each written together with its tasks.

The entry is in the column `encoded`; `wake` repeats a member of it, by which a scheduler finds what
is due. Where somebody has edited one of them, the row is an `UnreadableEntry`: what is found by one
moment must not be carried out by another.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

from qcore.adapters.links.postgres import Row, Tx
from qcore.adapters.links.postgres.arrays import texts
from qcore.adapters.postgres.enqueue import enqueue
from qcore.adapters.postgres.places import of_queue, places
from qcore.adapters.postgres.records import STATES
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.tokens import raise_bound, raise_tokens
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.periodic.changes import (
    DueEntries,
    DueEntry,
    EntryAnswer,
    EntryChange,
    EntryConflict,
    EntryWritten,
)
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry, UnreadableEntry
from qcore.domain.periodic.stored_form import decode_entry, encode_entry
from qcore.domain.states import ENDED, State
from qcore.ports import EntriesChanged

_SQL: Final = statements("entries")

CHUNK: Final = 100
"""Rows read at a time, where it is not known how many of them can be used."""


async def write_entries(tx: Tx, changes: Sequence[EntryChange], now: Moment) -> list[EntryAnswer]:
    """Make those of the changes whose entries are as they were seen."""
    return [await _write(tx, change, now) for change in changes]


async def _write(tx: Tx, change: EntryChange, now: Moment) -> EntryAnswer:
    named = {"queue": change.queue, "id": change.id}
    rows = await tx.fetch(_SQL["revision"], named)
    if (str(rows[0][0]) if rows else None) != change.seen:
        return EntryConflict()
    tx.tell(EntriesChanged(change.queue))
    admissions = await enqueue(tx, change.tasks, now) if change.tasks else []
    if change.entry is None:
        tx.add(_SQL["delete"], named)
        return EntryWritten(None, admissions)
    # a number that no entry of the queue has had: a token, as leases have
    bound = await raise_tokens(tx, now)
    ((revision,),) = await tx.fetch(_SQL["next_revision"], {})
    raise_bound(tx, revision, bound)
    values = {
        **named,
        "revision": revision,
        "wake": change.entry.state.wake,
        "encoded": encode_entry(change.entry).decode(),
    }
    # where another one has inserted it meanwhile, that is a unique violation, and this runs again
    tx.add(_SQL["update" if rows else "insert"], values)
    return EntryWritten(str(revision), admissions)


async def entries(tx: Tx, queue: str, ids: Sequence[EntryId]) -> list[FoundEntry | None]:
    """Return entries by id, None where none lies in the queue."""
    rows = await tx.fetch(_SQL["by_id"], of_queue(queue, dict.fromkeys(ids)))
    found = {row[0]: _read(queue, row) for row in rows}
    return [found.get(each) for each in ids]


async def browse_entries(tx: Tx, queue: str, limit: int, after: EntryId) -> list[FoundEntry]:
    """Return entries of a queue, in the order of their ids."""
    values = {"queue": queue, "after": after, "limit": max(0, limit)}
    return [_read(queue, row) for row in await tx.fetch(_SQL["in_order"], values)]


async def entry_queues(tx: Tx) -> list[str]:
    """Return the queues in which entries lie."""
    return [name for (name,) in await tx.fetch(_SQL["queues"], {})]


async def due_entries(tx: Tx, queues: Sequence[str], limit: int, now: Moment) -> DueEntries:
    """Return the entries to look at now, and when there will be others."""
    named = sorted(set(queues))
    limit = max(0, limit)
    found = [each for queue in named for each in await _due(tx, queue, now, limit)]
    due = sorted(found, key=_turn)[:limit]
    living = await _living_tasks(tx, due)
    # after the due ones: one that ticks in between is then among these with its next moment
    values = {"now": now, "queues": texts(named)}
    wakes = [wake for (wake,) in await tx.fetch(_SQL["next_wakes"], values)]
    return DueEntries(
        [DueEntry(each, (each.queue, each.state.last_task) in living) for each in due],
        min((wake for wake in wakes if wake is not None), default=None),
    )


def _turn(stored: StoredEntry) -> tuple[Moment, str, EntryId]:
    return stored.state.wake or 0.0, stored.queue, stored.id


async def _due(tx: Tx, queue: str, now: Moment, limit: int) -> list[StoredEntry]:
    """Return the first readable entries of a queue that are to be looked at by now."""
    found: list[StoredEntry] = []
    wake, after = -inf, ""
    while len(found) < limit:
        values = {"queue": queue, "now": now, "wake": wake, "after": after, "limit": CHUNK}
        rows = await tx.fetch(_SQL["due"], values)
        readable = (_read(queue, row) for row in rows)
        found += [each for each in readable if isinstance(each, StoredEntry)]
        if len(rows) < CHUNK:
            break
        after, _, wake, _ = rows[-1]
    return found[:limit]


async def _living_tasks(tx: Tx, due: Sequence[StoredEntry]) -> set[tuple[str, TaskId | None]]:
    """Return the last tasks that are stored and have not ended, each behind its queue."""
    last = [(each.queue, each.state.last_task) for each in due if each.state.last_task is not None]
    if not last:
        return set()
    return {
        (queue, task)
        for queue, task, state in await tx.fetch(_SQL["states_of_tasks"], places(last))
        if STATES.get(state, State.GONE) not in ENDED
    }


def _read(queue: str, row: Row) -> FoundEntry:
    """Return the entry of a row of id, revision, wake and encoded."""
    entry, stored_revision, wake, encoded = row
    revision = str(stored_revision)
    found = decode_entry(queue, entry, encoded.encode(), revision)
    if isinstance(found, StoredEntry) and found.state.wake != wake:
        why = f"the stored row cannot be read: wake is {wake!r}, and its entry says "
        return UnreadableEntry(queue, entry, f"{why}{found.state.wake!r}", revision)
    return found
