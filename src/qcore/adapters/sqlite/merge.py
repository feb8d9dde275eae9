"""`merge_lost`: take over what was in a log which somebody has removed."""

import json
from typing import Final

from attrs import evolve

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.entries import next_revision, put
from qcore.adapters.sqlite.entry_rows import named, read_row
from qcore.adapters.sqlite.statements import statements
from qcore.domain.periodic.entry import StoredEntry

_SQL: Final = statements("merge")


def merge_lost(tx: Tx) -> int:
    """Insert the tasks of the attached database `lost` that are not stored; return how many.

    A task that is stored stays as it is: it may have moved since the log was lost. What ended in
    the lost log alone runs once more. Of an entry of periodic tasks that is in both, what was
    written last stays; one that was removed from one of both alone is there again.
    """
    tx.execute(_SQL["queues"])
    tx.execute(_SQL["counters"])
    keys = [key for (key,) in tx.execute(_SQL["tasks"])]
    tx.execute(_SQL["details"], (json.dumps(keys),))
    if tx.execute(_SQL["audit_columns"]):
        tx.execute(_SQL["audit"], (json.dumps(keys),))
    tx.execute(_SQL["limits"])
    if tx.execute(_SQL["statistics_columns"]):
        tx.execute(_SQL["statistics"])
    tx.execute(_SQL["counts"])
    _merge_entries(tx)
    return len(keys)


def _merge_entries(tx: Tx) -> None:
    """Take over entries that are newer in `lost`; no tick is made again that either has made."""
    in_both = tx.execute(_SQL["entries_of_both"])
    tx.execute(_SQL["entries"])
    for queue, *values in in_both:
        readable = _readable(queue, (tuple(values[:4]), tuple(values[4:])))
        if len(readable) > 1:
            older, newer = sorted(readable, key=lambda each: int(each.revision))
            _go_on_from(tx, older, newer)


def _readable(queue: str, rows: tuple[Row, Row]) -> list[StoredEntry]:
    found = (read_row(queue, entry, row) for entry, row in named(rows))
    return [each for each in found if isinstance(each, StoredEntry)]


def _go_on_from(tx: Tx, older: StoredEntry, newer: StoredEntry) -> None:
    """Have the newer one of two go on from where the older one was, if that has come further."""
    was, state = older.state, newer.state
    if was.after <= state.after:
        return
    # its `wake` is early now: it is looked at then, and finds its next tick
    state = evolve(state, after=was.after, runs=max(was.runs, state.runs), last_task=was.last_task)
    # greater than all that were given, as the counters are merged
    put(tx, evolve(newer, state=state), next_revision(tx, newer.queue, 0.0))
