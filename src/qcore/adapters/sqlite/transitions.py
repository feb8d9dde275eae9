"""Reading the tasks that a transition may apply to, and writing what it made of them."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite import details_rows
from qcore.adapters.sqlite.queue_rows import QueueRow, read_queues
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.task_state import TaskState
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import ACTIVE, ENDED, GONE, State
from qcore.domain.task import Lease

_SQL: Final = statements("transitions")


def read_tasks(tx: Tx, queue_row: QueueRow, ids: Iterable[TaskId]) -> dict[TaskId, TaskState]:
    """Return those of the tasks that are stored."""
    rows = tx.execute(_SQL["by_id"], (json.dumps(list(ids)), queue_row.key))
    return {row[1]: TaskState(row, queue_row) for row in rows}


def read_leased(tx: Tx, leases: Sequence[Lease]) -> list[TaskState | None]:
    """Return each lease's task, None where the lease's token is not the task's current one."""
    ids: defaultdict[str, list[TaskId]] = defaultdict(list)
    for lease in leases:
        ids[lease.queue].append(lease.id)
    tasks = {name: read_tasks(tx, row, ids[name]) for name, row in read_queues(tx, ids).items()}
    return [_fenced(tasks.get(lease.queue, {}).get(lease.id), lease) for lease in leases]


def _fenced(task: TaskState | None, lease: Lease) -> TaskState | None:
    # a task that is not active has the token 0, which no lease has
    if task is None or task.token != lease.token or task.state is not ACTIVE:
        return None
    return task


def read_due(tx: Tx, queue_row: QueueRow, now: Moment, limit: int) -> list[TaskState]:
    """Return up to `limit` scheduled and retrying tasks that are due, the longest due first."""
    rows = [
        row
        for state in (State.SCHEDULED, State.RETRY)
        for row in tx.execute(_SQL["due"], (queue_row.key, state, now, limit))
    ]
    tasks = [TaskState(row, queue_row) for row in rows]
    tasks.sort(key=lambda task: (task.due, task.sequence))
    return tasks[:limit]


def read_lease_expired(tx: Tx, queue_row: QueueRow, now: Moment, limit: int) -> list[TaskState]:
    """Return up to `limit` active tasks whose lease has run out, the longest ago first."""
    rows = tx.execute(_SQL["lease_expired"], (queue_row.key, now, limit))
    return [TaskState(row, queue_row) for row in rows]


def read_expired(tx: Tx, queue_row: QueueRow, now: Moment, limit: int) -> list[TaskState]:
    """Return up to `limit` pending tasks whose `expires` has passed, the longest ago first."""
    rows = tx.execute(_SQL["expired"], (queue_row.key, now, limit))
    return [TaskState(row, queue_row) for row in rows]


def write_tasks(tx: Tx, moved: Sequence[TaskState]) -> Collection[str]:
    """Write tasks that have moved; delete those that are GONE.

    Return the queues in which the end of a task has made its successor due.
    """
    freeing = [task for task in moved if task.holds is not None and task.state in ENDED]
    delete_tasks(tx, [task.key for task in moved if task.state is GONE])
    rows = [task.row() for task in moved if task.state is not GONE]
    if rows:
        tx.executemany(_SQL["write"], rows)
        release_unique_keys(tx, [task.key for task in freeing])
        errors = [(task.key, task.new_error) for task in moved if task.new_error is not None]
        details_rows.add_errors(tx, errors)
    freed: defaultdict[QueueRow, list[str | None]] = defaultdict(list)
    for task in freeing:
        freed[task.queue_row].append(task.holds)
    return {queue.name for queue, held in freed.items() if _start_successors(tx, queue, held)}


def free_unique_keys(tx: Tx, queue_row: QueueRow, keys: Sequence[int]) -> bool:
    """Free what tasks hold that ended unread; return whether a successor is due thereby."""
    held = [each for (each,) in tx.execute(_SQL["held"], (json.dumps(keys),))]
    release_unique_keys(tx, keys)
    # nobody waits for the end of what holds a blob
    return _start_successors(tx, queue_row, [each for each in held if isinstance(each, str)])


def _start_successors(tx: Tx, queue_row: QueueRow, free: Sequence[str | None]) -> bool:
    """Give unique keys that are free to the tasks that wait for that, if there are any."""
    rows = tx.execute(_SQL["successors"], (json.dumps(free), queue_row.key))
    tx.executemany(_SQL["start_successor"], [{"key": key, "never": LAST_MOMENT} for (key,) in rows])
    return bool(rows)


def release_unique_keys(tx: Tx, keys: Sequence[int]) -> None:
    """Free the unique keys that tasks hold."""
    if keys:
        tx.executemany(_SQL["release_unique_key"], [(key,) for key in keys])


def delete_tasks(tx: Tx, keys: Sequence[int]) -> None:
    """Delete tasks, and what is stored of their runs."""
    if keys:
        tx.executemany(_SQL["delete"], [(key,) for key in keys])
        details_rows.delete(tx, keys)
