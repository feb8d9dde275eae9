"""The part of a stored task that transitions read and write."""

from typing import Self

from qcore.adapters.links.postgres import Row
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.records import STATES
from qcore.domain.answers import SweptTask
from qcore.domain.effects import apply
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import AttemptError, attempt_error
from qcore.domain.states import ENDED, GONE, State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Crashed, Due, Expired, RunNow, Succeeded, Transition

WIDTH = 17
"""Columns that a task is read from."""


class TaskState:
    """A task without its payload and options, as `effects.apply` changes it.

    Rows come from the SELECTs of `sql/transitions.sql`, which name these columns in this order.
    """

    __slots__ = (
        "attempts",
        "crashes",
        "due",
        "endings",
        "error",
        "expires",
        "failures",
        "finished",
        "group",
        "holds",
        "id",
        "is_last_in_line",
        "max_crashes",
        "name",
        "new_error",
        "priority",
        "queue",
        "result",
        "result_type",
        "retention",
        "state",
        "token",
        "unhandled_since",
    )

    def __init__(self, row: Row, endings: Endings) -> None:
        self.endings = endings
        state: str
        self.queue: str
        self.id: TaskId
        self.token: int | None
        self.due: Moment
        self.expires: Moment | None
        self.group: str | None
        self.holds: str | None
        self.retention: float
        self.failures: int
        self.crashes: int
        self.max_crashes: int
        self.error: str | None
        self.unhandled_since: Moment | None
        self.attempts: int
        self.name: str
        (
            self.queue,
            self.id,
            state,
            self.token,
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
            self.name,
        ) = row[:WIDTH]
        self.state = STATES.get(state, GONE)
        self.finished: Moment | None = None
        self.is_last_in_line = False
        """Whether it is behind all others of its priority from now on."""
        self.result: bytes | None = None
        self.result_type: str | None = None
        self.new_error: AttemptError | None = None
        """What this transition adds to the task's error history."""

    @property
    def spec(self) -> Self:
        """Return itself: what `effects.apply` reads of a spec are columns of the same row."""
        return self

    def move(self, transition: Transition, now: Moment, verdict: Verdict | None = None) -> State:
        """Apply a transition, note it for the statistics, and return the new state."""
        after = apply(self, transition, now)
        self.endings.add(self.queue, (self.name, transition, after, verdict), now)
        if type(transition) is not Succeeded:
            # `attempt_error` returns None for a success anyway; the call costs 0.5 µs a task
            self.new_error = attempt_error(transition, self.attempts, now)
        if isinstance(transition, RunNow):
            self.expires = None
        self.is_last_in_line = isinstance(transition, RunNow | Due)
        self.state = after
        self.finished = now if after in ENDED else None
        return after

    def swept(self, transition: Crashed | Expired) -> SweptTask:
        """Return what is told of a task that time has moved."""
        return SweptTask(self.queue, self.id, self.state, transition, self.name, self.attempts)
