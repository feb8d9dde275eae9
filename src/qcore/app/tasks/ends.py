"""End hooks: functions that are called once a task has ended, as tasks of their own.

A hook is a handler. The task that calls it is enqueued in the very step of the verdict, or by a
look at what has ended without one, so that no worker that dies in between loses the call; and it is
retried as any task is.
"""

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from inspect import Parameter, signature
from typing import Any, Final, TypeAlias, cast

from attrs import field

from qcore.app.calls.call import Call
from qcore.app.calls.chain_steps import CHAIN_HEADERS
from qcore.app.calls.name_patterns import best_match
from qcore.app.tasks.handler import Handler
from qcore.domain.errors import InvalidOption
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Moment
from qcore.domain.new_task import KEEP, TaskId
from qcore.domain.origin import ORIGIN
from qcore.domain.periodic.tick import TICK
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.text import shown

LOOK: Final = "qcore-ends:look"
"""The periodic task that looks for ends of which no verdict has told."""
PREFIX: Final = "on-end:"
"""How the name of a hook's task begins, within its router."""
END_STATES: Final = (State.COMPLETED, State.ARCHIVED, State.DEAD)
"""The states that a hook may be called for."""
REMEMBERED: Final = 3_600.0
"""Seconds for which the task of a hook is kept, so that the same end is not told again; of a
completed task nobody tells twice."""
OneOrMoreStates: TypeAlias = State | str | Collection[State | str]
_RESERVED: Final = (*CHAIN_HEADERS, TICK, ORIGIN)


@record
class Ended:
    """A task that has ended, as it was then."""

    id: TaskId
    name: str
    queue: str
    state: State
    """Completed, archived or dead; one that was completed may be gone already."""
    at: Moment
    """When it ended, in epoch seconds."""
    created: Moment
    error: str | None = None
    """What its last failure said, or why it is dead."""
    attempts: int = 0
    """Runs started."""
    failures: int = 0
    crashes: int = 0
    headers: Mapping[str, str] = field(factory=FrozenDict[str, str], hash=False)
    tags: tuple[str, ...] = ()


def ended(task: Task, state: State, at: Moment, error: str | None) -> Ended:
    """Return a task that has ended in a state."""
    spec = task.spec
    headers = {name: text for name, text in spec.headers.items() if name not in _RESERVED}
    return Ended(
        spec.id,
        spec.name,
        spec.queue,
        state,
        at,
        task.created,
        error,
        task.attempts,
        task.failures,
        task.crashes,
        headers,
        spec.tags,
    )


@record
class EndHook:
    """A handler that is called with tasks of some names that have ended in some states."""

    pattern: str
    states: frozenset[State]
    handler: Handler[Any, Any, Any]

    def takes(self, name: str, prefix: str) -> bool:
        """Return whether it is called for the tasks of a name; `prefix` is that of its router."""
        return best_match([f"{prefix}{self.pattern}"], name) is not None

    def call(self, task: Ended) -> Call[Any]:
        """Return the call of the handler for a task that has ended, to be enqueued once."""
        handler = self.handler
        return handler.using(
            task_id=_end_id(handler.name, task),
            queue=handler.options.get("queue", task.queue),
            on_conflict=KEEP,
            retention=0 if task.state is State.COMPLETED else REMEMBERED,
        ).call(task)


def end_states(states: object) -> frozenset[State]:
    """Return states that a hook is called for; raise `InvalidOption` for others."""
    several = cast("Collection[Any]", (states,) if isinstance(states, str) else states)
    try:
        found = frozenset(State(each) for each in several)
    except (TypeError, ValueError):
        found = frozenset[State]()
    if not found or not found.issubset(END_STATES):
        raise InvalidOption(
            f"states is {shown(states)}: expected one or several of 'completed', 'archived', 'dead'"
        )
    return found


def check_hook(function: Callable[..., Any], handler: Handler[Any, Any, Any]) -> None:
    """Raise `InvalidOption` for a handler that cannot be called with a task that has ended."""
    first = handler.signature.first
    if first is None or signature(function).parameters[first].annotation is Parameter.empty:
        raise InvalidOption(
            f"{shown(function)} is no end hook: expected a function (ctx, end: Ended), where Ended "
            "is that of qcore.tasks"
        )


def _end_id(hook: str, task: Ended) -> TaskId:
    """Return the id of what tells a hook of an end: the same whoever tells it.

    A task that is run again ends again, after another attempt.
    """
    words = ("end", hook, task.queue, task.id, repr(float(task.created)), str(task.attempts))
    return sha256("\0".join(words).encode()).hexdigest()[:32]
