"""Build the commands that change a stored task: `Updated` and `Rescheduled`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from attrs import evolve

from qcore.app.calls.chain_steps import CHAIN_HEADERS
from qcore.app.calls.options import CLEARED_BY_NONE, Changes, Options, to_fields
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.domain.new_task import NewTask, TaskId, own_headers, own_tags
from qcore.domain.origin import ORIGIN
from qcore.domain.states import State
from qcore.domain.task import Task, changed, updated
from qcore.domain.task_error import former_of
from qcore.domain.transitions import Command, Rescheduled, Updated

_OWN: Final[Mapping[str, Callable[[Any], Any]]] = {"headers": own_headers, "tags": own_tags}
"""Options whose values can be changed, and what copies them."""

_RESERVED: Final = CHAIN_HEADERS | {ORIGIN}
"""Headers that are the queue's, whatever others a task is given."""


class ChangesWithArguments(Changes, total=False):
    """New values of options, and of the arguments, which a handle can check."""

    arguments: Mapping[str, Any]
    """All arguments by name; they are checked as those of `enqueue` are."""


def own_changes(changes: Changes) -> Changes:
    """Return a copy with copies of headers and tags: a caller may change its own meanwhile."""
    own: dict[str, Any] = dict(changes)
    own |= {name: copy(own[name]) for name, copy in _OWN.items() if name in own}
    return cast("Changes", own)


def changes_of(changes: Changes, now: Moment, **fields: Any) -> Updated:
    """Return the command for new values; raise `InvalidTask` for none, and for a wrong one."""
    given: dict[str, Any] = dict(changes)
    lifted = {name for name in CLEARED_BY_NONE & given.keys() if given[name] is None}
    options = {name: value for name, value in given.items() if name not in lifted}
    fields |= to_fields(cast("Options", options), now=now) | dict.fromkeys(lifted)
    if not fields:
        raise InvalidTask("nothing is to be changed: expected an option such as priority=…")
    if "due" in fields:
        raise InvalidTask("when it is due is no option to update: expected reschedule(at=…)")
    return updated(**fields)


def keep_reserved(command: Updated, task: NewTask) -> Updated:
    """Return a command that leaves in a task's headers its chain's later steps and its origin."""
    own = {name: text for name, text in task.headers.items() if name in _RESERVED}
    if not own or "headers" not in command.changes:
        return command
    headers = cast("Mapping[str, str]", command.changes["headers"])
    return evolve(command, changes={**command.changes, "headers": {**headers, **own}})


def parts_of(command: Command, tasks: Sequence[Task]) -> Sequence[tuple[Command, Sequence[TaskId]]]:
    """Return commands and their tasks: one for all, and its own for each task of a chain."""
    if not isinstance(command, Updated):
        return [(command, [task.id for task in tasks])] if tasks else []
    own = [(keep_reserved(command, task.spec), task.id) for task in tasks]
    plain = [task for each, task in own if each is command]
    parts: list[tuple[Command, Sequence[TaskId]]] = [(command, plain)] if plain else []
    return parts + [(each, [task]) for each, task in own if each is not command]


def is_as(task: Task, command: Updated) -> bool:
    """Return whether a task is already as a command would make it."""
    return changed(task.spec, keep_reserved(command, task.spec)) == task.spec


def is_discarded(task: Task) -> bool:
    """Return whether a task can be brought back."""
    return task.state is State.ARCHIVED and former_of(task.error)[0] is not None


def reschedule_to(at: datetime | Moment | None, delay: Duration | None, now: Moment) -> Rescheduled:
    """Return the command to run at a moment, or after a delay; raise `InvalidTask` for neither."""
    if at is not None and delay is None:
        return Rescheduled(moment_of(at, "at"))
    if delay is not None and at is None:
        return Rescheduled(moment_of(now + seconds_of(delay, "delay"), "delay"))
    raise InvalidTask("expected at=… or delay=…, and not both")
