"""`groups`, `members` and `aggregate`: tasks that wait in groups, and one in their place."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.enqueue import enqueue
from qcore.adapters.postgres.records import task_of
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.task_state import TaskState
from qcore.adapters.postgres.transitions import read_tasks, write_tasks
from qcore.domain.answers import Admission, Enqueued
from qcore.domain.groups import Group, Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import Aggregated

_SQL: Final = statements("groups")


async def groups(tx: Tx, queue: str, limit: int, after: str) -> list[Group]:
    """Return groups of a queue in which tasks wait, in the order of their names."""
    values = {"queue": queue, "after": after, "limit": max(0, limit)}
    return [Group(queue, *row) for row in await tx.fetch(_SQL["groups"], values)]


async def members(tx: Tx, queue: str, group: str, limit: int) -> list[Task]:
    """Return tasks that wait in a group, those due first before the others."""
    values = {"queue": queue, "group": group, "limit": max(0, limit)}
    return [task_of(row, queue) for row in await tx.fetch(_SQL["members"], values)]


async def aggregate(
    tx: Tx, group: str, ids: Sequence[TaskId], task: NewTask, now: Moment
) -> Admission | Stale:
    """Enqueue one task and delete the members it replaces; `Stale` if one no longer waits there."""
    named = [(task.queue, each) for each in ids]
    waiting = await read_tasks(tx, named, Endings())
    if not ids or not all(_waits(waiting.get(place), group) for place in named):
        return Stale()
    (answer,) = await enqueue(tx, [task], now)
    if isinstance(answer, Enqueued):
        # read again: the new task may have replaced a member that held its unique key, or its id
        stored = (await read_tasks(tx, named, Endings())).values()
        replaced = [each for each in stored if each.state is State.AGGREGATING]
        for each in replaced:
            each.move(Aggregated(), now)
        tx.tell_of_work(await write_tasks(tx, replaced))
    return answer


def _waits(task: TaskState | None, group: str) -> bool:
    return task is not None and task.state is State.AGGREGATING and task.group == group
