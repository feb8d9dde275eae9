"""Why a task does not run: what keeps it from being claimed, as far as a broker tells."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from qcore.app.calls.name_patterns import best_match
from qcore.app.client.written_durations import duration
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.queue_limits import Limits
from qcore.domain.record import record
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.domain.workers import Condition, WorkerInfo


class Obstacle(StrEnum):
    """What keeps a task from being run."""

    ENDED = "ended"
    """It is completed, archived or dead."""
    NOT_DUE = "not_due"
    """Its moment is yet to come."""
    UNIQUE = "unique"
    """It waits for the end of another task that has its unique key."""
    GROUPED = "grouped"
    """It waits in a group to be aggregated with others."""
    PAUSED = "paused"
    """Its queue is paused."""
    IN_FLIGHT = "in_flight"
    """As many tasks of its queue run as may run at a time."""
    RATE = "rate"
    """As many tasks of its queue were started as may start in a time."""
    NO_WORKER = "no_worker"
    """No worker serves its queue."""
    NO_HANDLER = "no_handler"
    """None of the workers that serve its queue knows a task of its name."""
    NOT_CLAIMING = "not_claiming"
    """Those that know it are paused, stopping, blocked or silent."""
    NO_ROOM = "no_room"
    """Those that know it, and claim, have as many tasks in hand as they take."""


@record
class Hindrance:
    """One thing that keeps a task from being run."""

    obstacle: Obstacle
    text: str
    """A sentence about it, with the names and numbers that it is about."""


def knowing(
    workers: Sequence[WorkerInfo], queue: str | None, name: str | None
) -> Sequence[WorkerInfo]:
    """Return the workers that serve a queue, and know tasks of a name; None for any."""
    return [
        worker
        for worker in workers
        if (queue is None or queue in worker.queues)
        and (name is None or best_match(worker.handlers, name) is not None)
    ]


def hindrances(
    task: Task,
    now: Moment,
    *,
    workers: Sequence[WorkerInfo] | None,
    limits: Limits,
    active: int,
    is_rate_spent: bool = False,
) -> Sequence[Hindrance]:
    """Return all that keeps a task from being run; nothing where it runs, or its turn comes.

    `workers` are those that the broker lists, None where it lists none; `active` is how many tasks
    of its queue run, and `is_rate_spent` whether its rate alone holds those that are pending.
    """
    if task.state in ENDED:
        return [Hindrance(Obstacle.ENDED, f"it is {task.state}: {task.error or 'it has ended'}")]
    if task.state is State.ACTIVE:
        return []
    found = [
        _moment(task, now),
        _pause(task, limits),
        _in_flight(task, limits, active),
        _rate(task, limits) if is_rate_spent else None,
    ]
    if workers is not None:
        found.append(_workers(task, workers, now))
    return [each for each in found if each is not None]


def _moment(task: Task, now: Moment) -> Hindrance | None:
    if task.state is State.AGGREGATING:
        return Hindrance(Obstacle.GROUPED, f"it waits in the group {task.spec.group!r}")
    if task.due >= LAST_MOMENT:
        text = f"it waits for the end of another task of the unique key {task.spec.unique_key!r}"
        return Hindrance(Obstacle.UNIQUE, text)
    if task.state is not State.PENDING and task.due > now:
        return Hindrance(Obstacle.NOT_DUE, f"it is due in {duration(task.due - now)}")
    return None


def _pause(task: Task, limits: Limits) -> Hindrance | None:
    if not limits.is_paused:
        return None
    return Hindrance(Obstacle.PAUSED, f"the queue {task.queue!r} is paused")


def _in_flight(task: Task, limits: Limits, active: int) -> Hindrance | None:
    if limits.in_flight is None or active < limits.in_flight:
        return None
    text = f"the queue {task.queue!r} runs as many as it may: {active:,} of {limits.in_flight:,}"
    return Hindrance(Obstacle.IN_FLIGHT, text)


def _rate(task: Task, limits: Limits) -> Hindrance | None:
    if limits.rate is None or task.state is not State.PENDING:
        return None
    text = (
        f"the queue {task.queue!r} has started as many as its rate lets it: "
        f"{limits.rate.count:,} in {limits.rate.per:g} s"
    )
    return Hindrance(Obstacle.RATE, text)


def _workers(task: Task, workers: Sequence[WorkerInfo], now: Moment) -> Hindrance | None:
    serving = knowing(workers, task.queue, None)
    if not serving:
        return Hindrance(Obstacle.NO_WORKER, f"no worker serves the queue {task.queue!r}")
    able = knowing(serving, None, task.name)
    if not able:
        text = f"no worker of the queue {task.queue!r} knows {task.name!r}, of {len(serving):,}"
        return Hindrance(Obstacle.NO_HANDLER, text)
    conditions = Counter(worker.condition(now) for worker in able)
    if not conditions[Condition.RUNNING]:
        told = [f"{conditions[each]:,} {each}" for each in Condition if conditions[each]]
        return Hindrance(
            Obstacle.NOT_CLAIMING, f"the workers that know it do not claim: {', '.join(told)}"
        )
    claiming = [worker for worker in able if worker.condition(now) is Condition.RUNNING]
    if all(worker.in_hand >= worker.concurrency for worker in claiming):
        number = sum(worker.in_hand for worker in claiming)
        text = f"the workers that know it have as many tasks in hand as they take: {number:,}"
        return Hindrance(Obstacle.NO_ROOM, text)
    return None
