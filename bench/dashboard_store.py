"""Two stores for the dashboard: many tasks in few queues, and few tasks in many queues."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from qcore import Qcore
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.editing import added
from qcore.domain.run_details import AttemptError, Details
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import ENDED, State
from qcore.domain.task import Demand, Task, Verdict
from qcore.domain.transitions import Succeeded
from qcore.domain.workers import WorkerInfo
from qcore.ports import Broker, worker_registry_of
from qcore.testing.builders import a_worker
from qcore.testing.entries import MINUTELY, an_entry, write

BATCH: Final = 2_000
HOUR: Final = 3_600.0
DAY: Final = 86_400.0
NAMES: Final = tuple(f"mail:{n}" for n in range(20))
SHARES: Final = {
    State.PENDING: 0.60,
    State.SCHEDULED: 0.13,
    State.COMPLETED: 0.10,
    State.ARCHIVED: 0.06,
    State.DEAD: 0.06,
    State.RETRY: 0.05,
}
"""How many of the tasks are in each state."""
FEW_QUEUES: Final = ("mail", "reports", "images")
MEMBERS: Final = 2
PAST: Final = (
    *(-90 * DAY + n * DAY for n in range(89)),
    *(-DAY + n * HOUR for n in range(23)),
    *(-HOUR + n * 60.0 for n in range(60)),
)
"""Seconds before now at which tasks have ended of which the statistics alone are left."""


async def fill_with_tasks(q: Qcore, tasks: int, groups: int, entries: int) -> None:
    """Store tasks of all states in three queues, groups, entries, and statistics of 90 days."""
    broker, now = q.broker, q.clock.now()
    for ago in PAST:
        made = [_new(f"r{ago}-{queue}-{n}", n, queue) for queue in FEW_QUEUES for n in range(20)]
        await _run(broker, made, now + ago)
    numbers = range(tasks - MEMBERS * groups)
    await _restore(broker, (_stored(n, FEW_QUEUES[n % 3], now) for n in numbers), now)
    members = (
        NewTask("event", f"g{n}", queue="reports", group=f"user:{n // MEMBERS}", due=now + DAY)
        for n in range(MEMBERS * groups)
    )
    while part := [*islice(members, BATCH)]:
        await broker.enqueue(part, now=now)
    await _write_entries(broker, entries, lambda n: FEW_QUEUES[n % 3], now)
    await _announce(broker, FEW_QUEUES, now)


async def fill_with_queues(q: Qcore, queues: int, tasks: int, entries: int) -> None:
    """Store tasks of all states in many queues, entries, and a day's statistics."""
    broker, now = q.broker, q.clock.now()
    names = [f"customer:{n:05}" for n in range(queues)]
    for ago in (-DAY, -HOUR / 2, -60.0):
        await _run(broker, [_new(f"r{ago}", n, name) for n, name in enumerate(names)], now + ago)
    await _restore(broker, (_stored(n, names[n % queues], now) for n in range(tasks)), now)
    await _write_entries(broker, entries, lambda n: names[n % queues], now)
    await _announce(broker, names[:100], now)


def _new(task: str, n: int, queue: str, retention: float = 0.0) -> NewTask:
    payload = b'{"user": %d, "mail": "a@example.com"}' % n
    return NewTask(
        NAMES[n % 20], task, queue=queue, payload=payload, retention=retention, priority=n % 3
    )


def _stored(n: int, queue: str, now: float) -> TaskSnapshot:
    state = _state(n)
    # of each queue all states, whatever the number of queues
    spec = _new(f"{n:032x}", n, queue, 30 * DAY if state is State.COMPLETED else 0.0)
    failed = state in {State.ARCHIVED, State.DEAD, State.RETRY}
    error = f"ValueError: no user {n} in region {n % 7}" if failed else None
    finished = now - 1 - n % DAY if state in ENDED else None
    due = now + 60 + n % DAY if state in {State.SCHEDULED, State.RETRY} else now - 1
    attempts = int(finished is not None or failed)
    task = Task(spec, state, now - DAY, due, attempts, int(failed), error=error, finished=finished)
    errors = (AttemptError(now - n % DAY, 1, error),) if error else ()
    return TaskSnapshot(task, Details(errors=errors))


def _state(n: int) -> State:
    """Return the state of a task by its number: the states are mixed in each hundred."""
    place, end = (n * 37 + n // 5_000 * 17) % 100 / 100, 0.0
    for state, share in SHARES.items():
        end += share
        if place < end - 1e-9:
            return state
    return State.PENDING


async def _restore(broker: Broker, snapshots: Iterator[TaskSnapshot], now: float) -> None:
    while part := [*islice(snapshots, BATCH)]:
        await broker.restore(part, now=now)


async def _run(broker: Broker, tasks: Sequence[NewTask], now: float) -> None:
    """Complete tasks at a moment in the past."""
    await broker.enqueue(tasks, now=now)
    queues = {task.queue: 0 for task in tasks}
    while claims := await broker.claim(Demand(BATCH, queues), now=now, until=now + 60):
        verdicts = [Verdict(each.lease, Succeeded(), 0.4, 1.5) for each in claims]
        await broker.settle(verdicts, now=now)


async def _write_entries(
    broker: Broker, number: int, queue_of: Callable[[int], str], now: float
) -> None:
    for n in range(number):
        entry = an_entry(f"report:{n:05}", queue=queue_of(n))
        await write(broker, added(None, entry, MINUTELY, now))


async def _announce(broker: Broker, queues: Sequence[str], now: float) -> None:
    registry = worker_registry_of(broker)
    assert registry is not None
    for n in range(50):
        worker: WorkerInfo = a_worker(
            name=f"host:{n}",
            queues=dict.fromkeys(queues, 1),
            handlers=NAMES,
            started=now,
            seen=now,
            expires=now + DAY,
        )
        await registry.announce(worker)
