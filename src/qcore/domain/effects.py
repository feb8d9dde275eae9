"""What each transition changes of a task beside its state: one definition for every broker."""

from typing import Protocol

from qcore.domain.lifecycle import SpecView, advance
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.states import ACTIVE, State
from qcore.domain.task_error import discarded_error, former_of, own_error, reason_of
from qcore.domain.transitions import (
    BroughtBack,
    Crashed,
    Discarded,
    Exhausted,
    Failed,
    Rescheduled,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
)


class MutableTask(Protocol):
    """A stored task as a broker holds it, with attributes that can be set."""

    @property
    def spec(self) -> SpecView:
        """Return the task as it was asked for."""
        ...

    @property
    def state(self) -> State:
        """Return its state."""
        ...

    due: Moment
    failures: int
    crashes: int
    error: str | None
    result: bytes | None
    result_type: str | None
    unhandled_since: Moment | None


def apply(task: MutableTask, event: Transition, now: Moment) -> State:
    """Apply a transition to a task's attributes; return the state that it leads to.

    The broker itself changes the state, and the task's place in it. Raises `IllegalMove`, and
    changes nothing, if the table has no such move.
    """
    state = advance(task, event)
    if task.state is ACTIVE and (task.unhandled_since is not None or type(event) is Snoozed):
        _note_unhandled(task, event, now)
    match event:
        case Succeeded():
            task.result, task.result_type = event.result, event.content_type
            # it did not fail in the end
            task.error = None
        case Failed():
            task.failures += event.burns
            task.error, task.due = own_error(event.error), event.again_at
        case Exhausted():
            task.failures += 1
            task.error = own_error(event.error)
        case Snoozed():
            task.due = event.again_at
        case Crashed():
            task.crashes += 1
            task.error = own_error(event.error)
        case RunNow():
            _renew(task, now)
        case Rescheduled():
            task.due = event.at
        case Discarded() | BroughtBack():
            _set_aside_or_return(task, event, now)
        case _:
            task.error = reason_of(event) or task.error
    return state


def _note_unhandled(task: MutableTask, event: Transition, now: Moment) -> None:
    if not (isinstance(event, Snoozed) and event.unhandled):
        task.unhandled_since = None
    elif task.unhandled_since is None:
        task.unhandled_since = now


def _set_aside_or_return(task: MutableTask, event: Discarded | BroughtBack, now: Moment) -> None:
    if isinstance(event, Discarded):
        task.error = discarded_error(task.state, task.error, task.due)
        return
    task.error = former_of(task.error)[1]
    if task.due >= LAST_MOMENT:
        # it was a successor, which waits at the end of time
        task.due = now


def _renew(task: MutableTask, now: Moment) -> None:
    """Reset a task's budgets, as if it had never run."""
    task.failures = task.crashes = 0
    task.error = task.result = task.result_type = task.unhandled_since = None
    task.due = now
