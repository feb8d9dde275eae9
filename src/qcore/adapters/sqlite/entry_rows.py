"""Rows of the table `qcore_entries`, and what they are read as.

The entry is in the column `encoded`; `wake` repeats a member of it, by which a scheduler finds what
is due. Where somebody has edited one of them, the row is an `UnreadableEntry`: what is found by one
moment must not be carried out by another.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry, UnreadableEntry
from qcore.domain.periodic.stored_form import decode_entry
from qcore.domain.stored_options import abbreviated

_SQL: Final = statements("entries")

CHUNK: Final = 100
"""Rows read at a time, where it is not known how many of them can be used."""


def revision_of(stored: object) -> str:
    """Return a revision as others are told of it; also of a value that somebody has edited."""
    return str(stored) if type(stored) is int else repr(stored)


def read_by_id(tx: Tx, queue: str, ids: Sequence[EntryId]) -> Mapping[EntryId, FoundEntry]:
    """Return those of the entries that lie in a queue."""
    rows = tx.execute(_SQL["by_id"], (json.dumps(list(ids)), queue))
    return {entry: read_row(queue, entry, row) for entry, row in named(rows)}


def read_in_order(tx: Tx, queue: str, limit: int, after: EntryId) -> list[FoundEntry]:
    """Return up to `limit` entries of a queue whose ids come after `after`."""
    first = {"after": after.encode(errors="surrogatepass")}
    rows = _chunks(tx, "in_order", {"queue": queue}, first, lambda row: {"after": row[0]})
    return [read_row(queue, entry, row) for entry, row in islice(named(rows), max(0, limit))]


def read_due(tx: Tx, queue: str, now: Moment) -> Iterator[StoredEntry]:
    """Yield the readable entries of a queue that are to be looked at by now, the earliest first."""
    first = {"wake": float("-inf"), "after": b""}
    rows = _chunks(
        tx,
        "due",
        {"queue": queue, "now": now},
        first,
        lambda row: {"wake": row[2], "after": row[0]},
    )
    for entry, row in named(rows):
        found = read_row(queue, entry, row)
        if isinstance(found, StoredEntry):
            yield found


def _chunks(
    tx: Tx,
    statement: str,
    values: Mapping[str, object],
    place: Mapping[str, object],
    place_of: Callable[[Row], Mapping[str, object]],
) -> Iterator[Row]:
    """Yield the rows of a statement, which is run again from the place of its last row on."""
    while True:
        rows = tx.execute(_SQL[statement], {**values, **place, "limit": CHUNK})
        yield from rows
        if len(rows) < CHUNK:
            return
        place = place_of(rows[-1])


def named(rows: Iterable[Row]) -> Iterator[tuple[EntryId, Row]]:
    """Yield rows with their ids; those are left out whose id nobody can name, as it is no text."""
    for row in rows:
        try:
            yield row[0].decode(), row
        except UnicodeDecodeError:
            continue


def read_row(queue: str, entry: EntryId, row: Row) -> FoundEntry:
    """Return the entry of a row of id, revision, wake and encoded."""
    _, stored_revision, wake, encoded = row
    revision = revision_of(stored_revision)
    if type(stored_revision) is not int:
        why = f"the stored row cannot be read: revision is {abbreviated(stored_revision)}"
        return UnreadableEntry(queue, entry, why, revision)
    found = decode_entry(queue, entry, encoded, revision)
    if isinstance(found, StoredEntry) and found.state.wake != wake:
        why = f"the stored row cannot be read: wake is {abbreviated(wake)}, and its entry says "
        return UnreadableEntry(queue, entry, f"{why}{found.state.wake!r}", revision)
    return found
