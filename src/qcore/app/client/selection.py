"""Which tasks an operator means: ids, or a filter; checked, as a misreading would move others."""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Final, Required, TypedDict, cast

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Duration, Moment, seconds_of
from qcore.domain.new_task import TaskId
from qcore.domain.states import State, state_of
from qcore.domain.task import Task
from qcore.domain.text import is_utf8, shown


class TaskFilter(TypedDict, total=False):
    """Select tasks: those to which all that is given applies."""

    state: Required[State]
    queue: str
    """All queues, if it is not given."""
    name: str
    """The task's name, or, ending in ":", what it begins with."""
    older_than: Duration
    """How long ago, at least, it was enqueued."""


_TEXTS: Final = ("queue", "name")


def checked_filter(given: TaskFilter) -> TaskFilter:
    """Return a filter whose state is a `State`; raise `InvalidOption` for one that is wrong."""
    values = cast("dict[str, Any]", given)
    if "state" not in values or values.keys() - TaskFilter.__annotations__.keys():
        raise InvalidOption(
            f"which tasks is {values!r}: expected state=…, and perhaps "
            "queue=…, name=… and older_than=…"
        )
    for what in _TEXTS:
        if values.get(what) is not None:
            _one(what, values[what])
    return {**given, "state": state_of(given["state"])}


def predicate_of(selected: TaskFilter, now: Moment) -> Callable[[Task], bool]:
    """Return what says of a task of the right queue and state whether it is selected."""
    name, age = selected.get("name"), selected.get("older_than")
    before = inf if age is None else now - seconds_of(age, "older_than")
    return lambda task: task.created <= before and (name is None or _is_named(task.name, name))


def one_queue(queue: object) -> str:
    """Return a queue's name; raise `InvalidOption` for several, and for what is none."""
    return _one("queue", queue)


def one_name(name: object) -> str:
    """Return the name of tasks; raise `InvalidOption` for several, and for what is none."""
    return _one("name", name)


def one_group(group: object) -> str:
    """Return a group's name; raise `InvalidOption` for several, and for what is none."""
    return _one("group", group)


def several_ids(tasks: Iterable[TaskId]) -> list[TaskId]:
    """Return ids as a list; raise `InvalidOption` for a single one, and for what is no id.

    A text is a sequence of texts: the id "12" would be the two ids "1" and "2".
    """
    given: object = tasks
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidOption(
            f"tasks is {shown(given)}: expected several ids, such as [{shown(given)}]"
        )
    return [one_id(task) for task in cast("Iterable[object]", given)]


def one_id(task: object) -> TaskId:
    """Return an id; raise `InvalidOption` for what is none."""
    return _text("a task's id", task, "text, such as handle.id")


def page_size(limit: object) -> int:
    """Return how many tasks a page has at most; raise `InvalidOption` for no such number."""
    if type(limit) is not int or limit < 0:
        raise InvalidOption(f"limit is {shown(limit)}: expected a whole number from 0")
    return limit


def page_cursor(cursor: object) -> str | None:
    """Return where a page begins; raise `InvalidOption` for what can be no page's cursor."""
    return None if cursor is None else _text("cursor", cursor, "the cursor of a page, or None")


def _one(what: str, value: object) -> str:
    return _text(what, value, f"the name of one {what}, as text")


def _text(what: str, value: object, expected: str) -> str:
    # a lone surrogate is in no stored text, and some stores could not even be asked for it
    if not isinstance(value, str) or not is_utf8(value):
        raise InvalidOption(f"{what} is {shown(value)}: expected {expected}")
    return value


def _is_named(task: str, name: str) -> bool:
    return task.startswith(name) if name.endswith(":") else task == name
