"""Move tasks to another queue, so that a crash between any two steps loses and doubles nothing.

Theory of operation. Two queues may lie on two servers of a cluster, so that no step reaches both. A
task therefore goes in four, and in each of them at most one of its copies can be run:

1. It is archived where it is, with a reason that says whence, whereto and what it was: its *mark*.
   What has ended already stays as it is, as nobody runs it.
2. It is restored where it goes, archived with the same mark.
3. It is deleted where it was.
4. It is restored where it is as what it was, over its mark.

Whoever stops in between leaves an archived task, or two, whose mark has all that it takes to go
on. To give the order again does so: for the task in its old queue or, from the third step on, in
its new one. The mark is compared in the step that replaces it: what has gone on is left alone.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from attrs import evolve

from qcore.domain.answers import Conflict, Duplicate, Missing, Moved, NotAllowed
from qcore.domain.audit import MAX_AUDIT, MAX_BY, MOVE, AuditRecord, reason_given
from qcore.domain.moments import Moment
from qcore.domain.new_task import FIELDS, TaskId
from qcore.domain.record import record
from qcore.domain.run_details import NO_DETAILS, Details
from qcore.domain.snapshots import TaskSnapshot, in_queue
from qcore.domain.states import ACTIVE, ENDED, GONE, PENDING, State
from qcore.domain.task import Task
from qcore.domain.task_error import MOVING, own_error
from qcore.domain.text import one_line
from qcore.domain.transitions import Archived, Deleted
from qcore.ports import Broker

MoveAnswer: TypeAlias = Moved | NotAllowed | Missing | Conflict | Duplicate
"""What became of a task that was to be moved. `Moved` has its state in its new queue. With a
`Conflict` its id is taken there, and it stays where it was. With a `Duplicate` its unique key is:
it stays archived in its new queue, and to move it there again tries that again."""

STEP: Final = 100
"""Tasks that are on their way at a time: as many as a broker stores in one step."""
MOVABLE: Final = frozenset(State) - {ACTIVE, GONE}
"""The states from which a task can be moved."""

_MARK: Final = re.compile(
    MOVING + r"(\S+) to (\S+) \(([a-z]+)(?: since ([0-9.e+-]+))?\)(?:: (.*))?", re.DOTALL
)


@record
class MoveTo:
    """Order to move tasks to another queue."""

    queue: str
    by: str | None = None
    """Who gives it; None for somebody who is not recorded."""
    reason: str | None = None

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidTask` for what is no queue's name."""
        FIELDS["queue"].check("queue", self.queue)

    @property
    def detail(self) -> str:
        """Return where tasks go, as their audit trail has it."""
        return f"to {self.queue}"


@record
class Mark:
    """Why a task on its way is archived: whence, whereto, and what it was."""

    origin: str
    to: str
    state: State
    error: str | None
    finished: Moment | None

    def __str__(self) -> str:
        since = "" if self.finished is None else f" since {self.finished!r}"
        error = "" if self.error is None else f": {self.error}"
        return f"{MOVING}{self.origin} to {self.to} ({self.state}{since}){error}"


def mark_of(task: Task) -> Mark | None:
    """Return the mark of a task that is on its way, None for any other."""
    found = _MARK.fullmatch(task.error or "") if task.state is State.ARCHIVED else None
    if found is None or found[3] not in MOVABLE:
        return None
    finished = None if found[4] is None else float(found[4])
    return Mark(found[1], found[2], State(found[3]), found[5], finished)


def may_go(task: Task, to: str) -> bool:
    """Return whether a task can be moved to a queue: it is in another, or has half arrived."""
    mark = mark_of(task)
    return task.queue != to if mark is None else mark.to == to


@record
class _Transit:
    """A task on its way, with its mark."""

    task: Task
    details: Details
    mark: Mark

    def archived(self, now: Moment) -> TaskSnapshot:
        """Return it as it is kept where it goes until it is nowhere else."""
        return self._as(self.mark.to, State.ARCHIVED, str(self.mark), now)

    def restored(self, queue: str, now: Moment) -> TaskSnapshot:
        """Return it as what it was, in a queue."""
        state, error = self.mark.state, self.mark.error
        if state is PENDING and self.task.due > now:
            # it has run between being seen and being archived, and is to run again later
            last = self.details.errors[-1] if self.details.errors else None
            has_failed = last is not None and last.attempt == self.task.attempts
            state = State.RETRY if has_failed else State.SCHEDULED
            error = own_error(last.error) if last is not None and has_failed else error
        return self._as(queue, state, error, self.mark.finished)

    def _as(
        self, queue: str, state: State, error: str | None, finished: Moment | None
    ) -> TaskSnapshot:
        made = evolve(in_queue(self.task, queue), state=state, error=error, finished=finished)
        return TaskSnapshot(made, self.details)


async def move_to(
    broker: Broker, queue: str, ids: Sequence[TaskId], order: MoveTo, *, now: Moment
) -> list[MoveAnswer]:
    """Move tasks of one queue to another; return what became of each, in the order given."""
    wanted = list(dict.fromkeys(ids))
    answers: dict[TaskId, MoveAnswer] = {}
    for start in range(0, len(wanted), STEP):
        step = _Step(broker, queue, order, now)
        answers.update(await step.carry_out(wanted[start : start + STEP]))
    return [answers[each] for each in ids]


class _Step:
    """One batch of tasks, each of which goes as far as it can."""

    def __init__(self, broker: Broker, queue: str, order: MoveTo, now: Moment) -> None:
        self._broker = broker
        self._queue = queue
        self._order = order
        self._to = order.queue
        self._now = now
        self._answers: dict[TaskId, MoveAnswer] = {}

    async def carry_out(self, ids: Sequence[TaskId]) -> dict[TaskId, MoveAnswer]:
        """Move tasks, from where an earlier order may have left them."""
        found = await self._read(self._queue, ids)
        here, arrived = await self._sorted(ids, found)
        here = await self._parked(here)
        here = await self._copied(here)
        arrived += await self._deleted(here)
        await self._release(arrived)
        return self._answers

    async def _read(self, queue: str, ids: Iterable[TaskId]) -> dict[TaskId, tuple[Task, Details]]:
        wanted = list(ids)
        tasks = await self._broker.get(queue, wanted)
        details = await self._broker.details(queue, wanted)
        pairs = zip(tasks, details, strict=True)
        return {task.id: (task, kept or NO_DETAILS) for task, kept in pairs if task is not None}

    async def _sorted(
        self, ids: Sequence[TaskId], found: dict[TaskId, tuple[Task, Details]]
    ) -> tuple[list[_Transit], list[_Transit]]:
        """Return those that are to leave, and those that only have to be what they were again."""
        leaving: list[_Transit] = []
        half_arrived: list[_Transit] = []
        missing = [each for each in ids if each not in found]
        there = await self._read(self._to, missing) if missing and self._to != self._queue else {}
        for each in ids:
            task, details = found.get(each) or there.get(each) or (None, NO_DETAILS)
            mark = None if task is None else mark_of(task)
            if task is None or (each not in found and (mark is None or mark.origin != self._queue)):
                self._answers[each] = Missing()
            elif mark is not None and (mark.to != self._to):
                # it is on its way to another queue, to which it has to be moved first
                self._answers[each] = NotAllowed(task.state)
            elif mark is not None and task.queue == self._to:
                half_arrived.append(_Transit(task, details, mark))
            elif mark is not None:
                leaving.append(_Transit(task, details, mark))
            elif task.queue == self._to or task.state not in MOVABLE:
                self._answers[each] = NotAllowed(task.state)
            else:
                finished = task.finished
                mark = Mark(self._queue, self._to, task.state, task.error, finished)
                leaving.append(_Transit(task, details, mark))
        await self._delete_origins(half_arrived)
        return leaving, half_arrived

    async def _delete_origins(self, arrived: Sequence[_Transit]) -> None:
        """Delete what an order that was stopped in between has left of tasks where they were."""
        for origin, group in groupby(arrived, key=lambda each: each.mark.origin):
            copies = list(group)
            left = await self._read(origin, [each.task.id for each in copies])
            ids = [
                each.task.id
                for each in copies
                if each.task.id in left and _is_origin(left[each.task.id][0], each)
            ]
            if ids:
                await self._broker.execute(origin, ids, Deleted(), now=self._now)

    async def _parked(self, leaving: Sequence[_Transit]) -> list[_Transit]:
        """Archive those that may be run; return those that nobody runs any more."""
        answers: dict[TaskId, MoveAnswer] = {}
        live = [each for each in leaving if each.task.state not in ENDED]
        for mark, group in groupby(live, key=lambda each: each.mark):
            ids = [each.task.id for each in group]
            order = Archived(str(mark))
            given = await self._broker.execute(self._queue, ids, order, now=self._now)
            answers.update(zip(ids, given, strict=True))
        stopped = [
            each for each in leaving if isinstance(answers.get(each.task.id, Moved(ACTIVE)), Moved)
        ]
        self._answers.update(
            {task: answer for task, answer in answers.items() if not isinstance(answer, Moved)}
        )
        # read again: one that has run in between has another past than was seen
        again = await self._read(self._queue, [each.task.id for each in stopped])
        return [
            _Transit(*again[each.task.id], each.mark)
            for each in stopped
            if self._is_there(each, again)
        ]

    def _recorded(self, transit: _Transit) -> _Transit:
        """Return a task on its way, whose audit trail says who moves it where."""
        order = self._order
        if order.by is None:
            return transit
        by, why = one_line(order.by, MAX_BY), reason_given(order)
        made = AuditRecord(self._now, MOVE, by, why, order.detail)
        audit = (*transit.details.audit, made)[-MAX_AUDIT:]
        return evolve(transit, details=evolve(transit.details, audit=audit))

    def _is_there(self, transit: _Transit, found: dict[TaskId, tuple[Task, Details]]) -> bool:
        if transit.task.id in found:
            return True
        self._answers[transit.task.id] = Missing()
        return False

    async def _copied(self, parked: Sequence[_Transit]) -> list[_Transit]:
        """Restore tasks where they go, archived; return those that are there now."""
        if not parked:
            return []
        recorded = [self._recorded(each) for each in parked]
        copies = [each.archived(self._now) for each in recorded]
        answers = await self._broker.restore(copies, now=self._now)
        taken = {
            each.task.id: answer
            for each, answer in zip(parked, answers, strict=True)
            if isinstance(answer, Conflict)
        }
        there = await self._read(self._to, taken) if taken else {}
        copied: list[_Transit] = []
        for each, to_go in zip(parked, recorded, strict=True):
            conflict = taken.get(each.task.id)
            if conflict is None or _is_on_its_way(there.get(each.task.id, (None,))[0], each):
                copied.append(to_go)
            else:
                self._answers[each.task.id] = conflict
                await self._put_back(each)
        return copied

    async def _put_back(self, transit: _Transit) -> None:
        """Make a task what it was where it is, as there is no place for it where it was to go."""
        back = transit.restored(self._queue, self._now)
        await self._broker.restore([back], now=self._now, over=str(transit.mark))

    async def _deleted(self, copied: Sequence[_Transit]) -> list[_Transit]:
        """Delete tasks where they were; return those that are only where they go."""
        if not copied:
            return []
        ids = [each.task.id for each in copied]
        answers = await self._broker.execute(self._queue, ids, Deleted(), now=self._now)
        gone: list[_Transit] = []
        for each, answer in zip(copied, answers, strict=True):
            if isinstance(answer, NotAllowed):
                # somebody has run it by hand in between: it is where it was, and only there
                self._answers[each.task.id] = answer
                await self._broker.execute(self._to, [each.task.id], Deleted(), now=self._now)
            else:
                gone.append(each)
        return gone

    async def _release(self, arrived: Sequence[_Transit]) -> None:
        """Make tasks what they were, where they are now."""
        for mark, group in groupby(arrived, key=lambda each: each.mark):
            snapshots = [each.restored(self._to, self._now) for each in group]
            answers = await self._broker.restore(snapshots, now=self._now, over=str(mark))
            for snapshot, answer in zip(snapshots, answers, strict=True):
                if isinstance(answer, Duplicate):
                    self._answers[snapshot.task.id] = answer
                    continue
                # with a conflict, another who gave this order was faster
                self._answers[snapshot.task.id] = Moved(answer.state)


def _is_on_its_way(task: Task | None, transit: _Transit) -> bool:
    """Return whether what lies under a task's id elsewhere is that very task, archived there."""
    return task is not None and (task.created, mark_of(task)) == (
        transit.task.created,
        transit.mark,
    )


def _is_origin(task: Task, transit: _Transit) -> bool:
    """Return whether what lies where a task was is that very task, which has left already."""
    if _is_on_its_way(task, transit):
        return True
    # what had ended was not marked there
    was = transit.task.created, transit.mark.state, transit.mark.error, transit.mark.finished
    return task.state in ENDED and (task.created, task.state, task.error, task.finished) == was
