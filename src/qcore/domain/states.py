"""The states of a task."""

from enum import StrEnum
from typing import Final

from qcore.domain.errors import InvalidOption


class State(StrEnum):
    """The state of a task."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    AGGREGATING = "aggregating"
    ACTIVE = "active"
    RETRY = "retry"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    DEAD = "dead"
    GONE = "gone"


def state_of(value: State | str) -> State:
    """Return a state given as one, or as its text; raise `InvalidOption` for what is none."""
    try:
        return State(value)
    except ValueError:
        raise InvalidOption(
            f"state is {value!r}: expected one of {', '.join(map(repr, map(str, State)))}"
        ) from None


PENDING: Final = State.PENDING
ACTIVE: Final = State.ACTIVE
GONE: Final = State.GONE
"""Constants for the hot path: Python 3.11 takes 0.15 µs to look up a member of an enum."""


ENDED: Final = frozenset({State.COMPLETED, State.ARCHIVED, State.DEAD, State.GONE})
"""The final states, which a task leaves by a command alone; a new task may take its id."""
