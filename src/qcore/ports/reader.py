"""`Reader`: what a task's handle needs of a broker, to read a task and to learn of changes."""

from collections.abc import Sequence
from typing import Protocol

from qcore.domain.new_task import TaskId
from qcore.domain.run_details import Details
from qcore.domain.task import Task
from qcore.ports.subscription import Notifier


class Reader(Notifier, Protocol):
    """What a task's handle needs of a broker."""

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks as they are.

        - Each answer is at its id's place, None for one that is not stored in this queue.
        """
        ...

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return what is kept of the runs of tasks, and of what operators did to them.

        - Each answer is at its id's place, None for a task that is not stored in this queue.
        - The last ten errors, the oldest first: each with its moment, its attempt, and the worker,
          the traceback and the version that the verdict named. A lease that ran out is one of them.
        - The last progress and the last saved work, whatever became of the run.
        - The last twenty records of its audit trail, the oldest first.
        - All of it is kept until the task is gone, or another takes its id.
        """
        ...
