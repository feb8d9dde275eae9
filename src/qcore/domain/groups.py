"""Tasks that wait to become one."""

from collections.abc import Sequence
from typing import Final

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.record import record

MAX_MEMBERS: Final = 1_000
"""Tasks that can be aggregated into one."""


@record
class Group:
    """Tasks of one queue and group that wait to be aggregated."""

    queue: str
    name: str
    size: int
    first: Moment
    """When the first of them joined: when it was due."""
    last: Moment
    """When the last of them did."""


@record
class Stale:
    """Not all of them wait in the group any more: somebody was faster. Nothing was written."""


def check_aggregate(queue: str, ids: Sequence[TaskId], task: NewTask) -> None:
    """Raise `InvalidTask` for a task that cannot take the place of members of a queue's group."""
    if len(ids) > MAX_MEMBERS:
        raise InvalidTask(f"{len(ids):,} tasks for one: expected at most {MAX_MEMBERS:,}")
    if task.queue != queue:
        raise InvalidTask(
            f"{task.name} is for the queue {task.queue!r}: expected that of its members, {queue!r}"
        )
    if task.group is not None:
        raise InvalidTask(f"{task.name} has the group {task.group!r}: expected none")
