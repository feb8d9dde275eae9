"""`Aggregating`: list groups of tasks, and put one task in the place of the members of one."""

from collections.abc import Sequence
from typing import Protocol, cast

from qcore.domain.answers import Admission
from qcore.domain.groups import Group, Stale
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.task import Task
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class Aggregating(Protocol):
    """What a broker with `Capability.GROUPS` has besides: groups of tasks that become one."""

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        """Return groups of a queue in which tasks wait, in the order of their names.

        - At most `limit`, those whose names come after `after` (by code points).
        - Each with the number of its members, and when the first and the last of them were due.
        """
        ...

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        """Return tasks that wait in a group, those due first before the others.

        - At most `limit`.
        """
        ...

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Put one task in the place of members of a group, in one step.

        - `Stale` unless all of `ids` wait in that group, and there is one at least; then nothing is
          written. So of two who aggregate the same members one does.
        - The task is admitted as by `enqueue` while its members are there; where that answers
          `Conflict` or `Duplicate`, so does this, and nothing is written.
        - Else the members are gone, and their unique keys free; others of the group stay.
        - `task` is of the same queue and of no group, and there are at most 1,000 ids.
        """
        ...


def aggregating_of(broker: Producer) -> Aggregating | None:
    """Return a broker as one that can aggregate groups; None where it declares that it cannot."""
    return cast("Aggregating", broker) if Capability.GROUPS in broker.capabilities else None
