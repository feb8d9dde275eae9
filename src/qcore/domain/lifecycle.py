"""The life of a task as one table.

Two rules. Every state has its row, the last one empty: what a row does not list cannot happen.
And the policy is asked before the table (`retry.judge`), so that the table stays a table: the few
cells that depend on the task itself are `Fork`s, which name their question.

The picture in docs/reference/lifecycle.md is drawn from `MOVES`, and a test keeps the two equal.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from attrs import field

from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record


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


@record
class Due:
    """Its moment has come."""


@record
class Claimed:
    """A worker took it."""


@record
class Succeeded:
    """The handler returned. `result` is its encoded value, None for nothing to keep."""

    result: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    then: tuple[NewTask, ...] = ()
    """Tasks to be enqueued in the same step."""


@record
class Failed:
    """The handler raised, and may try again at `again_at`."""

    error: str
    again_at: Moment
    burns: bool = True
    """Whether it counts against the retry budget."""
    worker: str | None = None
    """Who ran it."""
    traceback: str | None = None


@record
class Exhausted:
    """The handler raised, and the retry budget is spent."""

    error: str
    worker: str | None = None
    traceback: str | None = None


@record
class Rejected:
    """It can never succeed: `SkipRetry`, a payload that does not fit its handler."""

    error: str
    worker: str | None = None
    traceback: str | None = None


@record
class Revoked:
    """The handler found it unwanted."""


@record
class Snoozed:
    """The handler wants to run at `again_at` instead; no budget burned."""

    again_at: Moment
    unhandled: bool = False
    """It was put back because this worker has no handler for it."""


@record
class Released:
    """The worker gave it back, as at a graceful shutdown; no budget burned."""


@record
class Crashed:
    """Its worker was lost, not at the task's fault: it burns a budget of its own."""

    error: str = "the worker was lost: its lease ran out"
    worker: str | None = None
    traceback: str | None = None


@record
class Cancelled:
    """Somebody does not want it any more."""

    reason: str = "cancelled"
    by: str | None = None


@record
class Expired:
    """`expires` passed before it started."""

    reason: str = "expired"


@record
class Aggregated:
    """One task of its whole group has taken its place."""


@record
class RunNow:
    """An operator wants it to run at once, with fresh budgets and no expiry."""

    by: str | None = None
    """The operator, as of every command: recorded with the task, together with the reason. None
    records nothing, as where an application gives commands to tasks of its own."""
    reason: str | None = None


@record
class Archived:
    """An operator set it aside."""

    reason: str = "archived by an operator"
    by: str | None = None


@record
class Discarded:
    """An operator does not want it: it is set aside, and can be brought back for a while."""

    by: str | None = None
    reason: str | None = None


@record
class BroughtBack:
    """An operator wants what was discarded back where it was, due when it was."""

    by: str | None = None
    reason: str | None = None


@record
class Deleted:
    """An operator removed it."""

    by: str | None = None
    reason: str | None = None


@record
class Rescheduled:
    """Somebody wants it to run at `at` instead, earlier or later."""

    at: Moment
    by: str | None = None
    reason: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what is no moment; not a number fails every comparison."""
        if not 0 <= self.at <= LAST_MOMENT:
            raise InvalidTask(f"at is {self.at!r}: expected epoch seconds before the year 10000")


@record
class Updated:
    """Somebody changed options or arguments of a task that does not run."""

    changes: Mapping[str, object] = field(hash=False)
    """Fields of `NewTask`, of those in `CHANGEABLE`."""
    by: str | None = None
    reason: str | None = None


Transition: TypeAlias = (
    Due
    | Claimed
    | Succeeded
    | Failed
    | Exhausted
    | Rejected
    | Revoked
    | Snoozed
    | Released
    | Crashed
    | Cancelled
    | Expired
    | Aggregated
    | RunNow
    | Archived
    | Discarded
    | BroughtBack
    | Deleted
    | Rescheduled
    | Updated
)

Command: TypeAlias = (
    RunNow | Archived | Discarded | BroughtBack | Deleted | Cancelled | Rescheduled | Updated
)
"""A transition that an operator or a handle asks for."""


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

_BACK: Final = Return(
    (
        State.SCHEDULED,
        State.PENDING,
        State.AGGREGATING,
        State.RETRY,
        State.ARCHIVED,
        State.DEAD,
    ),
    State.ARCHIVED,
)

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


DISCARDED: Final = "discarded while "
"""How the error of a discarded task begins, which lists, queries and groups of errors show.

Behind it stands its former state, and behind a colon its former error: what is needed to bring it
back has no place of its own in any store.
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
    if name not in _BACK.ends:
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
