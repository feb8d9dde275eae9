"""Short forms of the port's verbs, for one task or with the usual arguments."""

from collections.abc import Callable, Sequence

from qcore.domain.answers import Enqueued, LeaseLost, Missing, Moved, NotAllowed, Settled, Swept
from qcore.domain.moments import Moment
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Task, Verdict
from qcore.domain.transitions import Command, RunNow, Transition
from qcore.ports import Broker, Notification, Subscription, WorkAvailable
from qcore.testing.builders import LEASE, NOW, a_task


async def put(broker: Broker, *tasks: NewTask, now: Moment = NOW) -> None:
    """Enqueue tasks; fail unless each is `Enqueued`."""
    answers = await broker.enqueue(tasks, now=now)
    assert [type(answer) for answer in answers] == [Enqueued] * len(tasks)


async def take(
    broker: Broker,
    limit: int = 100,
    *queues: str,
    now: Moment = NOW,
    until: Moment | None = None,
) -> Sequence[Claim]:
    """Claim up to `limit` tasks, from the default queue or from these in order."""
    demand = Demand(limit, dict.fromkeys(queues or (DEFAULT_QUEUE,), 0))
    return await broker.claim(demand, now=now, until=now + LEASE if until is None else until)


async def take_one(
    broker: Broker, *queues: str, now: Moment = NOW, until: Moment | None = None
) -> Claim:
    """Claim one task; fail if there is none."""
    claims = await take(broker, 1, *queues, now=now, until=until)
    assert len(claims) == 1, "there was no task to claim"
    return claims[0]


async def a_claimed(broker: Broker, spec: NewTask | None = None, *, now: Moment = NOW) -> Claim:
    """Enqueue a task and claim it; nothing else of its queue may be ahead of it."""
    spec = a_task() if spec is None else spec
    await put(broker, spec, now=now)
    if spec.group is not None:
        # a task of a group would wait there
        assert await execute_on(broker, spec, RunNow(), now=now) == Moved(State.PENDING)
    claim = await take_one(broker, spec.queue, now=now)
    assert claim.task.id == spec.id
    return claim


async def end(
    broker: Broker, claim: Claim, outcome: Transition, *, now: Moment = NOW
) -> Settled | LeaseLost:
    """Settle one claim."""
    answers = await broker.settle([Verdict(claim.lease, outcome)], now=now)
    assert len(answers) == 1
    return answers[0]


async def execute_on(
    broker: Broker, task: NewTask, order: Command, *, now: Moment = NOW
) -> Moved | NotAllowed | Missing:
    """Execute a command on one task."""
    answers = await broker.execute(task.queue, [task.id], order, now=now)
    assert len(answers) == 1
    return answers[0]


async def find_task(broker: Broker, task: NewTask) -> Task | None:
    """Return a task, None where it is gone."""
    answers = await broker.get(task.queue, [task.id])
    assert len(answers) == 1
    return answers[0]


async def stored_task(broker: Broker, task: NewTask) -> Task:
    """Return a task; fail if it is gone."""
    found = await find_task(broker, task)
    assert found is not None, f"{task.id} is gone"
    return found


async def sweep_all(broker: Broker, *queues: str, limit: int = 1_000, now: Moment = NOW) -> Swept:
    """Sweep the default queue, or these."""
    return await broker.sweep(queues or (DEFAULT_QUEUE,), limit, now=now)


async def browse_all(
    broker: Broker, state: State, *, queue: str = DEFAULT_QUEUE, limit: int = 1_000
) -> list[Task]:
    """Return all tasks of a state, page by page."""
    page = await broker.browse(queue, state, limit)
    tasks = list(page.tasks)
    while page.cursor is not None:
        page = await broker.browse(queue, state, limit, cursor=page.cursor)
        assert len(page.tasks) <= limit
        tasks += page.tasks
    return tasks


async def nothing_is_left(broker: Broker, *tasks: NewTask) -> None:
    """Fail unless the store has no trace of these tasks, which were its only ones."""
    assert await broker.count() == {}
    for task in tasks:
        assert await find_task(broker, task) is None
        assert list(await broker.details(task.queue, [task.id])) == [None]
        for state in State:
            assert await browse_all(broker, state, queue=task.queue) == []
    assert await broker.next_due([task.queue for task in tasks]) is None


async def on_work(
    broker: Broker, queues: Sequence[str], call: Callable[[], object]
) -> Subscription:
    """Subscribe to work in queues alone: call `call` whenever there may be some."""

    def notify(notification: Notification) -> None:
        assert notification == WorkAvailable()
        call()

    return await broker.subscribe(queues, {WorkAvailable}, notify)


def ids(claims: Sequence[Claim]) -> list[TaskId]:
    """Return the ids of claims, in order."""
    return [claim.task.id for claim in claims]


def ids_of(tasks: Sequence[NewTask] | Sequence[Task]) -> list[TaskId]:
    """Return the ids of tasks, in order."""
    return [task.id for task in tasks]
