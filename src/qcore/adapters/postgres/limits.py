"""`set_limit`, `limits` and `limited_queues`: a queue's rate, its number in flight and its pause.

In a table of its own: a queue without limits has no row there.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from qcore.adapters.links.postgres import Row, Tx
from qcore.adapters.links.postgres.arrays import texts
from qcore.adapters.postgres.statements import statements
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.queue_limits import NO_LIMITS, LimitChange, Limits, Rate, ruled

_SQL: Final = statements("limits")


class QueueLimits:
    """A row of the table: the limits of a queue, and when the bucket of its rate is full."""

    def __init__(self, queue: str, limits: Limits, full: Moment) -> None:
        self.queue = queue
        self.limits = limits
        self.full = full

    async def free(self, tx: Tx, now: Moment) -> int:
        """Return how many more tasks may be claimed now; undo what a fast clock has stored."""
        active = await count_active(tx, self.queue)
        full = self.limits.corrected(active, self.full, now)
        if full != self.full:
            self.full = full
            self.write(tx)
        return self.limits.free(active, self.full, now)

    def spend(self, tx: Tx, taken: int, now: Moment) -> None:
        """Take claimed tasks from the bucket of the rate."""
        if self.limits.rate is not None:
            self.full = self.limits.rate.after(self.full, now, taken)
            self.write(tx)

    async def next_start(self, tx: Tx) -> Moment | None:
        """Return when the next pending task may start, None where it does not wait for the rate."""
        if not await tx.fetch(_SQL["has_pending"], {"queue": self.queue}):
            return None
        return self.limits.next_start(await count_active(tx, self.queue), self.full)

    def write(self, tx: Tx) -> None:
        """Store the row, or delete it where nothing limits the queue."""
        limits = self.limits
        if limits == NO_LIMITS:
            tx.add(_SQL["delete"], {"queue": self.queue})
            return
        count, per = (None, None) if limits.rate is None else (limits.rate.count, limits.rate.per)
        values = {
            "queue": self.queue,
            "count": count,
            "per": per,
            "full": self.full,
            "in_flight": limits.in_flight,
            "is_paused": limits.is_paused,
        }
        tx.add(_SQL["write"], values)


async def count_active(tx: Tx, queue: str) -> int:
    """Return how many tasks of a queue are active."""
    ((active,),) = await tx.fetch(_SQL["active"], {"queue": queue})
    return int(active)


async def read_limits(
    tx: Tx, queues: Iterable[str], *, lock: bool = False
) -> dict[str, QueueLimits]:
    """Return the rows of those queues that have limits."""
    sql = _SQL["lock" if lock else "read"]
    return {row[0]: _decode(row) for row in await tx.fetch(sql, {"queues": texts(queues)})}


async def next_starts(tx: Tx, queues: Sequence[str]) -> list[Moment]:
    """Return when the next task may start in each of those queues that wait for their rate."""
    limited = await read_limits(tx, queues)
    starts = [await each.next_start(tx) for each in limited.values()]
    return [start for start in starts if start is not None]


async def set_limit(tx: Tx, queue: str, rule: LimitChange, now: Moment) -> Limits:
    """Change one of a queue's limits, and return them all."""
    before = (await read_limits(tx, [queue], lock=True)).get(
        queue, QueueLimits(queue, NO_LIMITS, now)
    )
    after = ruled(before.limits, rule)
    full = before.full if after.rate == before.limits.rate else now
    QueueLimits(queue, after, full).write(tx)
    tx.tell_of_work([queue])
    return after


async def limits(tx: Tx, queues: Sequence[str]) -> list[Limits]:
    """Return the limits of each queue."""
    found = await read_limits(tx, queues)
    return [found[name].limits if name in found else NO_LIMITS for name in queues]


async def limited_queues(tx: Tx) -> list[str]:
    """Return the queues that have limits: those with a row that says any."""
    names = [name for (name,) in await tx.fetch(_SQL["queues"], {})]
    found = await limits(tx, names)
    return [name for name, each in zip(names, found, strict=True) if each != NO_LIMITS]


def _decode(row: Row) -> QueueLimits:
    """Return limits; what somebody has edited into something that is none does not limit."""
    queue, count, per, full, in_flight, is_paused = row
    try:
        rate = None if count is None else Rate(count, per)
    except InvalidOption:
        rate = None
    if not -LAST_MOMENT <= full <= LAST_MOMENT:
        full = 0.0
    in_flight = in_flight if in_flight is not None and in_flight > 0 else None
    return QueueLimits(queue, Limits(rate, in_flight, is_paused), full)
