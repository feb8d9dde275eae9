"""What a task came from, as it travels in its headers: a task, a group or a tick.

A header, as most tasks come from nothing that is stored, and so take no room for it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from attrs import evolve

from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.periodic.tick import tick_in
from qcore.domain.record import record

ORIGIN: Final = "qcore-origin"
"""The header that has it: its kind, a queue, and what it is there, with blanks between them."""
MAX_DIGITS: Final = 9
"""Of the number of a group's members."""


class OriginKind(StrEnum):
    """How a task came about."""

    AFTER = "after"
    """Another task has ended: this is its follow-up, the next step of its chain, or tells of it."""
    AGAIN = "again"
    """An operator has enqueued a task that had ended once more."""
    GROUP = "group"
    """Tasks of a group became this one."""
    TICK = "tick"
    """An entry of a periodic task has ticked."""


_OF_TASKS: Final = (OriginKind.AFTER, OriginKind.AGAIN)


@record
class Origin:
    """What a task came from."""

    kind: OriginKind
    queue: str
    name: str
    """The id of the task, or the name of the group or of the entry."""
    members: int = 0
    """How many tasks of the group it was."""

    @property
    def task(self) -> TaskId | None:
        """Return the id of the task that it came from; None of a group or a tick."""
        return self.name if self.kind in _OF_TASKS else None


def with_origin(task: NewTask, origin: Origin) -> NewTask:
    """Return a task that tells what it came from."""
    name = f"{origin.members} {origin.name}" if origin.kind is OriginKind.GROUP else origin.name
    text = f"{origin.kind} {origin.queue} {name}"
    return evolve(task, headers={**task.headers, ORIGIN: text})


def following(task: NewTask, predecessor: NewTask) -> NewTask:
    """Return a task that is enqueued as another has ended."""
    return with_origin(task, Origin(OriginKind.AFTER, predecessor.queue, predecessor.id))


def origin_in(headers: Mapping[str, str], queue: str) -> Origin | None:
    """Return what a task of a queue came from; None where its headers tell of nothing."""
    text = headers.get(ORIGIN)
    if text is None:
        tick = tick_in(headers)
        return None if tick is None else Origin(OriginKind.TICK, queue, tick.entry)
    # neither a kind nor a queue has a blank
    kind, _, rest = text.partition(" ")
    where, _, name = rest.partition(" ")
    if kind == OriginKind.GROUP:
        members, _, name = name.partition(" ")
        if not (members.isascii() and members.isdigit()) or len(members) > MAX_DIGITS:
            return None
        return Origin(OriginKind.GROUP, where, name, int(members)) if where and name else None
    if kind not in _OF_TASKS or not where or not name:
        # a header of somebody's own
        return None
    return Origin(OriginKind(kind), where, name)
