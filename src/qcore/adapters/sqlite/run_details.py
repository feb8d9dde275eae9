"""`save_details` and `details`: what a run says of itself, stored and read."""

from collections.abc import Sequence

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite import details_rows
from qcore.adapters.sqlite.transitions import read_leased
from qcore.domain.answers import LeaseLost
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate


def save_details(tx: Tx, updates: Sequence[DetailsUpdate]) -> list[DetailsSaved | LeaseLost]:
    """Store progress and saved work of tasks, each under the lease of its run."""
    answers: list[DetailsSaved | LeaseLost] = []
    for task, each in zip(read_leased(tx, [each.lease for each in updates]), updates, strict=True):
        if task is None:
            answers.append(LeaseLost())
        else:
            details_rows.save(tx, task.key, each.progress, each.saved)
            answers.append(DetailsSaved())
    return answers


def details(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return the details of tasks, None for a task that is not stored."""
    return details_rows.read(tx, queue, ids)
