"""The part of a stored task that transitions read and write."""

from typing import Final, Self

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.queue_rows import QueueRow
from qcore.adapters.sqlite.records import STATES, place_of
from qcore.adapters.sqlite.row_validation import RowTypes
from qcore.domain.answers import SweptTask
from qcore.domain.effects import apply
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import AttemptError, attempt_error
from qcore.domain.states import GONE, State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Crashed, Expired, RunNow, Succeeded, Transition

_ROW_TYPES: Final = RowTypes(
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
        "name",
    )
)


class TaskState:
    """A task without its payload and options, as `effects.apply` changes it.

    Rows come from the SELECTs of `sql/transitions.sql`, which name these columns in this order.
    """

    __slots__ = (
        "attempts",
        "crashes",
        "due",
        "error",
        "expires",
        "failures",
        "group",
        "holds",
        "id",
        "key",
        "max_crashes",
        "name",
        "new_error",
        "place",
        "priority",
        "queue_row",
        "result",
        "result_type",
        "retention",
        "sequence",
        "state",
        "token",
        "unhandled_since",
    )

    def __init__(self, row: Row, queue_row: QueueRow) -> None:
        self.queue_row = queue_row
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
        self.name: str
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
            self.name,
        ) = _ROW_TYPES.coerced(row)
        self.state = STATES.get(state, GONE)
        self.place = 0.0
        self.result: bytes | None = None
        self.result_type: str | None = None
        self.new_error: AttemptError | None = None
        """What this transition adds to the task's error history."""

    @property
    def spec(self) -> Self:
        """Return itself: what `effects.apply` reads of a spec are columns of the same row."""
        return self

    def move(
        self,
        transition: Transition,
        now: Moment,
        verdict: Verdict | None = None,
    ) -> State:
        """Apply a transition, count it in the queue's row, and return the new state."""
        after = apply(self, transition, now)
        self.queue_row.moved_at = now
        self.queue_row.endings.append((self.name, transition, after, verdict))
        if type(transition) is not Succeeded:
            # `attempt_error` returns None for a success anyway; the call costs 0.5 µs a task
            self.new_error = attempt_error(transition, self.attempts, now)
        if isinstance(transition, RunNow):
            self.expires, self.sequence = None, self.queue_row.next_sequence()
        return self._enter(after, now)

    def swept(self, transition: Crashed | Expired) -> SweptTask:
        """Return what is told of a task that time has moved."""
        return SweptTask(
            self.queue_row.name, self.id, self.state, transition, self.name, self.attempts
        )

    def _enter(self, state: State, now: Moment) -> State:
        self.queue_row.count_move(self.state, state)
        self.state = state
        self.place = place_of(state, self.priority, self.due, now)
        return state

    def row(self) -> Row:
        """Return the values of the statement "write"."""
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
