"""`Operator`: what an inspector needs of a broker, to list, count and change tasks."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from qcore.domain.answers import (
    Missing,
    Moved,
    NotAllowed,
    QueueNotEmpty,
    QueueRemoved,
    Restoration,
)
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import Command


@record
class Page:
    """Some tasks of a longer list; `cursor` asks for those after them, None at the end."""

    tasks: Sequence[Task]
    cursor: str | None = None


Counts: TypeAlias = Mapping[str, Mapping[State, int]]
"""Queue to state to the number of tasks, states with none left out."""


class Operator(Protocol):
    """What an inspector needs of a broker, besides `Reader`."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state, page by page.

        - Pending ones in the order of claiming, scheduled and retrying ones by moment due,
          active ones by the end of their lease, ended ones with the latest first.
        - At most `limit`; every task that stays in its state through all pages is in exactly one.
        - A state may be given as its text; what is no state is an `InvalidOption`.
        """
        ...

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any.

        - Exactly, by state.
        """
        ...

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        """Return since when the task of each queue that has waited longest could have been run.

        - Each answer is at its queue's place: when the earliest of its tasks was due that is
          pending, or is scheduled or in retry and due by `now`; None where there is none.
        - Whatever its priority: of each priority the pending task that is claimed first counts, of
          at least a hundred priorities, the highest first.
        """
        ...

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out an operator's command on tasks of one queue.

        - Each answer is at its id's place: `Moved` with the new state; `NotAllowed` with the
          state, where the table has no such move; `Missing` where there is no such task.
        - `RunNow` makes a task pending and due now, behind those pending, with no failures, no
          crashes, no error, no result and no expiry.
        - `Archived` and `Cancelled` keep it as archived or dead, with the reason.
        - `Discarded` keeps it as archived, with an error that says so, and in which state it was.
        - `BroughtBack` takes what was discarded back to that state, to its place there and to the
          error that it had; any other archived task stays archived.
        - `Cancelled` ends the lease of an active task: its worker's verdict is `LeaseLost`.
        - `Deleted` leaves nothing of it.
        - `Rescheduled` makes it due at its moment, later or earlier, in its state: one that was
          pending or aggregating is scheduled.
        - `Updated` changes what was asked for, and leaves the task where it is; a pending one of
          another priority goes behind those of that priority.
        - Everything else of a task stays as it was, also the details of its runs.
        - A command that says `by` whom it is adds an `AuditRecord` to the details of each task
          that it has moved, in the same step; one that does not say so adds none.
        """
        ...

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        """Store tasks as they were, rather than as they are asked for.

        - Each answer is at its snapshot's place: `Restored` with its state, `Conflict` or
          `Duplicate`.
        - All that the snapshot shows comes back unchanged, whatever its state: what was asked for,
          moments, counts, error, result, and the details of its runs.
        - One that was active is pending, and nobody has a lease of it: the attempt that was under
          way stays counted, and is neither a failure nor a crash.
        - Pending ones come behind those pending of their priority, in the order given; all others
          are where their moments put them.
        - Its moments hold: what is due is handed out by the next claim, what has passed its
          `expires` is not, and what was kept long enough is gone with the next sweep.
        - An id that is stored in its queue, in whatever state, is a `Conflict` that names the state
          and writes nothing; the others of the batch go in. So to restore again changes nothing,
          and of the same id twice in one batch the first goes in.
        - With `over`, a task of its id that is archived or dead, with this very text as its error,
          is replaced, with nothing left of it. Of an id twice in one batch the second replaces
          nothing.

        And with `Capability.UNIQUE`:

        - A task that has not ended takes its `unique_key`, for `unique_for` seconds from when it
          was created; where that time is over it goes in without. A key that a live task has is
          answered with `Duplicate`, whatever `on_duplicate` says, and nothing is written.
        - A successor waits again for the end of the task that has its key, unless that has another
          one, which is a `Duplicate`. Where no task has the key it takes that, and is due at the
          moment that was asked for.

        And with `Capability.GROUPS`:

        - One that was aggregating waits in its group again.
        """
        ...

    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
        """Remove a queue that has no tasks.

        - One that has tasks, in whatever state, is answered with `QueueNotEmpty`, and stays as it
          is with its limits.
        - Nothing is left of any other: no limit and no name. So it is answered with `QueueRemoved`,
          and so is a queue that never was.
        - A later queue of that name begins anew, but its tokens are greater than any that the
          removed one has given.
        """
        ...
