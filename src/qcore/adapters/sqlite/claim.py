"""`claim`, `extend` and `next_due`: handing out tasks under leases, and renewing those."""

import json
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.limits import QueueLimits, next_starts, read_limits
from qcore.adapters.sqlite.queue_rows import QueueRow, read_queues, write_queues
from qcore.adapters.sqlite.records import KEY, claimed_task_of, task_of
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import (
    free_unique_keys,
    read_due,
    read_leased,
    read_tasks,
    write_tasks,
)
from qcore.domain.answers import LeaseLost, SweptTask
from qcore.domain.crash_isolation import room_beside
from qcore.domain.decisions import isolated, may_start
from qcore.domain.ended_tasks import unreadable_task
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.stored_options import Unreadable
from qcore.domain.task import Claim, Demand, Lease, Task
from qcore.domain.transitions import Due, Expired

_SQL: Final = statements("claim")

MAX_PROMOTED: Final = 1_000
"""Due tasks that one claim makes pending in one queue: a bound on how long the file is locked."""


@record
class ClaimResult:
    """What was claimed, and of which queues subscribers are to be told."""

    claims: Sequence[Claim]
    queues_with_work: Sequence[str]
    """Queues in which some of the tasks that became due were not claimed, or became due by the
    end of others."""
    ended: Sequence[SweptTask] = ()
    """Tasks that ended instead of being claimed: expired, or unreadable."""


def nothing_to_claim(tx: Tx, queues: Sequence[str], now: Moment) -> ClaimResult | None:
    """Return no claims if no task is pending or due, None if one may be; takes no lock."""
    if tx.execute(_SQL["anything"], {"queues": json.dumps(queues), "now": now}):
        return None
    return ClaimResult([], [])


def claim(tx: Tx, demand: Demand, now: Moment, until: Moment) -> ClaimResult:
    """Claim each queue's quota, then fill what room is left in the order of the queues."""
    found = read_queues(tx, demand.quotas)
    limits = read_limits(tx, [row.key for row in found.values()])
    queues = [
        (_QueueClaim(tx, row, limits.get(row.key), now, until), demand.quotas[name])
        for name, row in found.items()
    ]
    claims: list[Claim] = []
    promoted = [queue for queue, _ in queues if queue.promote()]
    for queue, quota in queues:
        queue.take(claims, min(quota, demand.limit - len(claims)))
    for queue, _ in queues:
        queue.take(claims, demand.limit - len(claims))
    write_queues(tx, found.values())
    return ClaimResult(
        claims,
        [
            queue.name
            for queue, _ in queues
            if queue.has_successors or (queue in promoted and queue.has_more)
        ],
        [task for queue, _ in queues for task in queue.ended],
    )


class _QueueClaim:
    """The part of a claim that concerns one queue."""

    def __init__(
        self, tx: Tx, queue_row: QueueRow, limits: QueueLimits | None, now: Moment, until: Moment
    ) -> None:
        self._tx = tx
        self._queue_row = queue_row
        self._limits = limits
        self._now = now
        self._until = until
        self.name = queue_row.name
        self.ended: list[SweptTask] = []
        """Tasks that expired, or were condemned as unreadable."""
        self.has_successors = False
        """Whether the end of such a task has made another one due."""

    @property
    def has_more(self) -> bool:
        """Whether a task is pending, or waits in a group."""
        counts = self._queue_row.counts
        return bool(counts[State.PENDING] or counts[State.AGGREGATING])

    def promote(self) -> bool:
        """Make due tasks pending; return whether there were any."""
        tasks = read_due(self._tx, self._queue_row, self._now, MAX_PROMOTED)
        for task in tasks:
            task.sequence = self._queue_row.next_sequence()
            task.move(Due(), self._now)
        write_tasks(self._tx, tasks)
        return bool(tasks)

    def take(self, into: list[Claim], room: int) -> None:
        """Append up to `room` claims, as far as the queue's limits allow."""
        before = len(into)
        if self._limits is not None and room > 0 and self._queue_row.counts[State.PENDING]:
            self._limits.correct(self._tx, self._queue_row, self._now)
            room = min(room, self._limits.free(self._queue_row, self._now))
        if into and room > 0:
            room = int(min(room, room_beside(self._held(into))))
        self._take(into, room)
        if self._limits is not None and len(into) > before:
            self._spend(self._limits, len(into) - before)

    def _spend(self, limits: QueueLimits, taken: int) -> None:
        """Take the claimed tasks from the bucket of the queue's rate."""
        if limits.limits.rate is not None:
            limits.full = limits.limits.rate.after(limits.full, self._now, taken)
            limits.write(self._tx, self._queue_row.key)

    def _take(self, into: list[Claim], room: int) -> None:
        while room > 0 and self._queue_row.counts[State.PENDING]:
            rows = self._tx.execute(_SQL["pending"], (self._queue_row.key, room))
            if not rows:
                # the count is wrong: tasks were deleted or moved by hand
                self._queue_row.counts[State.PENDING] = 0
                return
            tasks = self._decode(rows)
            if any(task.crashes for _, task in tasks):
                found = [task for _, task in tasks]
                number, room = isolated(found, self._held(into), room, self._now)
                tasks = tasks[:number]
            if any(task.spec.expires is not None for _, task in tasks):
                tasks = self._without_expired(tasks)
            self._lease(into, tasks)
            room -= len(tasks)

    def _held(self, claims: Sequence[Claim]) -> list[Task]:
        """Return those of the claimed tasks that are of this queue."""
        return [claim.task for claim in claims if claim.task.queue == self.name]

    def _without_expired(self, tasks: Sequence[tuple[int, Task]]) -> list[tuple[int, Task]]:
        """Return the tasks that may still start; end the others."""
        fresh = [(key, task) for key, task in tasks if may_start(task, self._now)]
        if len(fresh) < len(tasks):
            self._expire([task.id for _, task in tasks if not may_start(task, self._now)])
        return fresh

    def _decode(self, rows: Sequence[Row]) -> list[tuple[int, Task]]:
        """Return rows as tasks with their keys; mark those that cannot be decoded as dead."""
        tasks: list[tuple[int, Task]] = []
        unreadable: list[Row] = []
        for row in rows:
            try:
                tasks.append((row[KEY], claimed_task_of(row, self._queue_row.name)))
            except Unreadable as why:
                error = f"the stored row cannot be read: {why}"
                unreadable.append((self._now, error, row[KEY]))
                self.ended.append(unreadable_task(task_of(row, self._queue_row.name), error))
        if unreadable:
            self._tx.executemany(_SQL["mark_dead"], unreadable)
            keys = [key for *_, key in unreadable]
            self.has_successors |= free_unique_keys(self._tx, self._queue_row, keys)
            self._queue_row.count_move(State.PENDING, State.DEAD, len(unreadable))
        return tasks

    def _lease(self, into: list[Claim], tasks: Sequence[tuple[int, Task]]) -> None:
        """Make tasks active, each under a lease with a token of its own."""
        queue_row, until = self._queue_row, self._until
        changes: list[Row] = []
        tokens = queue_row.next_tokens(len(tasks), self._now)
        for (key, task), token in zip(tasks, tokens, strict=True):
            changes.append((until, token, key))
            into.append(Claim(task, Lease(queue_row.name, task.spec.id, token, until)))
        self._tx.executemany(_SQL["claim"], changes)
        queue_row.count_move(State.PENDING, State.ACTIVE, len(tasks))

    def _expire(self, ids: Sequence[str]) -> None:
        expired = [*read_tasks(self._tx, self._queue_row, ids).values()]
        for task in expired:
            task.move(Expired(), self._now)
        self.has_successors |= bool(write_tasks(self._tx, expired))
        self.ended += [task.swept(Expired()) for task in expired]


def extend(tx: Tx, leases: Sequence[Lease], until: Moment) -> list[Lease | LeaseLost]:
    """Move the end of leases to `until`."""
    answers: list[Lease | LeaseLost] = []
    changes: list[Row] = []
    for lease, task in zip(leases, read_leased(tx, leases), strict=True):
        if task is None:
            answers.append(LeaseLost())
        else:
            answers.append(evolve(lease, until=until))
            changes.append((until, task.key))
    tx.executemany(_SQL["extend"], changes)
    return answers


def next_due(tx: Tx, queues: Sequence[str]) -> Moment | None:
    """Return when a scheduled or retrying task is due next, or a rate lets a pending one start."""
    rows = tx.execute(_SQL["next_due"], (json.dumps(queues),))
    moments = [
        moment for row in rows for moment in row if moment is not None and moment < LAST_MOMENT
    ]
    return min(moments + next_starts(tx, queues), default=None)
