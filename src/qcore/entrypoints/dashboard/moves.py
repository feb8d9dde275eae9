"""The orders that a page can give for a task: what each is called, needs and does."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from qcore.app.client.changes import is_discarded
from qcore.app.client.qualifiers import DURATION, seconds_in
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.lifecycle import MOVES
from qcore.domain.record import record
from qcore.domain.task import Task
from qcore.domain.text import shown
from qcore.domain.transitions import BroughtBack, Cancelled, Deleted, Discarded, Rescheduled, RunNow
from qcore.entrypoints.dashboard.audit import who
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import Visit

Outcomes: TypeAlias = Sequence[Moved | NotAllowed | Missing]
Carry: TypeAlias = Callable[[Visit, str, Sequence[str]], Awaitable[Outcomes]]
MAX_DURATION: Final = 60


@record
class Move:
    """An order for tasks."""

    verb: str
    label: str
    """On its button."""
    text: str
    """What it does, for who is asked to confirm it."""
    right: Right
    transition: type
    carry_out: Carry
    asks: bool = False
    """Whether a page asks first, and for a reason."""
    is_grave: bool = False
    """Whether it cannot be taken back."""
    said: str | None = None
    """What is said of a task that has followed it; None for its new state."""


async def _run(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.run_now(queue, tasks, **who(visit))


async def _discard(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.discard(queue, tasks, **who(visit))


async def _bring_back(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.bring_back(queue, tasks, **who(visit))


async def _cancel(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.cancel(queue, tasks, **who(visit))


async def _delete(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.delete(queue, tasks, **who(visit))


async def _reschedule(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    text = visit.form.text("delay", most=MAX_DURATION)
    delay = seconds_in(text)
    if delay is None:
        raise BadRequest(f"delay is {shown(text)}: expected such as {DURATION}")
    return await visit.inspector.reschedule(queue, tasks, delay=delay, **who(visit))


BY_VERB: Final[Mapping[str, Move]] = {
    each.verb: each
    for each in (
        Move(
            "run",
            "Run now",
            "It is pending at once, with fresh budgets.",
            Right.TASK_MOVE,
            RunNow,
            _run,
        ),
        Move(
            "reschedule",
            "Reschedule",
            "It is due at another time.",
            Right.TASK_MOVE,
            Rescheduled,
            _reschedule,
        ),
        Move(
            "bring-back",
            "Bring back",
            "It is where it was before it was discarded, due when it was.",
            Right.TASK_MOVE,
            BroughtBack,
            _bring_back,
        ),
        Move(
            "discard",
            "Discard",
            "It is set aside and does not run. It can be brought back as it was.",
            Right.TASK_MOVE,
            Discarded,
            _discard,
            asks=True,
            said="discarded: here it can be brought back as it was",
        ),
        Move(
            "cancel",
            "Cancel",
            "It ends as dead; a handler that runs is cancelled. Run now brings it back.",
            Right.TASK_MOVE,
            Cancelled,
            _cancel,
            asks=True,
        ),
        Move(
            "delete",
            "Delete",
            "It is removed with all that is kept of it. This cannot be taken back.",
            Right.TASK_DELETE,
            Deleted,
            _delete,
            asks=True,
            is_grave=True,
            said="deleted",
        ),
    )
}


def moves_of(task: Task) -> Sequence[Move]:
    """Return the orders that change something about a task as it is."""
    useless = Discarded if is_discarded(task) else BroughtBack
    return [
        each
        for each in BY_VERB.values()
        if each.transition in MOVES[task.state] and each.transition is not useless
    ]


def said_of(
    task: str, outcome: Moved | NotAllowed | Missing, said: str | None = None
) -> tuple[str, bool]:
    """Return what is said of an order that was given for a task, and whether it was followed."""
    match outcome:
        case Moved():
            return f"{task} is {said or outcome.state}.", True
        case NotAllowed():
            return f"Nothing was done: {task} is {outcome.state}, which does not take this.", False
        case Missing():
            return f"Nothing was done: {task} is not there any more.", False
