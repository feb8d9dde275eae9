"""Move many tasks by a query: first a preview, then steps that report and can be stopped."""

from collections.abc import AsyncGenerator, Sequence
from math import ceil, inf
from typing import Final, TypeAlias

from attrs import evolve

from qcore.app.calls.options import Changes
from qcore.app.client.auditing import Auditor
from qcore.app.client.changes import changes_of, is_as, is_discarded, own_changes, parts_of
from qcore.app.client.moving import MOVABLE, MoveAnswer, MoveTo, may_go, move_to
from qcore.app.client.qualifiers import STATE, ReadPayload
from qcore.app.client.queries import Query
from qcore.app.client.task_listing import most_reads, queues_of
from qcore.domain.answers import Conflict, Duplicate, Moved
from qcore.domain.errors import BrokerRefused, InvalidOption
from qcore.domain.lifecycle import MOVES
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.text import shown
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Deleted,
    Discarded,
    Rescheduled,
    RunNow,
    Updated,
)
from qcore.ports import Broker, Clock, Page

Move: TypeAlias = (
    RunNow
    | Archived
    | Cancelled
    | Discarded
    | BroughtBack
    | Deleted
    | Rescheduled
    | Updated
    | MoveTo
)
"""What can be ordered for many tasks."""

STEP: Final = 500
"""Tasks that are read, and moved, in one call to the broker."""
REPORT: Final = 1.0
"""Seconds after which one that keeps to a pace reports again."""
DEFAULT_LOOK: Final = 10_000
DEFAULT_SAMPLE: Final = 10
A_MOMENT: Final = 0.001
"""Seconds; a store may keep no more than milliseconds."""


@record
class MovePreview:
    """How many tasks a move would reach, and some of them; nothing was moved."""

    query: Query
    as_of: Moment
    """Give it to the run: what comes later is not touched then."""
    count: int
    looked: int
    sample: Sequence[Task]
    is_complete: bool = False
    """Whether all were looked at; else there may be more than `count`."""


@record
class MoveProgress:
    """How far a move of many has come."""

    done: int = 0
    skipped: int = 0
    """Found, but by the time of the order gone, or in a state that does not allow it."""
    failed: int = 0
    """Refused by the store, or by the queue to which it was to go: its id or key is taken there."""
    looked: int = 0
    is_finished: bool = False
    """Whether all tasks of the query were looked at; not so where `limit` was reached."""

    def __add__(self, more: "MoveProgress") -> "MoveProgress":
        """Return how far two moves have come together, neither of which is the last."""
        return MoveProgress(
            self.done + more.done,
            self.skipped + more.skipped,
            self.failed + more.failed,
            self.looked + more.looked,
        )


class BulkMove:
    """One order for all tasks of a query that there were at a moment."""

    def __init__(
        self,
        broker: Broker,
        query: Query,
        move: Move,
        *,
        read: ReadPayload,
        as_of: Moment,
        auditor: Auditor,
        writer: Broker | None = None,
    ) -> None:
        if not isinstance(move, Move):
            raise InvalidOption(
                f"the move is {shown(move)}: expected RunNow(), Archived(…), Cancelled(…), "
                "Discarded(), BroughtBack(), Deleted(), Rescheduled(…), MoveTo(…), or changes such "
                "as {'priority': 5}"
            )
        if not any(term.qualifier == STATE and not term.is_negated for term in query.terms):
            # completed tasks would run again, and nobody means all there are
            raise InvalidOption(
                f"the query is {str(query)!r}: expected one that names states, such as state:dead"
            )
        self._broker = broker
        self._writer = broker if writer is None else writer
        self._query = query
        self._move = move
        self._auditor = auditor
        self._as_of = as_of
        self._fits = query.predicate(as_of, read)
        self._states = [state for state in query.states() if _can_move(state, move)]

    async def preview(self, look: int, sample: int) -> MovePreview:
        """Count what would be moved, looking at no more than `look` tasks, in so many reads."""
        count = looked = reads = 0
        first: list[Task] = []
        places = await self._places()
        # each is read as far as the others, so that what is in one of them is found
        share = max(1, look // max(1, min(len(places), most_reads(look))))
        async for _, page in self._pages(places, min(STEP, share)):
            reads += 1
            if looked + len(page.tasks) > look or reads > most_reads(look):
                return MovePreview(self._query, self._as_of, count, looked, first)
            tasks = self._selected(page)
            count += len(tasks)
            looked += len(page.tasks)
            first += tasks[: sample - len(first)]
        return MovePreview(self._query, self._as_of, count, looked, first, is_complete=True)

    async def run(
        self, clock: Clock, *, limit: int | None, pace: float | None
    ) -> AsyncGenerator[MoveProgress, None]:
        """Give the order in steps, each for tasks that were just read; report after each."""
        so_far = MoveProgress()
        size = STEP if pace is None else min(STEP, ceil(pace))
        async for queue, page in self._pages(await self._places(), size):
            tasks = self._selected(page)[: None if limit is None else limit - so_far.done]
            step = await self._step(queue, tasks, clock.now())
            so_far += evolve(step, looked=len(page.tasks))
            yield so_far
            if so_far.done == limit:
                return
            if pace is not None and step.done:
                # the next tasks are read after it, so that their states are checked again
                left = step.done / pace
                while left > REPORT:
                    await clock.sleep(REPORT)
                    left -= REPORT
                    # whoever listens can stop it between two reports, and does not wait long
                    yield so_far
                await clock.sleep(left)
        yield evolve(so_far, is_finished=True)

    async def _step(self, queue: str, tasks: Sequence[Task], now: Moment) -> MoveProgress:
        step = MoveProgress()
        for command, ids in self._parts(tasks):
            step += await self._part(queue, ids, command, now)
        return step

    def _parts(self, tasks: Sequence[Task]) -> Sequence[tuple[Move, Sequence[TaskId]]]:
        if isinstance(self._move, MoveTo):
            return [(self._move, [task.id for task in tasks])] if tasks else []
        return parts_of(self._move, tasks)

    async def _part(
        self, queue: str, ids: Sequence[TaskId], command: Move, now: Moment
    ) -> MoveProgress:
        try:
            answers = await self._answers(queue, ids, command, now)
        except BrokerRefused:
            return MoveProgress(failed=len(ids))
        moved = [task for task, it in zip(ids, answers, strict=True) if isinstance(it, Moved)]
        self._auditor.tell_of_tasks(queue, moved, command, now)
        failed = sum(isinstance(answer, Conflict | Duplicate) for answer in answers)
        return MoveProgress(len(moved), len(ids) - len(moved) - failed, failed)

    async def _answers(
        self, queue: str, ids: Sequence[TaskId], command: Move, now: Moment
    ) -> Sequence[MoveAnswer]:
        if isinstance(command, MoveTo):
            return await move_to(self._writer, queue, ids, command, now=now)
        return await self._broker.execute(queue, ids, command, now=now)

    async def _places(self) -> Sequence[tuple[str, State]]:
        """Return the queues and states that may have tasks which the order can move."""
        queues = await queues_of(self._broker, self._query)
        return [
            (queue, state)
            for queue, held in queues.items()
            for state in self._states
            if state in held
        ]

    async def _pages(
        self, places: Sequence[tuple[str, State]], size: int
    ) -> AsyncGenerator[tuple[str, Page], None]:
        """Yield what there is in some places: a page of each, then the next of each."""
        cursors: dict[tuple[str, State], str | None] = dict.fromkeys(places)
        while cursors:
            following: dict[tuple[str, State], str | None] = {}
            for (queue, state), cursor in cursors.items():
                page = await self._broker.browse(queue, state, size, cursor=cursor)
                yield queue, page
                if page.cursor is not None:
                    following[queue, state] = page.cursor
            cursors = following

    def _selected(self, page: Page) -> list[Task]:
        return [task for task in page.tasks if self._is_older(task) and self._fits(task)]

    def _is_older(self, task: Task) -> bool:
        """Return whether it was where it is at the moment of the preview, as far as it tells."""
        if self._is_done(task):
            # one that was moved may come again on a later page
            return False
        if isinstance(self._move, MoveTo) and not may_go(task, self._move.queue):
            return False
        return task.created <= self._as_of and (task.finished or 0) <= self._as_of

    def _is_done(self, task: Task) -> bool:
        """Return whether the move would change nothing of a task."""
        match self._move:
            case Rescheduled(at):
                return abs(task.due - at) < A_MOMENT
            case Discarded():
                return is_discarded(task)
            case BroughtBack():
                return not is_discarded(task)
            case Updated():
                return is_as(task, self._move)
            case _:
                return False


def move_of(move: Move | Changes, now: Moment) -> Move:
    """Return a move; one that is given as new values of options is an `Updated`."""
    return changes_of(own_changes(move), now) if isinstance(move, dict) else move


def _can_move(state: State, move: Move) -> bool:
    return state in MOVABLE if isinstance(move, MoveTo) else type(move) in MOVES[state]


def tasks_a_second(pace: object) -> float:
    """Return a pace; raise `InvalidOption` for what is none."""
    if isinstance(pace, bool) or not isinstance(pace, int | float) or not 0 < pace < inf:
        raise InvalidOption(f"pace is {shown(pace)}: expected more than 0 tasks a second")
    return pace
