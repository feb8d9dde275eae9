"""A stored task on its way from one state to another."""

import json
from collections.abc import Iterable, Sequence
from typing import Final, Self

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite import run_details
from qcore.adapters.sqlite.queue_rows import Line
from qcore.adapters.sqlite.records import STATES, place_of
from qcore.adapters.sqlite.row_validation import Shape
from qcore.adapters.sqlite.statements import statements
from qcore.domain.effects import apply
from qcore.domain.lifecycle import ENDED, GONE, RunNow, State, Succeeded, Transition
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import AttemptError, attempt_error

_SQL: Final = statements("transitions")

_SHAPE: Final = Shape(
    (
        "key",
        "id",
        "state",
        "token",
        "sequence",
        "priority",
        "due",
        "expires",
        "retention",
        "group_name",
        "holds",
        "failures",
        "crashes",
        "max_crashes",
        "error",
        "unhandled_since",
        "attempts",
    )
)


class Moving:
    """What a move needs to know of a task, and what it changes."""

    __slots__ = (
        "attempts",
        "crashes",
        "due",
        "error",
        "expires",
        "failures",
        "fault",
        "group",
        "holds",
        "id",
        "key",
        "line",
        "max_crashes",
        "place",
        "priority",
        "result",
        "result_type",
        "retention",
        "sequence",
        "state",
        "token",
        "unhandled_since",
    )

    def __init__(self, row: Row, line: Line) -> None:
        self.line = line
        state: str
        self.key: int
        self.id: TaskId
        self.token: int
        self.due: Moment
        self.group: str | None
        self.holds: str | None
        self.retention: float
        self.failures: int
        self.crashes: int
        self.max_crashes: int
        self.error: str | None
        self.unhandled_since: Moment | None
        self.attempts: int
        (
            self.key,
            self.id,
            state,
            self.token,
            self.sequence,
            self.priority,
            self.due,
            self.expires,
            self.retention,
            self.group,
            self.holds,
            self.failures,
            self.crashes,
            self.max_crashes,
            self.error,
            self.unhandled_since,
            self.attempts,
        ) = _SHAPE.fitted(row)
        self.state = STATES.get(state, GONE)
        self.place = 0.0
        self.result: bytes | None = None
        self.result_type: str | None = None
        self.fault: AttemptError | None = None
        """What it adds to its history of errors."""

    @property
    def spec(self) -> Self:
        """Return itself: the table asks a spec for nothing that is not here."""
        return self

    def move(self, event: Transition, now: Moment) -> State:
        """Take note of what happened to it."""
        after = apply(self, event, now)
        if type(event) is not Succeeded:
            # most do, and to ask costs each of them half a microsecond
            self.fault = attempt_error(event, self.attempts, now)
        if isinstance(event, RunNow):
            self.expires, self.sequence = None, self.line.next_sequence()
        return self._enter(after, now)

    def _enter(self, state: State, now: Moment) -> State:
        self.line.moved(self.state, state)
        self.state = state
        self.place = place_of(state, self.priority, self.due, now)
        return state

    def row(self) -> Row:
        """Return it as the values of the statement "write"."""
        return (
            str(self.state),
            self.place,
            self.sequence,
            self.due,
            self.expires,
            self.failures,
            self.crashes,
            self.error,
            self.unhandled_since,
            self.result,
            self.result_type,
            self.key,
        )


def named(tx: Tx, line: Line, ids: Iterable[TaskId]) -> dict[TaskId, Moving]:
    """Return those of the tasks that are stored."""
    rows = tx.execute(_SQL["named"], (json.dumps(list(ids)), line.key))
    return {row[1]: Moving(row, line) for row in rows}


def due(tx: Tx, line: Line, now: Moment, limit: int) -> list[Moving]:
    """Return waiting tasks whose moment has come, in the order of their moments."""
    rows = [
        row
        for state in (State.SCHEDULED, State.RETRY)
        for row in tx.execute(_SQL["due"], (line.key, state, now, limit))
    ]
    moving = [Moving(row, line) for row in rows]
    moving.sort(key=lambda task: (task.due, task.sequence))
    return moving[:limit]


def late(tx: Tx, line: Line, now: Moment, limit: int) -> list[Moving]:
    """Return active tasks whose lease is over."""
    return [Moving(row, line) for row in tx.execute(_SQL["late"], (line.key, now, limit))]


def stale(tx: Tx, line: Line, now: Moment, limit: int) -> list[Moving]:
    """Return pending tasks that have expired."""
    return [Moving(row, line) for row in tx.execute(_SQL["stale"], (line.key, now, limit))]


def write(tx: Tx, moved: Sequence[Moving]) -> None:
    """Write tasks that have moved, or forget them."""
    forget(tx, [task.key for task in moved if task.state is GONE])
    kept = [task.row() for task in moved if task.state is not GONE]
    if kept:
        tx.executemany(_SQL["write"], kept)
        let_go(tx, [task.key for task in moved if task.holds is not None and task.state in ENDED])
        run_details.add_errors(
            tx, [(task.key, task.fault) for task in moved if task.fault is not None]
        )


def let_go(tx: Tx, keys: Sequence[int]) -> None:
    """Let others have the unique keys of tasks."""
    if keys:
        tx.executemany(_SQL["let_go"], [(key,) for key in keys])


def forget(tx: Tx, keys: Sequence[int]) -> None:
    """Leave nothing of tasks."""
    if keys:
        tx.executemany(_SQL["forget"], [(key,) for key in keys])
        run_details.forget(tx, keys)
