"""Tasks to rows and back."""

import json
from typing import Final

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.statements import statements
from qcore.domain.lifecycle import ENDED, State
from qcore.domain.moments import Moment
from qcore.domain.task import NO_HEADERS, NewTask, Task

STATES: Final = {str(state): state for state in State}
"""A dict, as it finds a state in a tenth of the time that the enum takes."""


COLUMNS: Final = [
    line.split()[0] for line in statements("schema")["tasks"].splitlines() if line.startswith(" ")
]
"""The columns of qcore_tasks, as `SELECT *` answers them."""

KEY: Final = COLUMNS.index("key")
ID: Final = COLUMNS.index("id")
EXPIRES: Final = COLUMNS.index("expires")
PLACE: Final = slice(COLUMNS.index("place"), COLUMNS.index("sequence") + 1)
"""Place, token and sequence: the order of a listing."""


def place_of(state: State, priority: int, due: Moment, finished: Moment) -> float:
    """Return where a task that nobody runs stands among those of its state."""
    if state is State.PENDING:
        return -priority
    return finished if state in ENDED else due


def row_of(task: NewTask, line: int, sequence: int, state: State, now: Moment) -> Row:
    """Return a new task as the values of the statement "insert"."""
    due = now if task.due is None or state is State.PENDING else task.due
    return (
        line,
        task.id,
        state.value,
        place_of(state, task.priority, due, now),
        sequence,
        task.name,
        task.priority,
        now,
        due,
        task.due,
        task.expires,
        task.deadline,
        task.timeout,
        task.retention,
        task.max_retry,
        task.max_crashes,
        task.backoff,
        task.group,
        task.content_type,
        json.dumps(dict(task.headers)) if task.headers else None,
        task.payload,
    )


def task_of(row: Row, queue: str, *, claimed: bool = False) -> Task:
    """Return a row of qcore_tasks, all its columns in their order, as a task.

    A row that was read just before it was claimed is shown as it is just after.
    """
    (
        _key,
        _line,
        task,
        state,
        place,
        _token,
        _sequence,
        name,
        priority,
        created,
        due,
        not_before,
        expires,
        deadline,
        timeout,
        retention,
        max_retry,
        max_crashes,
        backoff,
        group,
        attempts,
        failures,
        crashes,
        unhandled_since,
        error,
        result_type,
        result,
        content_type,
        headers,
        payload,
    ) = row
    spec = NewTask(
        name,
        task,
        payload,
        content_type,
        queue,
        priority,
        not_before,
        max_retry,
        max_crashes,
        backoff,
        deadline,
        timeout,
        expires,
        retention,
        group,
        json.loads(headers) if headers else NO_HEADERS,
    )
    known = State.ACTIVE if claimed else STATES[state]
    finished = place if known in ENDED else None
    return Task(
        spec,
        known,
        created,
        due,
        attempts + claimed,
        failures,
        crashes,
        error,
        finished,
        result,
        result_type,
        unhandled_since,
    )
