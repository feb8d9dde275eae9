"""The verbs of `Periodic`: entries of periodic tasks, each written together with its tasks."""

import json
from collections import defaultdict
from collections.abc import Sequence
from heapq import merge
from itertools import islice
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.enqueue import enqueue
from qcore.adapters.sqlite.entry_rows import read_by_id, read_due, read_in_order, revision_of
from qcore.adapters.sqlite.queue_rows import ensure_queues, write_queues
from qcore.adapters.sqlite.records import STATES
from qcore.adapters.sqlite.statements import statements
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
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry
from qcore.domain.periodic.stored_form import encode_entry
from qcore.domain.states import ENDED, State

_SQL: Final = statements("entries")


def write_entries(tx: Tx, changes: Sequence[EntryChange], now: Moment) -> list[EntryAnswer]:
    """Make those of the changes whose entries are as they were seen."""
    return [_write(tx, change, now) for change in changes]


def _write(tx: Tx, change: EntryChange, now: Moment) -> EntryAnswer:
    rows = tx.execute(_SQL["revision"], (change.queue, change.id))
    if (revision_of(rows[0][0]) if rows else None) != change.seen:
        return EntryConflict()
    admissions = enqueue(tx, change.tasks, now) if change.tasks else []
    if change.entry is None:
        tx.execute(_SQL["delete"], (change.queue, change.id))
        return EntryWritten(None, admissions)
    revision = next_revision(tx, change.queue, now)
    put(tx, change.entry, revision)
    return EntryWritten(revision_of(revision), admissions)


def next_revision(tx: Tx, queue: str, now: Moment) -> int:
    """Return a number that no entry of the queue has had.

    It is a token of the queue's, as leases have: these outlive what has them, and are greater than
    the time, so that none is given twice after a copy of the file was restored.
    """
    queue_row = ensure_queues(tx, [queue])[queue]
    (revision,) = queue_row.next_tokens(1, now)
    write_queues(tx, [queue_row])
    return revision


def put(tx: Tx, stored: StoredEntry, revision: int) -> None:
    """Store an entry in the place of what lies under its id."""
    encoded = encode_entry(stored).decode()
    values = (stored.queue, stored.id, revision, stored.state.wake, encoded)
    tx.execute(_SQL["write"], values)


def entries(tx: Tx, queue: str, ids: Sequence[EntryId]) -> list[FoundEntry | None]:
    """Return entries by id, None where none lies in the queue."""
    found = read_by_id(tx, queue, ids)
    return [found.get(each) for each in ids]


def browse_entries(tx: Tx, queue: str, limit: int, after: EntryId) -> list[FoundEntry]:
    """Return entries of a queue, in the order of their ids."""
    return read_in_order(tx, queue, limit, after)


def entry_queues(tx: Tx) -> list[str]:
    """Return the queues in which entries lie."""
    return [name for (name,) in tx.execute(_SQL["queues"])]


def due_entries(tx: Tx, queues: Sequence[str], limit: int, now: Moment) -> DueEntries:
    """Return the entries to look at now, and when there will be others."""
    named = sorted(set(queues))
    in_turn = merge(*(read_due(tx, queue, now) for queue in named), key=_turn)
    due = list(islice(in_turn, max(0, limit)))
    living = _living_tasks(tx, due)
    # after the due ones: one that ticks in between is then among these with its next moment
    wakes = [wake for (wake,) in tx.execute(_SQL["next_wakes"], (now, json.dumps(named)))]
    return DueEntries(
        [DueEntry(each, (each.queue, each.state.last_task) in living) for each in due],
        min((wake for wake in wakes if wake is not None), default=None),
    )


def _turn(stored: StoredEntry) -> tuple[Moment, str, EntryId]:
    return stored.state.wake or 0.0, stored.queue, stored.id


def _living_tasks(tx: Tx, due: Sequence[StoredEntry]) -> set[tuple[str, TaskId | None]]:
    """Return the last tasks that are stored and have not ended, each behind its queue."""
    last: defaultdict[str, list[TaskId]] = defaultdict(list)
    for each in due:
        if each.state.last_task is not None:
            last[each.queue].append(each.state.last_task)
    return {
        (queue, task)
        for queue, tasks in last.items()
        for task, state in tx.execute(_SQL["states_of_tasks"], (json.dumps(tasks), queue))
        if STATES.get(state, State.GONE) not in ENDED
    }
