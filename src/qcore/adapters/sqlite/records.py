"""Tasks encoded as rows of the table `qcore_tasks`, and decoded."""

import json
from collections.abc import Mapping
from typing import Any, Final

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.rare_options import RARE_FIELDS, RARE_OPTIONS
from qcore.adapters.sqlite.row_validation import (
    COLUMN_OF,
    COLUMNS,
    RowTypes,
)
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Moment
from qcore.domain.new_task import NO_HEADERS, NewTask, unchecked_builder
from qcore.domain.states import ACTIVE, ENDED, GONE, PENDING, State
from qcore.domain.stored_options import Unreadable, abbreviated
from qcore.domain.task import Task

STATES: Final = {str(state): state for state in State}
"""States by value: a lookup here takes a tenth of the time of `State(value)`."""

SEQUENCE: Final = COLUMNS.index("sequence")
KEY: Final = COLUMNS.index("key")
ID: Final = COLUMNS.index("id")
HEADERS: Final = COLUMNS.index("headers")
MORE: Final = COLUMNS.index("more")
PLACE: Final = slice(COLUMNS.index("place"), COLUMNS.index("sequence") + 1)
"""The columns place, token and sequence: the order of a listing."""

_ROW_TYPES: Final = RowTypes(COLUMNS)


def place_of(state: State, priority: int, due: Moment, finished: Moment) -> float:
    """Return the value of the column `place` for a task that is not active (see schema.sql)."""
    if state is PENDING:
        # as a float: less by one than the greatest integer is no integer of SQLite's
        return float(-priority)
    return finished if state in ENDED else due


def row_of(
    task: NewTask, queue_key: int, sequence: int, state: State, now: Moment, *, due: Moment
) -> Row:
    """Return a new task as the values of the statement "insert"."""
    return (
        queue_key,
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


def full_row_of(row: Row, task: NewTask, holds: str | None) -> Row:
    """Return the values of the statement "insert_full", given those of "insert"."""
    return *row, RARE_OPTIONS.encode(task), holds


def claimed_task_of(row: Row, queue: str) -> Task:
    """Decode a row that was pending when it was read as the active task that it is about to be.

    Raises `Unreadable`.
    """
    _ROW_TYPES.check(row)
    rare = RARE_OPTIONS.decode(row[MORE])
    return _task_of(row, queue, _headers_of(row[HEADERS]), rare, claimed=True)


def task_of(row: Row, queue: str) -> Task:
    """Decode a row of `COLUMNS` as a task, with defaults for what cannot be decoded."""
    row = _ROW_TYPES.shown(row)
    try:
        headers = _headers_of(row[HEADERS])
    except Unreadable:
        headers = NO_HEADERS
    return _task_of(row, queue, headers, RARE_OPTIONS.decode_leniently(row[MORE]))


def _headers_of(text: str | None) -> Mapping[str, str]:
    if not text:
        return NO_HEADERS
    try:
        headers = json.loads(text)
        if {*map(type, headers.values())} <= {str}:
            return FrozenDict(headers)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise Unreadable(f"headers is {abbreviated(text)}")


_spec_of: Final = unchecked_builder(
    "row, queue, parsed_headers, rare",
    {
        **{each.name: f"rare.{each.name}" for each in RARE_FIELDS},
        **COLUMN_OF,
        "queue": "queue",
        "headers": "parsed_headers",
        "payload": "payload if type(payload) is bytes else payload.encode()",
    },
    first=f"{', '.join(COLUMNS)} = row",
)

_STATE: Final = COLUMNS.index("state")
_PLACE: Final = COLUMNS.index("place")
_MOMENTS: Final = slice(COLUMNS.index("created"), COLUMNS.index("due") + 1)
_RUNS: Final = slice(COLUMNS.index("attempts"), COLUMNS.index("result") + 1)


def _task_of(
    row: Row, queue: str, headers: Mapping[str, str], rare: Any, *, claimed: bool = False
) -> Task:
    created, due = row[_MOMENTS]
    attempts, failures, crashes, unhandled_since, error, result_type, result = row[_RUNS]
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
        row[_PLACE] if known in ENDED else None,
        result.encode() if type(result) is str else result,
        result_type,
        unhandled_since,
    )
