"""Who did what, why, and with which outcome: a line of the log for each move."""

from collections.abc import Sequence
from typing import Final

from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.new_task import TaskId
from qcore.entrypoints.dashboard.origin import address_of
from qcore.entrypoints.dashboard.visit import Visit
from qcore.log.logger import get_logger

MOST_NAMED: Final = 10
"""Ids that a line has; of more tasks it tells the number."""
MAX_REASON: Final = 500
Outcomes = Sequence[Moved | NotAllowed | Missing]


def note_move(
    visit: Visit, action: str, queue: str, tasks: Sequence[TaskId], outcomes: Outcomes
) -> None:
    """Log an order that was given for tasks, also for those that did not follow it."""
    get_logger().info(
        "tasks were moved by an operator",
        **_who(visit),
        action=action,
        queue=queue,
        tasks=list(tasks[:MOST_NAMED]),
        number=len(tasks),
        done=sum(isinstance(each, Moved) for each in outcomes),
    )


def note_change(visit: Visit, action: str, queue: str, **facts: object) -> None:
    """Log an order that was given for a queue, or for what is no task."""
    get_logger().info(
        "a queue was changed by an operator", **_who(visit), action=action, queue=queue, **facts
    )


def reason_of(visit: Visit) -> str | None:
    """Return the reason that the form gives."""
    return visit.form.maybe("reason", most=MAX_REASON)


def _who(visit: Visit) -> dict[str, object]:
    return {
        "by": visit.visitor.name,
        "address": address_of(visit.request),
        "reason": reason_of(visit),
    }
