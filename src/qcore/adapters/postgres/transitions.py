"""Reading the tasks that a transition may apply to, and writing what it made of them."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.postgres import Tx, Values
from qcore.adapters.links.postgres.arrays import blobs, numbers, texts
from qcore.adapters.postgres import details_rows
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.places import Place, in_order, places
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.task_state import TaskState
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.states import ACTIVE, ENDED, GONE
from qcore.domain.task import Lease
from qcore.domain.transitions import Crashed, Expired

_SQL: Final = statements("transitions")
SUCCESSOR: Final = "\n"
"""In front of the unique key that a task holds which waits for the end of the holder."""


async def read_tasks(tx: Tx, named: Sequence[Place], endings: Endings) -> dict[Place, TaskState]:
    """Lock and return those of the tasks that are stored."""
    rows = await tx.fetch(_SQL["by_id"], in_order(named))
    return {(row[0], row[1]): TaskState(row, endings) for row in rows}


async def read_leased(tx: Tx, leases: Sequence[Lease], endings: Endings) -> list[TaskState | None]:
    """Return each lease's task, None where the lease's token is not the task's current one."""
    tasks = await read_tasks(tx, [(lease.queue, lease.id) for lease in leases], endings)
    return [_fenced(tasks.get((lease.queue, lease.id)), lease) for lease in leases]


def _fenced(task: TaskState | None, lease: Lease) -> TaskState | None:
    if task is None or task.token != lease.token or task.state is not ACTIVE:
        return None
    return task


async def read_due(
    tx: Tx, queue: str, now: Moment, limit: int, endings: Endings
) -> list[TaskState]:
    """Return up to `limit` scheduled and retrying tasks that are due, the longest due first."""
    values = {"queue": queue, "now": now, "limit": limit}
    rows = [row for name in ("due", "retrying") for row in await tx.fetch(_SQL[name], values)]
    rows.sort(key=lambda row: (row[5], row[-1]))
    return [TaskState(row, endings) for row in rows[:limit]]


_OVERDUE: Final = {Crashed: _SQL["lease_expired"], Expired: _SQL["expired"]}


async def read_overdue(
    tx: Tx, transition: type[Crashed | Expired], values: Values, endings: Endings
) -> list[TaskState]:
    """Return up to `limit` tasks of a queue that are to crash, or to expire."""
    return [TaskState(row, endings) for row in await tx.fetch(_OVERDUE[transition], values)]


async def write_tasks(tx: Tx, moved: Sequence[TaskState]) -> set[str]:
    """Write tasks that have moved; delete those that are GONE.

    Return the queues in which the end of a task has made its successor due.
    """
    delete_tasks(tx, [(task.queue, task.id) for task in moved if task.state is GONE])
    stored = [task for task in moved if task.state is not GONE]
    if stored:
        tx.add(_SQL["write"], _values_of(stored))
    await details_rows.add_errors(
        tx,
        [(task.queue, task.id, task.new_error) for task in stored if task.new_error is not None],
    )
    freed = [
        (task.queue, task.holds) for task in moved if task.holds is not None and task.state in ENDED
    ]
    return await start_successors(tx, freed)


def _values_of(tasks: Sequence[TaskState]) -> Values:
    return {
        **places([(task.queue, task.id) for task in tasks]),
        "states": texts([str(task.state) for task in tasks]),
        "places": numbers([n if task.is_last_in_line else None for n, task in enumerate(tasks)]),
        "due": numbers([task.due for task in tasks]),
        "expires": numbers([task.expires for task in tasks]),
        "finished": numbers([task.finished for task in tasks]),
        "failures": numbers([task.failures for task in tasks]),
        "crashes": numbers([task.crashes for task in tasks]),
        "errors": texts([task.error for task in tasks]),
        "unhandled": numbers([task.unhandled_since for task in tasks]),
        "results": blobs([task.result for task in tasks]),
        "result_types": texts([task.result_type for task in tasks]),
    }


async def start_successors(tx: Tx, freed: Sequence[tuple[str, str]]) -> set[str]:
    """Give unique keys that are free to those that wait for them; return these queues."""
    if not freed:
        return set()
    waiting = sorted((queue, SUCCESSOR + held) for queue, held in freed)
    values = {
        "queues": texts([queue for queue, _ in waiting]),
        "waiting": texts([held for _, held in waiting]),
        "never": LAST_MOMENT,
    }
    return {queue for (queue,) in await tx.fetch(_SQL["start_successors"], values)}


def release_unique_keys(tx: Tx, named: Sequence[Place]) -> None:
    """Free the unique keys that tasks hold."""
    if named:
        tx.add(_SQL["release_unique_key"], in_order(named))


def delete_tasks(tx: Tx, named: Sequence[Place]) -> None:
    """Delete tasks, and what is stored of their runs."""
    if named:
        values = in_order(named)
        tx.add(_SQL["delete"], values)
        tx.add(_SQL["delete_details"], values)
