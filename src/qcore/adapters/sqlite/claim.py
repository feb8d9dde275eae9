"""How tasks are handed out, and how their leases are renewed."""

import json
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.limits import Limited, limited, next_starts
from qcore.adapters.sqlite.queue_rows import Line, keep, lines
from qcore.adapters.sqlite.records import KEY, claimed_task_of
from qcore.adapters.sqlite.row_validation import Unreadable
from qcore.adapters.sqlite.settle import held
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import due, named, write
from qcore.domain.answers import LeaseLost
from qcore.domain.lifecycle import Due, Expired, State
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.task import Claim, Demand, Lease, Task

_SQL: Final = statements("claim")

PROMOTED_AT_ONCE: Final = 1_000


@record
class HandedOut:
    """What was claimed, and the queues in which something that became due is left."""

    claims: Sequence[Claim]
    left: Sequence[str]
    ended: Sequence[str] = ()
    """Queues of which tasks ended without being handed out."""


def nothing_to_claim(tx: Tx, queues: Sequence[str], now: Moment) -> HandedOut | None:
    """Return no claims if there is nothing pending or due, None if there may be."""
    if tx.execute(_SQL["anything"], {"queues": json.dumps(queues), "now": now}):
        return None
    return HandedOut([], [])


def claim(tx: Tx, demand: Demand, now: Moment, until: Moment) -> HandedOut:
    """Take tasks: each queue's quota first, then what room is left in the order given."""
    found = lines(tx, demand.quotas)
    held_back = limited(tx, [line.key for line in found.values()])
    counters = [
        (_Counter(tx, line, held_back.get(line.key), now, until), demand.quotas[name])
        for name, line in found.items()
    ]
    claims: list[Claim] = []
    promoted = [counter for counter, _ in counters if counter.promote()]
    for counter, quota in counters:
        counter.take(claims, min(quota, demand.limit - len(claims)))
    for counter, _ in counters:
        counter.take(claims, demand.limit - len(claims))
    keep(tx, found.values())
    return HandedOut(
        claims,
        [counter.name for counter in promoted if counter.has_more],
        [counter.name for counter, _ in counters if counter.has_ended],
    )


class _Counter:
    """Where one queue's tasks are handed out."""

    def __init__(
        self, tx: Tx, line: Line, limits: Limited | None, now: Moment, until: Moment
    ) -> None:
        self._tx = tx
        self._line = line
        self._limits = limits
        self._now = now
        self._until = until
        self.name = line.name
        self.has_ended = False
        """Whether tasks of it ended here."""

    @property
    def has_more(self) -> bool:
        """Whether something is pending, or waits in a group."""
        counts = self._line.counts
        return bool(counts[State.PENDING] or counts[State.AGGREGATING])

    def promote(self) -> bool:
        """Make pending what is due; return whether anything was."""
        moved = due(self._tx, self._line, self._now, PROMOTED_AT_ONCE)
        for task in moved:
            task.sequence = self._line.next_sequence()
            task.move(Due(), self._now)
        write(self._tx, moved)
        return bool(moved)

    def take(self, into: list[Claim], room: int) -> None:
        """Hand out up to `room` tasks, in order, and end those that have expired."""
        before = len(into)
        if self._limits is not None:
            room = min(room, self._limits.free(self._line, self._now))
        self._take(into, room)
        if self._limits is not None and len(into) > before:
            self._spend(self._limits, len(into) - before)

    def _spend(self, limits: Limited, taken: int) -> None:
        if limits.limits.rate is not None:
            limits.full = limits.limits.rate.after(limits.full, self._now, taken)
            limits.write(self._tx, self._line.key)

    def _take(self, into: list[Claim], room: int) -> None:
        while room > 0 and self._line.counts[State.PENDING]:
            rows = self._tx.execute(_SQL["pending"], (self._line.key, room))
            if not rows:
                # somebody has deleted or moved tasks by hand
                self._line.counts[State.PENDING] = 0
                return
            tasks = self._readable(rows)
            if any(task.spec.expires is not None for _, task in tasks):
                tasks = self._without_stale(tasks)
            self._hand_out(into, tasks)
            room -= len(tasks)

    def _without_stale(self, tasks: Sequence[tuple[int, Task]]) -> list[tuple[int, Task]]:
        """Return the tasks that may still start; end the others."""
        fresh = [(key, task) for key, task in tasks if _may_start(task, self._now)]
        if len(fresh) < len(tasks):
            self._expire([task.id for _, task in tasks if not _may_start(task, self._now)])
        return fresh

    def _readable(self, rows: Sequence[Row]) -> list[tuple[int, Task]]:
        """Return rows as tasks with their keys; those that cannot be read are dead from now on."""
        tasks: list[tuple[int, Task]] = []
        odd: list[Row] = []
        for row in rows:
            try:
                tasks.append((row[KEY], claimed_task_of(row, self._line.name)))
            except Unreadable as why:
                odd.append((self._now, f"the stored row cannot be read: {why}", row[KEY]))
        if odd:
            self._tx.executemany(_SQL["condemn"], odd)
            self._line.moved(State.PENDING, State.DEAD, len(odd))
            self.has_ended = True
        return tasks

    def _hand_out(self, into: list[Claim], tasks: Sequence[tuple[int, Task]]) -> None:
        line, until = self._line, self._until
        changes: list[Row] = []
        for key, task in tasks:
            token = line.next_token()
            changes.append((until, token, key))
            into.append(Claim(task, Lease(line.name, task.spec.id, token, until)))
        self._tx.executemany(_SQL["claim"], changes)
        line.moved(State.PENDING, State.ACTIVE, len(tasks))

    def _expire(self, ids: Sequence[str]) -> None:
        stale = [*named(self._tx, self._line, ids).values()]
        for task in stale:
            task.move(Expired(), self._now)
        write(self._tx, stale)
        self.has_ended = True


def _may_start(task: Task, now: Moment) -> bool:
    expires = task.spec.expires
    return expires is None or expires > now


def extend(tx: Tx, leases: Sequence[Lease], until: Moment) -> list[Lease | LeaseLost]:
    """Renew leases."""
    answers: list[Lease | LeaseLost] = []
    changes: list[Row] = []
    for lease, task in zip(leases, held(tx, leases), strict=True):
        if task is None:
            answers.append(LeaseLost())
        else:
            answers.append(evolve(lease, until=until))
            changes.append((until, task.key))
    tx.executemany(_SQL["extend"], changes)
    return answers


def next_due(tx: Tx, queues: Sequence[str]) -> Moment | None:
    """Return when the next waiting task of these queues is due."""
    rows = tx.execute(_SQL["next_due"], (json.dumps(queues),))
    moments = [moment for row in rows for moment in row if moment is not None]
    return min(moments + next_starts(tx, queues), default=None)
