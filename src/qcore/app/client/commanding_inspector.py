"""The commands of an inspector: move tasks by their ids, or all of a state."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final, Unpack

from qcore.app.calls.options import Changes
from qcore.app.client.changes import (
    changes_of,
    is_as,
    is_discarded,
    keep_reserved,
    own_changes,
    parts_of,
    reschedule_to,
)
from qcore.app.client.moving import MoveAnswer, MoveTo, move_to
from qcore.app.client.reading_inspector import ReadingInspector
from qcore.app.client.selection import (
    TaskFilter,
    checked_filter,
    one_queue,
    predicate_of,
    several_ids,
)
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.moments import Duration, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Command,
    Deleted,
    Discarded,
    RunNow,
)

BATCH: Final = 500
"""Tasks that are read, and moved, in one call to the broker."""
A_MOMENT: Final = 0.001
"""Seconds."""


class CommandingInspector(ReadingInspector):
    """The part of an inspector that moves tasks by hand.

    Each method takes `by`, who gives the command, and the `reason`. The tasks keep both in their
    audit trail, and instruments are told of them, with an `Operated`.
    """

    async def run_now(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Make tasks pending at once, with fresh budgets."""
        return await self._execute(queue, tasks, RunNow(), by, reason)

    async def archive(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Archive tasks: they are kept, and do not run."""
        return await self._execute(queue, tasks, Archived(), by, reason)

    async def cancel(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """End tasks as dead; one that runs loses its lease, and its handler is cancelled."""
        return await self._execute(queue, tasks, Cancelled(), by, reason)

    async def discard(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Set tasks aside that nobody runs: `bring_back` undoes it while archived ones are kept."""
        return await self._execute(queue, tasks, Discarded(), by, reason)

    async def bring_back(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Take discarded tasks back to the state in which they were, due when they were.

        An archived one that was not discarded stays archived.
        """
        return await self._execute(queue, tasks, BroughtBack(), by, reason)

    async def delete(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Remove tasks that nobody runs."""
        return await self._execute(queue, tasks, Deleted(), by, reason)

    async def reschedule(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        at: datetime | Moment | None = None,
        delay: Duration | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Make tasks due at a moment, or after a delay, earlier or later than they were."""
        queue, tasks = one_queue(queue), several_ids(tasks)
        await self._open()
        command = reschedule_to(at, delay, self._clock.now())
        return await self._execute(queue, tasks, command, by, reason)

    async def move_to(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        to: str,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[MoveAnswer]:
        """Move tasks that do not run to another queue, where each is as it was.

        In steps that a crash may part: then a task is archived, with a reason that begins with
        "moving from", and to move it again finishes that. Raises `InvalidTask` for what is no name
        of a queue.
        """
        queue, ids = one_queue(queue), several_ids(tasks)
        order = self._auditor.attribute(MoveTo(to), by, reason)
        await self._open()
        now = self._clock.now()
        answers = await move_to(self._writer, queue, ids, order, now=now)
        moved = [task for task, it in zip(ids, answers, strict=True) if isinstance(it, Moved)]
        self._auditor.tell_of_tasks(queue, moved, order, now)
        return answers

    async def update(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
        **changes: Unpack[Changes],
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Change options of tasks that do not run, and leave them where they are.

        Raises `InvalidTask` for a value that is wrong. For new arguments see `Handle.update`.
        """
        queue, tasks, changes = one_queue(queue), several_ids(tasks), own_changes(changes)
        await self._open()
        command = changes_of(changes, self._clock.now())
        if "headers" not in changes:
            return await self._execute(queue, tasks, command, by, reason)
        answers: list[Moved | NotAllowed | Missing] = []
        for each, task in zip(tasks, await self._broker.get(queue, tasks), strict=True):
            own = command if task is None else keep_reserved(command, task.spec)
            answers += await self._execute(queue, [each], own, by, reason)
        return answers

    async def run_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Make all selected tasks pending at once; return how many."""
        return await self._execute_all(RunNow(), selected, by, reason)

    async def archive_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Archive all selected tasks; return how many."""
        return await self._execute_all(Archived(), selected, by, reason)

    async def cancel_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Cancel all selected tasks; return how many. One that began to run meanwhile ends too."""
        return await self._execute_all(Cancelled(), selected, by, reason)

    async def discard_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Discard all selected tasks that do not run; return how many."""
        return await self._execute_all(Discarded(), selected, by, reason, is_discarded)

    async def bring_back_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Bring back all selected tasks that were discarded; return how many.

        They are archived: with any other state that is none.
        """
        return await self._execute_all(
            BroughtBack(), selected, by, reason, lambda task: not is_discarded(task)
        )

    async def delete_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Delete all selected tasks that do not run; return how many."""
        return await self._execute_all(Deleted(), selected, by, reason)

    async def reschedule_all(
        self,
        *,
        at: datetime | Moment | None = None,
        delay: Duration | None = None,
        by: str | None = None,
        reason: str | None = None,
        **selected: Unpack[TaskFilter],
    ) -> int:
        """Make all selected tasks due at a moment, or after a delay; return how many were moved."""
        selected = checked_filter(selected)
        await self._open()
        command = reschedule_to(at, delay, self._clock.now())
        waits = selected["state"] in {State.SCHEDULED, State.RETRY}
        # a task that was moved may come again on a later page
        return await self._execute_all(
            command, selected, by, reason, lambda t: waits and _is_due(t, command.at)
        )

    async def update_all(
        self,
        changes: Changes,
        *,
        by: str | None = None,
        reason: str | None = None,
        **selected: Unpack[TaskFilter],
    ) -> int:
        """Change options of all selected tasks that do not run; return how many were changed.

        `changes` are as those of `update`: `update_all({"priority": 5}, state=…)`.
        """
        selected, changes = checked_filter(selected), own_changes(changes)
        await self._open()
        command = changes_of(changes, self._clock.now())
        return await self._execute_all(command, selected, by, reason, lambda t: is_as(t, command))

    async def _execute_all(
        self,
        command: Command,
        selected: TaskFilter,
        by: str | None,
        reason: str | None,
        is_done: Callable[[Task], bool] = lambda _: False,
    ) -> int:
        moved = 0
        async for queue, found in self._found(selected):
            tasks = [task for task in found if not is_done(task)]
            for part, ids in parts_of(command, tasks):
                answers = await self._execute(queue, ids, part, by, reason)
                moved += sum(isinstance(answer, Moved) for answer in answers)
        return moved

    async def _found(self, selected: TaskFilter) -> AsyncIterator[tuple[str, Sequence[Task]]]:
        """Yield the selected tasks, in batches of at most what one call moves."""
        selected = checked_filter(selected)
        await self._open()
        fits = predicate_of(selected, self._clock.now())
        queue = selected.get("queue")
        queues = [*await self._broker.count()] if queue is None else [queue]
        for name in queues:
            cursor: str | None = None
            while True:
                page = await self._broker.browse(name, selected["state"], BATCH, cursor=cursor)
                if tasks := [task for task in page.tasks if fits(task)]:
                    yield name, tasks
                if (cursor := page.cursor) is None:
                    break

    async def _execute(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        command: Command,
        by: str | None,
        reason: str | None,
    ) -> Sequence[Moved | NotAllowed | Missing]:
        queue, ids = one_queue(queue), several_ids(tasks)
        command = self._auditor.attribute(command, by, reason)
        await self._open()
        now = self._clock.now()
        answers = await self._broker.execute(queue, ids, command, now=now)
        moved = [task for task, it in zip(ids, answers, strict=True) if isinstance(it, Moved)]
        self._auditor.tell_of_tasks(queue, moved, command, now)
        return answers


def _is_due(task: Task, moment: Moment) -> bool:
    # a store may keep no more than milliseconds
    return abs(task.due - moment) < A_MOMENT
