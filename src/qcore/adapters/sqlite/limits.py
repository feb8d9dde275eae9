"""`set_limit`, `limits` and `limited_queues`: a queue's rate, its number in flight and its pause.

In a table of its own: a queue without limits has no row there.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import QueueRow, ensure_queues, read_queues
from qcore.adapters.sqlite.row_validation import seconds, whole
from qcore.adapters.sqlite.statements import statements
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import NO_LIMITS, LimitChange, Limits, Rate, ruled
from qcore.domain.states import State

_SQL: Final = statements("limits")


class QueueLimits:
    """A row of `qcore_limits`: the limits of a queue, and when the bucket of its rate is full."""

    def __init__(self, limits: Limits, full: Moment) -> None:
        self.limits = limits
        self.full = full

    @property
    def in_flight(self) -> int | None:
        """Return how many of its tasks may be active."""
        return self.limits.in_flight

    def free(self, queue_row: QueueRow, now: Moment) -> int:
        """Return how many more tasks may be claimed now."""
        return self.limits.free(queue_row.counts[State.ACTIVE], self.full, now)

    def correct(self, tx: Tx, queue_row: QueueRow, now: Moment) -> None:
        """Undo what a claim stored whose clock was ahead."""
        full = self.limits.corrected(queue_row.counts[State.ACTIVE], self.full, now)
        if full != self.full:
            self.full = full
            self.write(tx, queue_row.key)

    def next_start(self, queue_row: QueueRow) -> Moment | None:
        """Return when the next pending task may start, None where it does not wait for the rate."""
        if not queue_row.counts[State.PENDING]:
            return None
        return self.limits.next_start(queue_row.counts[State.ACTIVE], self.full)

    def write(self, tx: Tx, key: int) -> None:
        """Store the row, or delete it where nothing limits the queue."""
        limits = self.limits
        if limits == NO_LIMITS:
            tx.execute(_SQL["delete"], (key,))
            return
        rate = (None, None) if limits.rate is None else (limits.rate.count, limits.rate.per)
        values = (key, *rate, self.full, limits.in_flight, int(limits.is_paused))
        tx.execute(_SQL["write"], values)


def read_limits(tx: Tx, keys: Iterable[int]) -> dict[int, QueueLimits]:
    """Return the rows of those queues, by their keys, that have limits."""
    if not tx.execute(_SQL["any"]):
        return {}
    rows = tx.execute(_SQL["read"], (json.dumps([*keys]),))
    return {row[0]: _decode(row) for row in rows}


def next_starts(tx: Tx, queues: Sequence[str]) -> list[Moment]:
    """Return when the next task may start in each of those queues that wait for their rate."""
    if not tx.execute(_SQL["any"]):
        return []
    found = {row.key: row for row in read_queues(tx, queues).values()}
    starts = (each.next_start(found[key]) for key, each in read_limits(tx, found).items())
    return [start for start in starts if start is not None]


def set_limit(tx: Tx, queue: str, rule: LimitChange, now: Moment) -> Limits:
    """Change one of a queue's limits, and return them all."""
    key = ensure_queues(tx, [queue])[queue].key
    before = read_limits(tx, [key]).get(key, QueueLimits(NO_LIMITS, now))
    after = ruled(before.limits, rule)
    full = before.full if after.rate == before.limits.rate else now
    QueueLimits(after, full).write(tx, key)
    return after


def limits(tx: Tx, queues: Sequence[str]) -> list[Limits]:
    """Return the limits of each queue."""
    found = read_queues(tx, queues)
    rows = read_limits(tx, [row.key for row in found.values()])
    return [
        rows[found[name].key].limits if name in found and found[name].key in rows else NO_LIMITS
        for name in queues
    ]


def limited_queues(tx: Tx) -> list[str]:
    """Return the queues that have limits: those with a row that says any."""
    names = [name for (name,) in tx.execute(_SQL["queues"])]
    return [
        name for name, found in zip(names, limits(tx, names), strict=True) if found != NO_LIMITS
    ]


def _decode(row: Row) -> QueueLimits:
    """Return limits; what somebody has edited into something that is none does not limit."""
    _, count, per, full, in_flight, is_paused = row
    try:
        rate = None if count is None else Rate(count, per)
    except InvalidOption:
        rate = None
    return QueueLimits(Limits(rate, whole(in_flight) or None, is_paused == 1), seconds(full))
