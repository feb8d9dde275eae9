"""The orders that a page can give for a task: what each is called, needs and does."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import uuid4

from attrs import field

from qcore.app.client.bulk_moves import Move as Command
from qcore.app.client.changes import changes_of, is_discarded, reschedule_to
from qcore.app.client.moving import MOVABLE, MoveAnswer, MoveTo
from qcore.app.client.qualifiers import DURATION, seconds_in
from qcore.domain.answers import Conflict, Duplicate, Missing, Moved, NotAllowed
from qcore.domain.lifecycle import MOVES
from qcore.domain.new_task import MAX_PRIORITY, MAX_QUEUE
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.text import shown
from qcore.domain.transitions import (
    BroughtBack,
    Cancelled,
    Deleted,
    Discarded,
    Rescheduled,
    RunNow,
    Updated,
)
from qcore.entrypoints.dashboard.audit import who
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import Visit

Outcomes: TypeAlias = Sequence[MoveAnswer]
Carry: TypeAlias = Callable[[Visit, str, Sequence[str]], Awaitable[Outcomes]]
MAX_DURATION: Final = 60
MOST_CHOICES: Final = 500


@record
class Asked:
    """What an order needs to be told: a field of its form, and an option of its command."""

    name: str
    label: str
    example: str
    most: int
    are_queues: bool = False
    """Whether the queues are offered."""


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
    command: Callable[[Visit], Command] = field(hash=False)
    """Return what it is for many, by what its form says."""
    asked: Asked | None = None
    any_command: Callable[[Visit], Command] | None = field(default=None, hash=False)
    """Return one like it while it is not known what its form will say."""
    is_for_many: bool = False
    """Whether it is for many alone: of one task, another page does it."""
    asks: bool = False
    """Whether a page asks first, and for a reason."""
    is_grave: bool = False
    """Whether it cannot be taken back."""
    said: str | None = None
    """What is said of a task that has followed it; None for its new state."""

    def is_for(self, state: State) -> bool:
        """Return whether tasks in a state take it."""
        return state in MOVABLE if self.transition is MoveTo else self.transition in MOVES[state]

    def typed(self, *given: str) -> Sequence[str]:
        """Return the arguments of the command that does the same, for one task or for many."""
        option = () if self.asked is None else (f"--{self.asked.name}", self.asked.example)
        return (*given, *option)


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
    return await visit.inspector.reschedule(queue, tasks, delay=_delay(visit), **who(visit))


async def _move_to(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.move_to(queue, tasks, to=destination(visit), **who(visit))


async def _update(visit: Visit, queue: str, tasks: Sequence[str]) -> Outcomes:
    return await visit.inspector.update(queue, tasks, priority=_priority(visit), **who(visit))


def _delay(visit: Visit) -> float:
    text = visit.form.text("delay", most=MAX_DURATION)
    delay = seconds_in(text)
    if delay is None:
        raise BadRequest(f"delay is {shown(text)}: expected such as {DURATION}")
    return delay


def destination(visit: Visit) -> str:
    """Return the queue to which a form moves tasks; raise `NotThere` without a right for it."""
    queue = visit.form.text("to", most=MAX_QUEUE)
    visit.require(Right.TASK_MOVE, queue)
    return queue


def _priority(visit: Visit) -> int:
    visit.form.text("priority", most=MAX_DURATION)
    return visit.form.whole("priority", -MAX_PRIORITY, MAX_PRIORITY, 0)


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
            lambda _: RunNow(),
        ),
        Move(
            "reschedule",
            "Reschedule",
            "It is due at another time.",
            Right.TASK_MOVE,
            Rescheduled,
            _reschedule,
            lambda visit: reschedule_to(None, _delay(visit), visit.now),
            Asked("delay", "Due in", "10m", MAX_DURATION),
            lambda visit: reschedule_to(None, 0, visit.now),
        ),
        Move(
            "bring-back",
            "Bring back",
            "It is where it was before it was discarded, due when it was.",
            Right.TASK_MOVE,
            BroughtBack,
            _bring_back,
            lambda _: BroughtBack(),
        ),
        Move(
            "discard",
            "Discard",
            "It is set aside and does not run. It can be brought back as it was.",
            Right.TASK_MOVE,
            Discarded,
            _discard,
            lambda _: Discarded(),
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
            lambda _: Cancelled(),
            asks=True,
        ),
        Move(
            "update",
            "Set priority",
            "It goes before those with a lower priority, and stays where it is.",
            Right.TASK_EDIT,
            Updated,
            _update,
            lambda visit: changes_of({"priority": _priority(visit)}, visit.now),
            Asked("priority", "Priority", "5", MAX_DURATION),
            # no task has such a tag: which have the priority already is not known yet
            lambda visit: changes_of({"tags": [uuid4().hex]}, visit.now),
            is_for_many=True,
        ),
        Move(
            "move",
            "Move to a queue",
            "It is in another queue, as it is, with what is kept of it.",
            Right.TASK_MOVE,
            MoveTo,
            _move_to,
            lambda visit: MoveTo(destination(visit)),
            Asked("to", "To the queue", "QUEUE", MAX_QUEUE, are_queues=True),
            # no queue is called so: which tasks are there already is not known yet
            lambda _: MoveTo(uuid4().hex),
            asks=True,
        ),
        Move(
            "delete",
            "Delete",
            "It is removed with all that is kept of it. This cannot be taken back.",
            Right.TASK_DELETE,
            Deleted,
            _delete,
            lambda _: Deleted(),
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
        if each.is_for(task.state) and each.transition is not useless and not each.is_for_many
    ]


async def choices(visit: Visit, order: Move) -> Sequence[str]:
    """Return the queues that a form offers: of those that there are, where the visitor may move."""
    if order.asked is None or not order.asked.are_queues:
        return ()
    queues = await visit.inspector.counts()
    return sorted(each for each in queues if visit.may(order.right, each))[:MOST_CHOICES]


def said_of(task: str, outcome: MoveAnswer, said: str | None = None) -> tuple[str, bool]:
    """Return what is said of an order that was given for a task, and whether it was followed."""
    match outcome:
        case Moved():
            return f"{task} is {said or outcome.state}.", True
        case NotAllowed():
            return f"Nothing was done: {task} is {outcome.state}, which does not take this.", False
        case Missing():
            return f"Nothing was done: {task} is not there any more.", False
        case Conflict():
            return f"Nothing was done: there is a task {task} in that queue already.", False
        case Duplicate():
            text = f"{task} is archived there: {outcome.id} has its unique key in that queue."
            return text, False
