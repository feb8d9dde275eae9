"""Find tasks by their ids, in one queue or in all."""

from collections.abc import Sequence

from qcore.app.client.selection import one_queue, several_ids
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.task import Task
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.errors import NotFound, Wrong


@record
class Found:
    """An id that was asked for, and its task; None where there is none."""

    id: TaskId
    task: Task | None


async def find(store: Store, ids: Sequence[str], queue: str | None) -> list[Found]:
    """Return the tasks of ids, each once; raise `Wrong` for an id that several queues have."""
    wanted = several_ids(dict.fromkeys(ids))
    await store.client.open()
    queues = sorted(await store.broker.count()) if queue is None else [one_queue(queue)]
    rows = [await store.broker.get(name, wanted) for name in queues]
    return [_one(task, [row[i] for row in rows]) for i, task in enumerate(wanted)]


def not_found(ids: Sequence[str], queue: str | None) -> NotFound:
    """Return the error for ids that no task has."""
    where = "in any queue" if queue is None else f"in the queue {queue!r}"
    return NotFound(f"not found {where}: {', '.join(ids)}")


def _one(task: TaskId, found: Sequence[Task | None]) -> Found:
    there = [each for each in found if each is not None]
    if len(there) > 1:
        queues = ", ".join(each.queue for each in there)
        raise Wrong(f"the id {task!r} is in several queues, {queues}: name one with --queue")
    return Found(task, there[0] if there else None)
