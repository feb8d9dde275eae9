"""`sweep`: take back tasks of lost workers, end expired ones, trim what was kept long enough."""

import json
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import QueueRow, read_queues, write_queues
from qcore.adapters.sqlite.row_validation import seconds, text, unreadable
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.task_state import TaskState
from qcore.adapters.sqlite.transitions import (
    delete_tasks,
    read_expired,
    read_lease_expired,
    write_tasks,
)
from qcore.domain.answers import Swept, SweptByKind, SweptTask, swept
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Crashed, Expired

_SQL: Final = statements("sweep")


@record
class SweepRequest:
    """The arguments of a sweep; `limit` is for each queue and each kind of move."""

    queues: Sequence[str]
    limit: int
    retention: RetentionPolicy
    now: Moment


def nothing_to_sweep(tx: Tx, request: SweepRequest) -> Swept | None:
    """Return an empty answer if no task is active or to be moved, else None; takes no lock."""
    values = {
        "queues": json.dumps(request.queues),
        "now": request.now,
        "count": request.retention.count,
        "age": request.retention.age,
    }
    if request.limit < 1 or tx.execute(_SQL["anything"], values):
        return None
    return Swept()


def sweep(tx: Tx, request: SweepRequest) -> Swept:
    """Move and delete the tasks that are due for it, up to the limit."""
    found = read_queues(tx, request.queues)
    done: list[SweptByKind] = []
    for queue_row in [found[name] for name in request.queues if name in found]:
        _mend(tx, queue_row, request)
        late = read_lease_expired(tx, queue_row, request.now, request.limit)
        crashed = _move(tx, late, Crashed(), request.now)
        stale = read_expired(tx, queue_row, request.now, request.limit)
        expired = _move(tx, stale, Expired(), request.now)
        done.append((crashed, expired, _trim(tx, queue_row, request)))
    if any(any(kinds) for kinds in done):
        # else nothing is written, which would wake the workers of other processes
        write_queues(tx, found.values())
    return swept(done, request.limit)


def _mend(tx: Tx, queue_row: QueueRow, request: SweepRequest) -> None:
    """End tasks that would never come up, as what was edited into their place is no moment."""
    for state in (State.SCHEDULED, State.RETRY, State.AGGREGATING):
        rows = tx.execute(_SQL["misplaced"], (queue_row.key, state, request.limit))
        dead = [(request.now, unreadable("place", place), key) for key, place in rows]
        tx.executemany(_SQL["mark_dead"], dead)
        queue_row.count_move(state, State.DEAD, len(dead))
    rows = tx.execute(_SQL["misplaced"], (queue_row.key, State.ACTIVE, request.limit))
    tx.executemany(_SQL["end_lease"], [(request.now, key) for key, _ in rows])


def _move(
    tx: Tx, tasks: Sequence[TaskState], transition: Crashed | Expired, now: Moment
) -> list[SweptTask]:
    """Take back tasks whose lease has run out, or end those whose `expires` has passed."""
    for task in tasks:
        task.move(transition, now)
    write_tasks(tx, tasks)
    return [task.swept(transition) for task in tasks]


def _trim(tx: Tx, queue_row: QueueRow, request: SweepRequest) -> list[SweptTask]:
    """Delete ended tasks that are past their retention."""
    rows = tx.execute(_SQL["retention_over"], (queue_row.key, request.now, request.limit))
    done = _delete(tx, queue_row, State.COMPLETED, [key for (key,) in rows])
    for state in (State.ARCHIVED, State.DEAD):
        oldest = tx.execute(_SQL["oldest"], (queue_row.key, state, request.limit - len(done)))
        keys = _past_retention(oldest, queue_row.counts[state], request)
        done += _delete(tx, queue_row, state, keys)
    return done


def _past_retention(oldest: Sequence[Row], number: int, request: SweepRequest) -> list[int]:
    """Return the keys of the oldest of `number` tasks that the policy's count or age rules out."""
    policy = request.retention
    excess = number - policy.count
    return [
        key
        for n, (key, ended) in enumerate(oldest)
        if n < excess or seconds(ended) + policy.age <= request.now
    ]


def _delete(tx: Tx, queue_row: QueueRow, state: State, keys: Sequence[int]) -> list[SweptTask]:
    if not keys:
        return []
    rows = tx.execute(_SQL["named"], (json.dumps(keys),))
    delete_tasks(tx, keys)
    queue_row.count_move(state, State.GONE, len(keys))
    return [
        SweptTask(queue_row.name, text(task), State.GONE, name=text(name)) for task, name in rows
    ]
