"""Tasks that wait in a group, and what takes their place."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.enqueue import enqueue
from qcore.adapters.sqlite.queue_rows import keep, lines
from qcore.adapters.sqlite.records import task_of
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import Moving, named, write
from qcore.domain.answers import Admission, Enqueued
from qcore.domain.groups import Group, Stale
from qcore.domain.lifecycle import Aggregated, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.task import Task

_SQL: Final = statements("groups")


def groups(tx: Tx, queue: str, limit: int, after: str) -> list[Group]:
    """Return groups of a queue in which tasks wait, in the order of their names."""
    rows = tx.execute(_SQL["groups"], (queue, after, max(0, limit)))
    return [Group(queue, name, size, first, last) for name, size, first, last in rows]


def members(tx: Tx, queue: str, group: str, limit: int) -> list[Task]:
    """Return tasks that wait in a group, those due first before the others."""
    rows = tx.execute(_SQL["members"], (queue, group, max(0, limit)))
    return [task_of(row, queue) for row in rows]


def aggregate(
    tx: Tx, group: str, ids: Sequence[TaskId], task: NewTask, now: Moment
) -> Admission | Stale:
    """Put one task in the place of members of a group."""
    line = lines(tx, [task.queue]).get(task.queue)
    waiting = {} if line is None else named(tx, line, ids)
    if not ids or not all(_waits(waiting.get(each), group) for each in ids):
        return Stale()
    (answer,) = enqueue(tx, [task], now)
    if isinstance(answer, Enqueued):
        # one of them may have given way to the task, and perhaps its id
        line = lines(tx, [task.queue])[task.queue]
        left = [each for each in named(tx, line, ids).values() if each.state is State.AGGREGATING]
        for each in left:
            each.move(Aggregated(), now)
        write(tx, left)
        keep(tx, [line])
    return answer


def _waits(task: Moving | None, group: str) -> bool:
    return task is not None and task.state is State.AGGREGATING and task.group == group
