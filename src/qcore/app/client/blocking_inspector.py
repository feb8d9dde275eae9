"""The inspector for code that blocks: the same coroutines, stepped inline."""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import TypeAlias, Unpack

from qcore.app.calls.options import Changes
from qcore.app.client.blocking_reading_inspector import BlockingReadingInspector
from qcore.app.client.bulk_moves import Move, MoveProgress
from qcore.app.client.inline import iterate_inline, run_inline
from qcore.app.client.moving import MoveAnswer
from qcore.app.client.queries import Query
from qcore.app.client.selection import TaskFilter
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.moments import Duration, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.queue_limits import Limits, Rate

Answers: TypeAlias = Sequence[Moved | NotAllowed | Missing]


class BlockingInspector(BlockingReadingInspector):
    """Ask a broker what it holds, and move tasks by hand, from code that blocks.

    Each method is that of `Inspector`, where it is described.
    """

    def move(
        self,
        query: Query | str,
        move: Move | Changes,
        *,
        as_of: datetime | Moment | None = None,
        limit: int | None = None,
        pace: float | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> Generator[MoveProgress, None, None]:
        """Move the tasks of a query in steps; see `Inspector.move`."""
        steps = self._inner.move(
            query, move, as_of=as_of, limit=limit, pace=pace, by=by, reason=reason
        )
        yield from iterate_inline(steps)

    def run_now(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """Make tasks pending at once, with fresh budgets."""
        return run_inline(self._inner.run_now(queue, tasks, by=by, reason=reason))

    def archive(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """Archive tasks: they are kept, and do not run."""
        return run_inline(self._inner.archive(queue, tasks, by=by, reason=reason))

    def cancel(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """End tasks as dead; see `Inspector.cancel`."""
        return run_inline(self._inner.cancel(queue, tasks, by=by, reason=reason))

    def discard(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """Set tasks aside, so that they can be brought back; see `Inspector.discard`."""
        return run_inline(self._inner.discard(queue, tasks, by=by, reason=reason))

    def bring_back(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """Take discarded tasks back to where they were; see `Inspector.bring_back`."""
        return run_inline(self._inner.bring_back(queue, tasks, by=by, reason=reason))

    def delete(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """Remove tasks that nobody runs."""
        return run_inline(self._inner.delete(queue, tasks, by=by, reason=reason))

    def reschedule(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        at: datetime | Moment | None = None,
        delay: Duration | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> Answers:
        """Make tasks due at a moment, or after a delay."""
        moving = self._inner.reschedule(queue, tasks, at=at, delay=delay, by=by, reason=reason)
        return run_inline(moving)

    def move_to(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        to: str,
        by: str | None = None,
        reason: str | None = None,
    ) -> Sequence[MoveAnswer]:
        """Move tasks that do not run to another queue; see `Inspector.move_to`."""
        return run_inline(self._inner.move_to(queue, tasks, to=to, by=by, reason=reason))

    def update(
        self,
        queue: str,
        tasks: Sequence[TaskId],
        *,
        by: str | None = None,
        reason: str | None = None,
        **changes: Unpack[Changes],
    ) -> Answers:
        """Change options of tasks that do not run; see `Inspector.update`."""
        return run_inline(self._inner.update(queue, tasks, by=by, reason=reason, **changes))

    def pause(self, queue: str, *, by: str | None = None, reason: str | None = None) -> Limits:
        """Hand out nothing of a queue to any worker; return its limits."""
        return run_inline(self._inner.pause(queue, by=by, reason=reason))

    def resume(self, queue: str, *, by: str | None = None, reason: str | None = None) -> Limits:
        """Hand out the tasks of a queue again; return its limits."""
        return run_inline(self._inner.resume(queue, by=by, reason=reason))

    def limit_rate(
        self,
        queue: str,
        rate: str | Rate | None,
        *,
        by: str | None = None,
        reason: str | None = None,
    ) -> Limits:
        """Start no more of a queue's tasks than so many in a time; see `Inspector.limit_rate`."""
        return run_inline(self._inner.limit_rate(queue, rate, by=by, reason=reason))

    def limit_in_flight(
        self, queue: str, most: int | None, *, by: str | None = None, reason: str | None = None
    ) -> Limits:
        """Run no more of a queue's tasks at a time; None for no limit."""
        return run_inline(self._inner.limit_in_flight(queue, most, by=by, reason=reason))

    def remove_queue(
        self,
        queue: str,
        *,
        force: bool = False,
        by: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Remove a queue; see `Inspector.remove_queue`."""
        return run_inline(self._inner.remove_queue(queue, force=force, by=by, reason=reason))

    def run_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Make all selected tasks pending at once; return how many."""
        return run_inline(self._inner.run_all(by=by, reason=reason, **selected))

    def archive_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Archive all selected tasks; return how many."""
        return run_inline(self._inner.archive_all(by=by, reason=reason, **selected))

    def cancel_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Cancel all selected tasks; return how many."""
        return run_inline(self._inner.cancel_all(by=by, reason=reason, **selected))

    def discard_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Discard all selected tasks that do not run; return how many."""
        return run_inline(self._inner.discard_all(by=by, reason=reason, **selected))

    def bring_back_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Bring back all selected tasks that were discarded; return how many."""
        return run_inline(self._inner.bring_back_all(by=by, reason=reason, **selected))

    def delete_all(
        self, *, by: str | None = None, reason: str | None = None, **selected: Unpack[TaskFilter]
    ) -> int:
        """Delete all selected tasks that do not run; return how many."""
        return run_inline(self._inner.delete_all(by=by, reason=reason, **selected))

    def reschedule_all(
        self,
        *,
        at: datetime | Moment | None = None,
        delay: Duration | None = None,
        by: str | None = None,
        reason: str | None = None,
        **selected: Unpack[TaskFilter],
    ) -> int:
        """Make all selected tasks due at a moment, or after a delay; return how many were moved."""
        moving = self._inner.reschedule_all(at=at, delay=delay, by=by, reason=reason, **selected)
        return run_inline(moving)

    def update_all(
        self,
        changes: Changes,
        *,
        by: str | None = None,
        reason: str | None = None,
        **selected: Unpack[TaskFilter],
    ) -> int:
        """Change options of all selected tasks that do not run; return how many were changed."""
        return run_inline(self._inner.update_all(changes, by=by, reason=reason, **selected))
