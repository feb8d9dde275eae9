"""Tasks to rows and back."""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.rare_options import NAMED, more_of, more_shown, written
from qcore.adapters.sqlite.row_validation import COLUMN_OF, COLUMNS, Shape, Unreadable, shown
from qcore.domain.lifecycle import ACTIVE, ENDED, GONE, PENDING, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import NO_HEADERS, NewTask, unchecked_builder
from qcore.domain.task import Task

STATES: Final = {str(state): state for state in State}
"""A dict, as it finds a state in a tenth of the time that the enum takes."""

SEQUENCE: Final = COLUMNS.index("sequence")
KEY: Final = COLUMNS.index("key")
ID: Final = COLUMNS.index("id")
HEADERS: Final = COLUMNS.index("headers")
MORE: Final = COLUMNS.index("more")
PLACE: Final = slice(COLUMNS.index("place"), COLUMNS.index("sequence") + 1)
"""Place, token and sequence: the order of a listing."""

_SHAPE: Final = Shape(COLUMNS)


def place_of(state: State, priority: int, due: Moment, finished: Moment) -> float:
    """Return where a task that nobody runs stands among those of its state."""
    if state is PENDING:
        return -priority
    return finished if state in ENDED else due


def row_of(task: NewTask, line: int, sequence: int, state: State, now: Moment) -> Row:
    """Return a new task as the values of the statement "insert"."""
    due = task.due if task.due is not None and state is State.SCHEDULED else now
    return (
        line,
        task.id,
        str(state),
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


def unique_row_of(row: Row, task: NewTask, *, holds: bool) -> Row:
    """Return the values of the statement "insert" as those of "insert_unique"."""
    return *row, written(task), task.unique_key if holds else None


def claimed_task_of(row: Row, queue: str) -> Task:
    """Return a row that was read just before it was claimed as the task it is just after.

    Raises `Unreadable`.
    """
    _SHAPE.refuse_misfits(row)
    return _task_of(row, queue, _headers_of(row[HEADERS]), more_of(row[MORE]), claimed=True)


def task_of(row: Row, queue: str) -> Task:
    """Return a row of `COLUMNS` as a task.

    One that cannot be read is shown as well as possible.
    """
    row = _SHAPE.fitted(row)
    try:
        headers = _headers_of(row[HEADERS])
    except Unreadable:
        headers = NO_HEADERS
    return _task_of(row, queue, headers, more_shown(row[MORE]))


def _headers_of(text: str | None) -> Mapping[str, str]:
    if not text:
        return NO_HEADERS
    try:
        headers = json.loads(text)
        if {*map(type, headers.values())} <= {str}:
            return headers  # type: ignore[no-any-return]
    except (ValueError, AttributeError, RecursionError):
        pass
    raise Unreadable(f"headers is {shown(text)}")


_PAYLOAD: Final = f"row[{COLUMNS.index('payload')}]"

_spec_of: Final = unchecked_builder(
    "row, queue, headers, rare",
    {
        **{each.name: f"rare.{each.name}" for each in NAMED},
        **{
            name: f"row[{COLUMNS.index(column)}]"
            for name, column in COLUMN_OF.items()
            if column in COLUMNS
        },
        "queue": "queue",
        "headers": "headers",
        "payload": f"{_PAYLOAD} if type({_PAYLOAD}) is bytes else {_PAYLOAD}.encode()",
    },
)

_STATE: Final = COLUMNS.index("state")
_progress: Final = itemgetter(
    *(
        COLUMNS.index(column)
        for column in (
            "place",
            "created",
            "due",
            "attempts",
            "failures",
            "crashes",
            "error",
            "result",
            "result_type",
            "unhandled_since",
        )
    )
)


def _task_of(
    row: Row, queue: str, headers: Mapping[str, str], rare: Any, *, claimed: bool = False
) -> Task:
    place, created, due, attempts, failures, crashes, error, result, result_type, unhandled = (
        _progress(row)
    )
    known = ACTIVE if claimed else STATES.get(row[_STATE], GONE)
    return Task(
        _spec_of(row, queue, headers, rare),
        known,
        created,
        due,
        attempts + claimed,
        failures,
        crashes,
        error,
        place if known in ENDED else None,
        result.encode() if type(result) is str else result,
        result_type,
        unhandled,
    )
