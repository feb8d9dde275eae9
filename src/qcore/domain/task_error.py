"""What is stored as the error of a task, and what qcore reads back from it.

Where a task was before it was discarded, or before its move to another queue began, stands in its
error, as no store has another place for it.
"""

from typing import Final

from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.states import State
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Transition,
)

FORMER_STATES: Final = (
    State.SCHEDULED,
    State.PENDING,
    State.AGGREGATING,
    State.RETRY,
    State.ARCHIVED,
    State.DEAD,
)
"""The states in which a task can be discarded."""
DISCARDED: Final = "discarded while "
"""How the error of a discarded task begins, which lists, queries and groups of errors show.

Behind it stands its former state, and behind a colon its former error.
"""
MOVING: Final = "moving from "
"""How the error of a task begins that is on its way to another queue."""


def own_error(error: str) -> str:
    """Return what a run said, marked as such where it begins as an error that qcore reads back.

    Else a handler's text would be taken for where its task was before.
    """
    return f"error: {error}" if error.startswith((DISCARDED, MOVING)) else error


def discarded_error(state: State, error: str | None, due: Moment) -> str:
    """Return the error of a task that is discarded; of one that is already, the same."""
    if error is not None and former_of(error)[0] is not None:
        return error
    if due >= LAST_MOMENT:
        # a successor is none any more: there is no holder whose end it could wait for
        state = State.PENDING
    return f"{DISCARDED}{state}" if error is None else f"{DISCARDED}{state}: {error}"


def former_of(error: str | None) -> tuple[State | None, str | None]:
    """Return the state and the error that a task had before it was discarded.

    The state is None of a task that was not discarded.
    """
    if error is None or not error.startswith(DISCARDED):
        return None, error
    name, colon, former = error.removeprefix(DISCARDED).partition(": ")
    if name not in FORMER_STATES:
        # an error of somebody's own
        return None, error
    return State(name), former if colon else None


def reason_of(event: Transition) -> str | None:
    """Return the reason that a transition gives, to be stored as the task's error."""
    match event:
        case Failed() | Exhausted() | Rejected() | Crashed():
            return own_error(event.error)
        case Archived(reason) if reason.startswith(MOVING):
            # which is how a task is archived that is on its way
            return reason
        case Cancelled() | Expired() | Archived():
            return own_error(event.reason)
        case _:
            return None
