"""What becomes of tasks that a store has read, and is about to write: decided for many at once.

For stores that read tasks, decide, and write them in one transaction, such as databases. One that
decides elsewhere, such as in a script of its server, goes by `effects` and `lifecycle` alone.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from attrs import define

from qcore.domain.answers import LeaseLost, Missing, Moved, NotAllowed, Settled
from qcore.domain.crash_isolation import room_beside
from qcore.domain.lifecycle import MOVES
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.states import ACTIVE, State
from qcore.domain.task import Task, Verdict, changed
from qcore.domain.transitions import FOLLOWED, Command, Transition, Updated


class MovableTask(Protocol):
    """A stored task that knows how to move."""

    @property
    def state(self) -> State:
        """Return its state."""
        ...

    def move(self, transition: Transition, now: Moment, verdict: Verdict | None = None) -> State:
        """Apply a transition; return the state that it leads to."""
        ...


T = TypeVar("T", bound=MovableTask)


@define
class SettledTasks(Generic[T]):
    """What verdicts have done: an answer for each, the tasks that moved, and what follows."""

    answers: list[Settled | LeaseLost]
    moved: list[T]
    follow_ups: list[NewTask]


def settled(verdicts: Sequence[Verdict], tasks: Sequence[T | None], now: Moment) -> SettledTasks[T]:
    """Apply verdicts to the tasks of their leases; None stands for a lease that is lost."""
    done = SettledTasks[T]([], [], [])
    for verdict, task in zip(verdicts, tasks, strict=True):
        # a lease named twice has one task, which its first verdict has moved
        if task is None or task.state is not ACTIVE:
            done.answers.append(LeaseLost())
            continue
        done.answers.append(Settled(task.move(verdict.outcome, now, verdict)))
        done.moved.append(task)
        if isinstance(verdict.outcome, FOLLOWED):
            done.follow_ups += verdict.outcome.then
    return done


def carried_out(
    task: MovableTask | None, command: Command, now: Moment
) -> Moved | NotAllowed | Missing:
    """Apply a command to a task, if the table has such a move of its state."""
    if task is None or task.state is State.GONE:
        return Missing()
    if type(command) not in MOVES[task.state]:
        return NotAllowed(task.state)
    return Moved(task.move(command, now))


@define
class PlannedChanges:
    """What a change of options does: an answer for each id, and the tasks as they are to be."""

    answers: list[Moved | NotAllowed | Missing]
    changes: list[tuple[Task, NewTask]]
    """Each task as it is, and as it is asked for from now on; one that is named twice once."""
    changed_ids: list[TaskId]
    """As they were named, one that is named twice twice: the audit trail has each order."""


def planned_changes(
    ids: Sequence[TaskId], tasks: Mapping[TaskId, Task], order: Updated
) -> PlannedChanges:
    """Return what an order to change options does to the tasks that are stored of some ids."""
    plan = PlannedChanges([], [], [])
    seen: set[TaskId] = set()
    for each in ids:
        task = tasks.get(each)
        if task is None:
            plan.answers.append(Missing())
            continue
        if Updated not in MOVES[task.state]:
            plan.answers.append(NotAllowed(task.state))
            continue
        if each not in seen:
            # named again it is as it should be by then, and keeps its place
            seen.add(each)
            plan.changes.append((task, changed(task.spec, order)))
        plan.changed_ids.append(each)
        plan.answers.append(Moved(task.state))
    return plan


def may_start(task: Task, now: Moment) -> bool:
    """Return whether a task has not expired."""
    expires = task.spec.expires
    return expires is None or expires > now


def isolated(
    tasks: Sequence[Task], held: Sequence[Task], room: int, now: Moment
) -> tuple[int, int]:
    """Return how many of the first of some tasks may go together, and the room for all in all.

    Some of them have crashed, which bounds how many others are handed out with them. `held` are
    those of the queue that the claim has already; those that have expired are handed to nobody, and
    take no room.
    """
    together, before = [*held], len(held)
    for number, task in enumerate(tasks):
        if not may_start(task, now):
            continue
        beside = room_beside([*together, task])
        if beside < 0:
            return number, len(together) - before
        together.append(task)
        if beside == 0:
            return number + 1, len(together) - before
    return len(tasks), int(min(room, room_beside(together) + len(together) - before))
