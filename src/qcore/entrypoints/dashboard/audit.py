"""Who does something, and why: said with each order, kept by the task, told to the instruments."""

from typing import Final, TypedDict

from qcore.app.client.auditing import Auditor
from qcore.domain.audit import MAX_REASON
from qcore.domain.events import Operated
from qcore.domain.new_task import TaskId
from qcore.entrypoints.dashboard.visit import Visit

ENQUEUE_AGAIN: Final = "enqueue again"


class Who(TypedDict):
    """What an inspector's orders are given besides what they do."""

    by: str
    reason: str | None


def who(visit: Visit) -> Who:
    """Return who gives an order, and the reason in the form: `pause(queue, **who(visit))`."""
    return Who(by=visit.visitor.name, reason=visit.form.maybe("reason", most=MAX_REASON))


def auditor(visit: Visit) -> Auditor:
    """Return what tells of an order that no method of the inspector gives."""
    return Auditor(visit.board.emit, visit.visitor.name)


def tell_of_repeat(visit: Visit, queue: str, task: TaskId, new: TaskId) -> None:
    """Tell that a task was enqueued again, under another id."""
    if visit.board.emit is not None:
        given = who(visit)
        event = Operated(
            visit.now, ENQUEUE_AGAIN, queue, given["by"], given["reason"], task, tasks=(new,)
        )
        visit.board.emit(event)
