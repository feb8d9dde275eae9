"""The life of a task as one table.

Two rules. Every state has its row, the last one empty: what a row does not list cannot happen.
And the policy is asked before the table (`retry.judge`), so that the table stays a table: the few
cells that depend on the task itself are `Fork`s, which name their question.

The picture in docs/reference/lifecycle.md is drawn from `MOVES`, and a test keeps the two equal.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task_error import FORMER_STATES, former_of
from qcore.domain.transitions import (
    Aggregated,
    Archived,
    BroughtBack,
    Cancelled,
    Claimed,
    Crashed,
    Deleted,
    Discarded,
    Due,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)


class SpecView(Protocol):
    """The options of a task that the table reads."""

    @property
    def group(self) -> str | None:
        """Return the group it is to be aggregated with."""
        ...

    @property
    def retention(self) -> float:
        """Return for how many seconds it is kept once completed."""
        ...

    @property
    def max_crashes(self) -> int:
        """Return the number of the crash that is its last."""
        ...


class TaskView(Protocol):
    """The part of a stored task that the table reads."""

    @property
    def spec(self) -> SpecView:
        """Return its options."""
        ...

    @property
    def state(self) -> State:
        """Return its state."""
        ...

    @property
    def crashes(self) -> int:
        """Return how many of its runs ended in a crash."""
        ...

    @property
    def error(self) -> str | None:
        """Return what its last failure said; of a discarded task, where that was done to it."""
        ...


@record
class Fork:
    """A cell with two ends: `then` if the question about the task is answered with yes."""

    question: str
    asks: Callable[[TaskView], bool]
    then: State
    otherwise: State


@record
class Return:
    """A cell that leads back to the state in which a task was discarded, as its error says."""

    ends: tuple[State, ...]
    otherwise: State
    """Where a task stays that was not discarded."""


class IllegalMove(Exception):
    """The table has no such cell: a bug in a broker, never in a user's code."""


_GROUPED = Fork(
    "it has a group", lambda t: t.spec.group is not None, State.AGGREGATING, State.PENDING
)
_KEPT = Fork("retention > 0", lambda t: t.spec.retention > 0, State.COMPLETED, State.GONE)
_POISON = Fork(
    "its crashes reach max_crashes",
    lambda t: t.crashes + 1 >= t.spec.max_crashes,
    State.DEAD,
    State.PENDING,
)

_BACK: Final = Return(FORMER_STATES, State.ARCHIVED)

Cell: TypeAlias = State | Fork | Return

MOVES: Final[Mapping[State, Mapping[type, Cell]]] = {
    State.SCHEDULED: {
        Due: _GROUPED,
        Cancelled: State.DEAD,
        RunNow: State.PENDING,
        Archived: State.ARCHIVED,
        Discarded: State.ARCHIVED,
        Deleted: State.GONE,
        Rescheduled: State.SCHEDULED,
        Updated: State.SCHEDULED,
    },
    State.PENDING: {
        Claimed: State.ACTIVE,
        Cancelled: State.DEAD,
        Expired: State.DEAD,
        Archived: State.ARCHIVED,
        Discarded: State.ARCHIVED,
        Deleted: State.GONE,
        Rescheduled: State.SCHEDULED,
        Updated: State.PENDING,
    },
    State.AGGREGATING: {
        Aggregated: State.GONE,
        Cancelled: State.DEAD,
        RunNow: State.PENDING,
        Archived: State.ARCHIVED,
        Discarded: State.ARCHIVED,
        Deleted: State.GONE,
        Rescheduled: State.SCHEDULED,
        Updated: State.AGGREGATING,
    },
    State.ACTIVE: {
        Succeeded: _KEPT,
        Failed: State.RETRY,
        Exhausted: State.ARCHIVED,
        Rejected: State.DEAD,
        Revoked: State.GONE,
        Snoozed: State.SCHEDULED,
        Released: State.PENDING,
        Crashed: _POISON,
        Cancelled: State.DEAD,
    },
    State.RETRY: {
        Due: _GROUPED,
        Cancelled: State.DEAD,
        RunNow: State.PENDING,
        Archived: State.ARCHIVED,
        Discarded: State.ARCHIVED,
        Deleted: State.GONE,
        Rescheduled: State.RETRY,
        Updated: State.RETRY,
    },
    State.COMPLETED: {RunNow: State.PENDING, Deleted: State.GONE},
    State.ARCHIVED: {
        RunNow: State.PENDING,
        Discarded: State.ARCHIVED,
        BroughtBack: _BACK,
        Deleted: State.GONE,
        Updated: State.ARCHIVED,
    },
    State.DEAD: {
        RunNow: State.PENDING,
        Discarded: State.ARCHIVED,
        Deleted: State.GONE,
        Updated: State.DEAD,
    },
    State.GONE: {},
}


def advance(task: TaskView, event: Transition) -> State:
    """Return the state that `event` leads `task` to; raise `IllegalMove` where there is none."""
    cell = MOVES[task.state].get(type(event))
    if cell is None:
        raise IllegalMove(f"{type(event).__name__} cannot happen to a task that is {task.state}")
    if isinstance(cell, Fork):
        return cell.then if cell.asks(task) else cell.otherwise
    if isinstance(cell, Return):
        return former_of(task.error)[0] or cell.otherwise
    return cell
