"""`save_details` and `details`: what a run says of itself, stored and read."""

from collections.abc import Sequence

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres import details_rows
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.transitions import read_leased
from qcore.domain.answers import LeaseLost
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.ports import TasksChanged


async def save_details(tx: Tx, updates: Sequence[DetailsUpdate]) -> list[DetailsSaved | LeaseLost]:
    """Store progress and saved work of tasks, each under the lease of its run."""
    answers: list[DetailsSaved | LeaseLost] = []
    tasks = await read_leased(tx, [each.lease for each in updates], Endings())
    for task, each in zip(tasks, updates, strict=True):
        if task is None:
            answers.append(LeaseLost())
        else:
            details_rows.save(tx, task.queue, task.id, each.progress, each.saved)
            answers.append(DetailsSaved())
            if each.progress is not None:
                tx.tell(TasksChanged(task.queue, (task.id,)))
    return answers


async def details(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return the details of tasks, None for a task that is not stored."""
    return await details_rows.read(tx, queue, ids)
