"""Who does something, and why: said with each order, kept by the task, told to the instruments."""

from collections.abc import Sequence
from typing import Final, TypedDict

from qcore.app.client.auditing import Auditor
from qcore.domain.audit import MAX_REASON
from qcore.domain.events import Operated
from qcore.domain.new_task import TaskId
from qcore.entrypoints.dashboard.visit import Visit

ENQUEUE_AGAIN: Final = "enqueue again"
AGGREGATE: Final = "aggregate"


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


def tell(visit: Visit, action: str, queue: str, detail: str, tasks: Sequence[TaskId]) -> None:
    """Tell of what no method of the inspector does, such as to enqueue a task again."""
    if visit.board.emit is not None:
        by, reason = visit.visitor.name, who(visit)["reason"]
        visit.board.emit(Operated(visit.now, action, queue, by, reason, detail, tasks=tuple(tasks)))
