"""`assert_enqueued`: fail unless a task of a handler is waiting, with given arguments."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from qcore.app.client.client import Client
from qcore.app.client.inline import run_inline
from qcore.app.tasks.handler import HandlerWithOptions
from qcore.domain.errors import CannotDecode, CannotEncode
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.ports import Operator

WAITING: Final = (State.PENDING, State.SCHEDULED, State.RETRY)
PAGE: Final = 500
SHOWN: Final = 80


def assert_enqueued(task: HandlerWithOptions[..., Any], /, **some_arguments: object) -> Task:
    """Return the first waiting task of a handler with at least these arguments.

    Raises AssertionError, which lists what is waiting instead, when there is none.
    """
    handler = task.handler
    client = handler.sender.client
    waiting = list(_waiting(client.broker.blocking()))
    for each in waiting:
        if each.name == handler.name and _includes(each, some_arguments, client):
            return each
    raise AssertionError(_failure(handler.name, some_arguments, waiting, client))


def _waiting(broker: Operator) -> Iterator[Task]:
    for queue, states in run_inline(broker.count()).items():
        for state in WAITING:
            cursor: str | None = None
            while states.get(state):
                page = run_inline(broker.browse(queue, state, PAGE, cursor=cursor))
                yield from page.tasks
                cursor = page.cursor
                if cursor is None:
                    break


def _arguments(task: Task, client: Client) -> Mapping[str, Any]:
    # as they travel, so that a test may compare with what any language would read
    return client.codec.loads(task.spec.payload, task.spec.content_type, dict[str, Any])


def _includes(task: Task, wanted: Mapping[str, object], client: Client) -> bool:
    arguments = _arguments(task, client)
    return all(
        name in arguments and arguments[name] in (value, _as_it_travels(value, client))
        for name, value in wanted.items()
    )


def _as_it_travels(value: object, client: Client) -> object:
    """Return a value as it is read by whoever knows no more than the format."""
    try:
        return client.codec.loads(client.codec.dumps(value), None, object)
    except CannotEncode:
        return value


def _failure(name: str, wanted: Mapping[str, object], waiting: list[Task], client: Client) -> str:
    shown = [
        f"{task.name}({_shown(task, client)}) in {task.queue}, {task.state}" for task in waiting
    ]
    head = f"{name}({_spelled(wanted)}) was not enqueued. What is waiting:"
    return "\n  ".join([head, *(shown or ["nothing at all"])])


def _shown(task: Task, client: Client) -> str:
    try:
        return _spelled(_arguments(task, client))
    except CannotDecode:
        return f"{task.spec.payload[:SHOWN]!r}"


def _spelled(arguments: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
