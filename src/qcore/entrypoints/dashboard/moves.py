"""The orders that a page can give for a task: what each is called, needs and does."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from qcore.app.client.inspector import Inspector
from qcore.app.client.qualifiers import DURATION, seconds_in
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.lifecycle import (
    MOVES,
    Archived,
    Cancelled,
    Deleted,
    Rescheduled,
    RunNow,
    State,
)
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.entrypoints.dashboard.audit import Outcomes
from qcore.entrypoints.dashboard.inputs import Inputs
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right

Carry: TypeAlias = Callable[[Inspector, str, Sequence[str], Inputs], Awaitable[Outcomes]]
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


async def _run(inspector: Inspector, queue: str, tasks: Sequence[str], _: Inputs) -> Outcomes:
    return await inspector.run_now(queue, tasks)


async def _cancel(inspector: Inspector, queue: str, tasks: Sequence[str], _: Inputs) -> Outcomes:
    return await inspector.cancel(queue, tasks)


async def _archive(inspector: Inspector, queue: str, tasks: Sequence[str], _: Inputs) -> Outcomes:
    return await inspector.archive(queue, tasks)


async def _delete(inspector: Inspector, queue: str, tasks: Sequence[str], _: Inputs) -> Outcomes:
    return await inspector.delete(queue, tasks)


async def _reschedule(
    inspector: Inspector, queue: str, tasks: Sequence[str], form: Inputs
) -> Outcomes:
    text = form.text("delay", most=MAX_DURATION)
    delay = seconds_in(text)
    if delay is None:
        raise BadRequest(f"delay is {shown(text)}: expected such as {DURATION}")
    return await inspector.reschedule(queue, tasks, delay=delay)


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
            "archive",
            "Archive",
            "It is set aside: kept, and not run. Run now brings it back.",
            Right.TASK_MOVE,
            Archived,
            _archive,
            asks=True,
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
        ),
    )
}


def moves_of(state: State) -> Sequence[Move]:
    """Return the orders that a task takes in a state."""
    return [each for each in BY_VERB.values() if each.transition in MOVES[state]]


def said_of(task: str, outcome: Moved | NotAllowed | Missing) -> tuple[str, bool]:
    """Return what is said of an order, and whether it was followed."""
    match outcome:
        case Moved():
            gone = outcome.state is State.GONE
            return f"{task} is {'deleted' if gone else outcome.state}.", True
        case NotAllowed():
            return f"Nothing was done: {task} is {outcome.state}, which does not take this.", False
        case Missing():
            return f"Nothing was done: {task} is not there any more.", False
