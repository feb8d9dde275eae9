"""What holds for a queue, whoever works on it: a row each, for those that have any."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import Line, lines, lines_made
from qcore.adapters.sqlite.statements import statements
from qcore.domain.errors import InvalidOption
from qcore.domain.lifecycle import State
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import NO_LIMITS, LimitChange, Limits, Rate, ruled

_SQL: Final = statements("limits")


class Limited:
    """The limits of a queue, and when the bucket of its rate is full."""

    def __init__(self, limits: Limits, full: Moment) -> None:
        self.limits = limits
        self.full = full

    @property
    def in_flight(self) -> int | None:
        """Return how many of its tasks may be active."""
        return self.limits.in_flight

    def free(self, line: Line, now: Moment) -> int:
        """Return how many tasks may be claimed."""
        return self.limits.free(line.counts[State.ACTIVE], self.full, now)

    def next_start(self, line: Line) -> Moment | None:
        """Return when the next may start, where nothing but the rate keeps it."""
        if not line.counts[State.PENDING]:
            return None
        return self.limits.next_start(line.counts[State.ACTIVE], self.full)

    def write(self, tx: Tx, key: int) -> None:
        """Store them, or leave nothing where nothing limits the queue."""
        limits = self.limits
        if limits == NO_LIMITS:
            tx.execute(_SQL["forget"], (key,))
            return
        rate = (None, None) if limits.rate is None else (limits.rate.count, limits.rate.per)
        values = (key, *rate, self.full, limits.in_flight, int(limits.is_paused))
        tx.execute(_SQL["write"], values)


def limited(tx: Tx, keys: Iterable[int]) -> dict[int, Limited]:
    """Return, of queues by their keys, those that have limits."""
    if not tx.execute(_SQL["any"]):
        return {}
    rows = tx.execute(_SQL["of_queues"], (json.dumps([*keys]),))
    return {row[0]: _read(row) for row in rows}


def next_starts(tx: Tx, queues: Sequence[str]) -> list[Moment]:
    """Return when the next may start of those queues that nothing but a rate keeps."""
    if not tx.execute(_SQL["any"]):
        return []
    found = {line.key: line for line in lines(tx, queues).values()}
    starts = (held.next_start(found[key]) for key, held in limited(tx, found).items())
    return [start for start in starts if start is not None]


def set_limit(tx: Tx, queue: str, rule: LimitChange, now: Moment) -> Limits:
    """Set one of a queue's limits."""
    line = lines_made(tx, [queue])[queue]
    before = limited(tx, [line.key]).get(line.key, Limited(NO_LIMITS, now))
    after = ruled(before.limits, rule)
    full = before.full if after.rate == before.limits.rate else now
    Limited(after, full).write(tx, line.key)
    return after


def limits(tx: Tx, queues: Sequence[str]) -> list[Limits]:
    """Return what holds for queues."""
    found = lines(tx, queues)
    held = limited(tx, [line.key for line in found.values()])
    return [
        held[found[name].key].limits if name in found and found[name].key in held else NO_LIMITS
        for name in queues
    ]


def _read(row: Row) -> Limited:
    _, count, per, full, in_flight, is_paused = row
    try:
        rate = None if count is None else Rate(count, per)
    except InvalidOption:
        # somebody has written there by hand: better no rate than no work
        rate = None
    return Limited(Limits(rate, in_flight, bool(is_paused)), full)
