"""`groups`, `members` and `aggregate`: tasks that wait in a group, replaced by one task."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.enqueue import enqueue
from qcore.adapters.sqlite.queue_rows import read_queues, write_queues
from qcore.adapters.sqlite.records import task_of
from qcore.adapters.sqlite.row_validation import unreadable
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.task_state import TaskState
from qcore.adapters.sqlite.transitions import read_tasks, write_tasks
from qcore.domain.answers import Admission, Enqueued
from qcore.domain.groups import Group, Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import Aggregated

_SQL: Final = statements("groups")


@record
class FoundGroups:
    """Groups in which tasks wait, and what stands in the place of names that cannot be read."""

    groups: Sequence[Group]
    unreadable: Sequence[bytes | None] = ()


def groups(tx: Tx, queue: str, limit: int, after: str) -> FoundGroups:
    """Return groups of a queue in which tasks wait, in the order of their names."""
    rows = tx.execute(_SQL["groups"], (queue, after, max(0, limit)))
    odd = [name for name, *_ in rows if type(name) is not str]
    if tx.execute(_SQL["groupless"], (queue,)):
        odd.append(None)
    return FoundGroups([Group(queue, name, *row) for name, *row in rows if type(name) is str], odd)


def end_unreadable(tx: Tx, queue: str, names: Sequence[bytes | None]) -> None:
    """Make tasks dead that wait in a group whose name cannot be read: nobody could ask for them."""
    queue_row = read_queues(tx, [queue])[queue]
    for name in names:
        sql = _SQL["end_groupless" if name is None else "end_unreadable"]
        values = {"queue": queue_row.key, "name": name, "error": unreadable("group_name", name)}
        queue_row.count_move(State.AGGREGATING, State.DEAD, len(tx.execute(sql, values)))
    write_queues(tx, [queue_row])


def members(tx: Tx, queue: str, group: str, limit: int) -> list[Task]:
    """Return tasks that wait in a group, those due first before the others."""
    rows = tx.execute(_SQL["members"], (queue, group, max(0, limit)))
    return [task_of(row, queue) for row in rows]


def aggregate(
    tx: Tx, group: str, ids: Sequence[TaskId], task: NewTask, now: Moment
) -> Admission | Stale:
    """Enqueue one task and delete the members it replaces; `Stale` if one no longer waits there."""
    queue_row = read_queues(tx, [task.queue]).get(task.queue)
    waiting = {} if queue_row is None else read_tasks(tx, queue_row, ids)
    if not ids or not all(_waits(waiting.get(each), group) for each in ids):
        return Stale()
    (answer,) = enqueue(tx, [task], now)
    if isinstance(answer, Enqueued):
        # read again: the new task may have replaced a member that held its unique key, or its id
        queue_row = read_queues(tx, [task.queue])[task.queue]
        stored = read_tasks(tx, queue_row, ids).values()
        replaced = [each for each in stored if each.state is State.AGGREGATING]
        for each in replaced:
            each.move(Aggregated(), now)
        write_tasks(tx, replaced)
        write_queues(tx, [queue_row])
    return answer


def _waits(task: TaskState | None, group: str) -> bool:
    return task is not None and task.state is State.AGGREGATING and task.group == group
