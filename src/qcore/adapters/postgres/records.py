"""Tasks encoded as rows of the table `tasks`, and decoded.

Postgres checks what type a value has, so all that somebody's edit can spoil is the JSON of
`options`: a claim refuses such a row, and an inspector is shown it with defaults.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeVar

from qcore.adapters.links.postgres import Row
from qcore.adapters.links.postgres.arrays import blobs, numbers, texts
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import FIELDS, NO_HEADERS, NewTask, unchecked_builder
from qcore.domain.states import ACTIVE, ENDED, GONE, State
from qcore.domain.stored_options import StoredOptions, Unreadable
from qcore.domain.task import Task

T = TypeVar("T")

STATES: Final = {str(state): state for state in State}
"""States by value: a lookup here takes a tenth of the time of `State(value)`."""

COLUMNS: Final = (
    "id",
    "state",
    "priority",
    "crashes",
    "failures",
    "attempts",
    "max_crashes",
    "created",
    "due",
    "not_before",
    "expires",
    "retention",
    "finished",
    "unhandled_since",
    "name",
    "group_name",
    "holds",
    "error",
    "result_type",
    "options",
    "payload",
    "result",
)
"""What a task is decoded from, in the order in which the statements name it."""
WIDTH: Final = len(COLUMNS)
ID: Final = 0
OPTIONS: Final = COLUMNS.index("options")

COLUMN_OF: Final = {
    name: column
    for name in FIELDS
    if (column := {"due": "not_before", "group": "group_name"}.get(name, name)) in COLUMNS
}
"""Fields of `NewTask` to the columns that store them; the other fields are in `options`."""
OTHERS: Final = [each for each in FIELDS.values() if each.name not in {*COLUMN_OF, "queue"}]

STORED_OPTIONS: Final = StoredOptions("options", OTHERS)

_spec_of: Final = unchecked_builder(
    "row, queue, others",
    {
        **{each.name: f"others.{each.name}" for each in OTHERS},
        **COLUMN_OF,
        "queue": "queue",
        "headers": "FrozenDict(others.headers) if others.headers else NO_HEADERS",
    },
    first=f"{', '.join(COLUMNS)} = row",
    FrozenDict=FrozenDict,
    NO_HEADERS=NO_HEADERS,
)
_EARLY: Final = slice(COLUMNS.index("state"), COLUMNS.index("attempts") + 1)
_MOMENTS: Final = slice(COLUMNS.index("created"), COLUMNS.index("due") + 1)
_numbers: Final = itemgetter(
    *map(
        COLUMNS.index,
        ("created", "due", "retention", "not_before", "expires", "finished", "unhandled_since"),
    )
)
_FINISHED: Final = COLUMNS.index("finished")
_UNHANDLED: Final = COLUMNS.index("unhandled_since")
_ERROR: Final = COLUMNS.index("error")
_RESULT_TYPE: Final = COLUMNS.index("result_type")


def claimed_task_of(row: Row, queue: str, *, counted: bool) -> Task:
    """Decode the row of a task that is claimed; raise `Unreadable`.

    `counted` says whether the row has the attempt that begins.
    """
    _check_moments(row)
    return _task_of(row, queue, STORED_OPTIONS.decode(row[OPTIONS]), ACTIVE, 1 - counted)


def task_of(row: Row, queue: str) -> Task:
    """Decode a row of `COLUMNS` as a task, with defaults for what cannot be decoded."""
    if not _are_moments(row):
        row = tuple(_shown(each) for each in row)
    options = STORED_OPTIONS.decode_leniently(row[OPTIONS])
    return _task_of(row, queue, options, STATES.get(row[1], GONE), 0)


def _are_moments(row: Row) -> bool:
    """Return whether all numbers are ones that can be shown: not endless, and not beyond dates."""
    created, due, retention, not_before, expires, finished, unhandled = _numbers(row)
    # one comparison for them all: it is made for each task that is claimed
    total = created + due + retention + (not_before or 0.0) + (expires or 0.0)
    total += (finished or 0.0) + (unhandled or 0.0)
    return -LAST_MOMENT <= total <= LAST_MOMENT or all(map(_is_sound, row))


def _check_moments(row: Row) -> None:
    if not _are_moments(row):
        for name, value in zip(COLUMNS, row, strict=True):
            if not _is_sound(value):
                raise Unreadable(f"{name} is {value!r}")


def _is_sound(value: object) -> bool:
    return type(value) is not float or -LAST_MOMENT <= value <= LAST_MOMENT


def _shown(value: Any) -> Any:
    return value if _is_sound(value) else 0.0


def _task_of(row: Row, queue: str, options: Any, state: State, more: int) -> Task:
    _, _, crashes, failures, attempts = row[_EARLY]
    created, due = row[_MOMENTS]
    return Task(
        _spec_of(row, queue, options),
        state,
        created,
        due,
        attempts + more,
        failures,
        crashes,
        row[_ERROR],
        row[_FINISHED] if state in ENDED else None,
        row[-1],
        row[_RESULT_TYPE],
        row[_UNHANDLED],
    )


# --- the way in --------------------------------------------------------------------------------


def _sparse(array: Callable[[Sequence[T | None]], str], values: Sequence[T | None]) -> str:
    """Return an array; an empty one if all are None, which `unnest` fills up beside the others."""
    return "{}" if values.count(None) == len(values) else array(values)


def values_of(
    tasks: Sequence[NewTask], states: Sequence[State], dues: Sequence[Moment], now: Moment
) -> Mapping[str, Any]:
    """Return new tasks as the arrays of the statements "simple" and "insert"."""
    return {
        "now": now,
        "queues": texts([task.queue for task in tasks]),
        "ids": texts([task.id for task in tasks]),
        "states": texts(map(str, states)),
        "priorities": numbers([task.priority for task in tasks]),
        "max_crashes": numbers([task.max_crashes for task in tasks]),
        "due": numbers(dues),
        "not_before": _sparse(numbers, [task.due for task in tasks]),
        "expires": _sparse(numbers, [task.expires for task in tasks]),
        "retention": numbers([task.retention for task in tasks]),
        "names": texts([task.name for task in tasks]),
        "groups": _sparse(texts, [task.group for task in tasks]),
        "options": _sparse(texts, [*map(STORED_OPTIONS.encode, tasks)]),
        "payloads": blobs([task.payload for task in tasks]),
    }
