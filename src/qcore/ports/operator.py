"""What an inspector needs of a broker: to look at tasks, and to move them."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.lifecycle import Command, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.run_details import Details
from qcore.domain.task import Task
from qcore.ports.listener import Listener, Told


@record
class Page:
    """Some tasks of a longer list; `cursor` asks for those after them, None at the end."""

    tasks: Sequence[Task]
    cursor: str | None = None


Counts: TypeAlias = Mapping[str, Mapping[State, int]]
"""Queue to state to the number of tasks, states with none left out."""


class Operator(Protocol):
    """What an inspector needs."""

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks as they are.

        - Each answer is at its id's place, None for one that is not stored in this queue.
        """
        ...

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state, page by page.

        - Pending ones in the order of claiming, scheduled and retrying ones by moment due,
          active ones by the end of their lease, ended ones with the latest first.
        - At most `limit`; every task that stays in its state through all pages is in exactly one.
        """
        ...

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        """Return what is kept of the runs of tasks.

        - Each answer is at its id's place, None for a task that is not stored in this queue.
        - The last ten errors, the oldest first: each with its moment, its attempt, and the worker
          and the traceback that the verdict named. A lease that ran out is one of them.
        - The last progress and the last saved work, whatever became of the run.
        - All of it is kept until the task is gone, or another takes its id.
        """
        ...

    async def follow(self, queues: Sequence[str], told: Told) -> "Listener":
        """Call `told` whenever tasks of these queues have news.

        - When a task of these queues is completed, archived or dead, by a verdict, an order or the
          time, or when its progress was noted, `told` is called with the queue and its id: in the
          same process at once, from another process within the broker's own delay.
        - It may be called with no ids, when any may have news, as after a disturbance; once too
          often; from any thread; and of a task that is gone not at all.
        - After `close`, it is not called again.
        """
        ...

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any.

        - Exactly, by state.
        """
        ...

    async def execute(
        self, queue: str, ids: Sequence[TaskId], order: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out an operator's order on tasks of one queue.

        - Each answer is at its id's place: `Moved` with the new state; `NotAllowed` with the
          state, where the table has no such move; `Missing` where there is no such task.
        - `RunNow` makes a task pending and due now, behind those pending, with no failures, no
          crashes, no error, no result and no expiry.
        - `Archived` and `Cancelled` keep it as archived or dead, with the reason.
        - `Cancelled` ends the lease of an active task: its worker's verdict is `LeaseLost`.
        - `Deleted` leaves nothing of it.
        - `Rescheduled` makes it due at its moment, later or earlier, in its state: one that was
          pending or aggregating is scheduled.
        - `Updated` changes what was asked for, and leaves the task where it is; a pending one of
          another priority goes behind those of that priority.
        """
        ...
