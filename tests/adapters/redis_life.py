"""All that can happen to tasks, so that every script goes everywhere it can go."""

from threading import Event
from typing import Unpack
from uuid import uuid4

from attrs import evolve

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.entries import AT_ONCE
from qcore.domain.answers import Conflict, QueueNotEmpty, QueueRemoved
from qcore.domain.new_task import REJECT, REPLACE, NewTask
from qcore.domain.periodic.entry import StoredEntry
from qcore.domain.queue_limits import Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.run_details import AttemptError, Details, DetailsUpdate, Progress
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.statistics import Outcome, Resolution, merged
from qcore.domain.task import Claim, Task, Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Updated,
)
from qcore.ports import TasksChanged
from qcore.testing.builders import LEASE, NOW, TaskOptions, a_task, a_worker
from qcore.testing.contract.steps import browse_all, ids_of, on_work, put, sweep_all, take
from qcore.testing.entries import an_entry, decided, put_entry, removed
from qcore.testing.entries import made as made_ticks

PATIENCE = 30.0
LATER = NOW + 1_000
MANY_DAYS = 100 * 86_400
OUTCOMES = (
    Succeeded(),
    Succeeded(b"42", "text/plain"),
    Failed("no", NOW + 1),
    Exhausted("no"),
    Rejected("no"),
    Revoked(),
    Snoozed(NOW + 1),
    Snoozed(NOW + 1, unhandled=True),
    Released(),
    Crashed(),
    Cancelled(),
)
ORDERS = (
    RunNow(),
    Archived(),
    Rescheduled(NOW + 2),
    Updated({"priority": 3, "payload": b"other"}),
    Cancelled(),
    Deleted(),
)
RULES = (SetRate(Rate(2, 9.0)), SetInFlight(9), SetPaused(True))  # noqa: FBT003  (its only field)
FREE = (SetRate(None), SetInFlight(None), SetPaused(False))  # noqa: FBT003
KINDS: tuple[TaskOptions, ...] = (
    {},
    {"priority": 5, "retention": 60.0, "max_crashes": 1, "headers": {"a": "b"}},
    {"expires": NOW + 500, "deadline": NOW + 900, "backoff": "fixed(3)"},
    {"due": NOW},
    {"due": NOW - 5, "group": "a group"},
    {"unique_key": "a key|"},
    {"unique_key": "é", "unique_for": 400.0, "expires": NOW + 500, "retention": 60.0},
)


def made(n: int, **options: Unpack[TaskOptions]) -> NewTask:
    """Return the n-th task of a kind, with a unique key of its own if the kind has any."""
    if options.get("unique_key"):
        options["unique_key"] = f"{options['unique_key']} {n}"
    return a_task(**options)


async def _be_counted(broker: RedisBroker, queue: str) -> None:
    """Have all that came and went in the statistics."""
    for resolution in Resolution:
        rows = await broker.statistics(
            [queue], since=NOW - 60, until=LATER + LEASE, resolution=resolution
        )
        assert {*merged(row.statistics for row in rows).counts} == {*Outcome}


async def _work(broker: RedisBroker) -> None:
    """Announce workers, of whom one is killed and one leaves."""
    leaving = a_worker(seen=NOW + 15)
    for worker in (a_worker(), leaving):
        await broker.announce(worker)
    assert await broker.workers(now=NOW) == [leaving]
    await broker.withdraw(leaving.id)


async def whole_life(broker: RedisBroker, *queues: str) -> None:
    """Do everything with each of these queues, which must be empty, and leave nothing of them."""
    heard = Event()
    subscription = await on_work(broker, queues, heard.set)
    news = Event()
    other = await broker.subscribe(queues, {TasksChanged}, lambda *_: news.set())
    for queue in queues:
        for kind in KINDS:
            await _come_and_go(broker, queue, kind)
            await _be_moved(broker, queue, kind)
        await _be_followed(broker, queue, queues[-1])
        await _be_restored(broker, queue)
        await _be_limited(broker, queue)
        await _become_one(broker, queue)
        await _tick(broker, queue)
    await _work(broker)
    assert heard.wait(PATIENCE)
    assert news.wait(PATIENCE)
    await subscription.close()
    await other.close()
    await sweep_all(broker, *queues, limit=10_000, now=LATER)
    await sweep_all(broker, *queues, limit=10_000, now=LATER + MANY_DAYS)
    for queue in queues:
        left = [task.id for state in State for task in await browse_all(broker, state, queue=queue)]
        for order in (Cancelled(), Deleted()):
            await broker.execute(queue, left, order, now=LATER)
    assert await broker.count() == {}
    for queue in queues:
        await _be_counted(broker, queue)
        # twice: what is counted is forgotten in time, which does not pass here
        for now in (LATER, LATER + MANY_DAYS):
            assert await broker.remove_queue(queue, now=now) == QueueRemoved()


async def _come_and_go(broker: RedisBroker, queue: str, kind: TaskOptions) -> None:
    """Let tasks end in each way, by who claimed them and by somebody who did not."""
    tasks = [made(n, queue=queue, id=uuid4().hex, **kind) for n in range(len(OUTCOMES))]
    await put(broker, *tasks)
    (conflict,) = await broker.enqueue([tasks[0]], now=NOW)
    assert isinstance(conflict, Conflict)
    claims = await take(broker, 100, queue)
    await broker.extend([claim.lease for claim in claims], until=NOW + LEASE)
    await _settle(broker, claims)
    await _settle(broker, claims)
    await broker.next_due([queue])
    again = await take(broker, 100, queue, now=NOW + 1)
    await sweep_all(broker, queue, now=NOW + 1 + LEASE)
    await _settle(broker, again)
    # what has ended is replaced, what expires before it runs is found by a claim or by a sweep
    await broker.enqueue(tasks, now=NOW)
    await _come_twice(broker, tasks)
    await take(broker, 5, queue, now=LATER)
    await sweep_all(broker, queue, now=LATER)


async def _be_followed(broker: RedisBroker, queue: str, last: str) -> None:
    """Let runs say how far they are, and be followed by others, here and elsewhere."""
    await put(broker, *(tasks := [a_task(queue=queue, priority=9) for _ in range(3)]))
    claims = await take(broker, 3, queue)
    assert ids_of([claim.task for claim in claims]) == ids_of(tasks)
    notes = [DetailsUpdate(claim.lease, Progress(NOW, 0.5), b"so far") for claim in claims]
    await broker.save_details(notes)
    await broker.details(queue, ids_of(tasks))
    then = (a_task(queue=queue), a_task(queue=last, group="a group"), a_task(queue=last, due=LATER))
    outcomes = (Succeeded(then=then), Failed("no", NOW + 1), Exhausted("no"))
    verdicts = [Verdict(c.lease, outcome) for c, outcome in zip(claims, outcomes, strict=True)]
    for _ in range(2):
        await broker.settle(verdicts, now=NOW)


async def _be_restored(broker: RedisBroker, queue: str) -> None:
    """Come back as they were, twice, and over what was set aside."""
    tasks = [made(200 + n, queue=queue, **kind) for n, kind in enumerate(KINDS)]
    await put(broker, *tasks)
    found = [each for each in await broker.get(queue, ids_of(tasks)) if each is not None]
    details = Details((AttemptError(NOW, 1, "no"),), Progress(NOW, 0.5), b"so far")
    snapshots = [TaskSnapshot(each, details) for each in found]
    await broker.execute(queue, ids_of(tasks), Archived("for now"), now=NOW)
    for over in (None, "for now"):
        await broker.restore(snapshots, now=NOW, over=over)
    await broker.execute(queue, ids_of(tasks), Deleted(), now=NOW)
    await broker.restore(snapshots, now=NOW)
    await broker.restore([evolve(each, task=_ended(each.task)) for each in snapshots], now=NOW)


def _ended(task: Task) -> Task:
    return evolve(task, spec=evolve(task.spec, id="ended"), state=State.DEAD, finished=NOW)


async def _be_limited(broker: RedisBroker, queue: str) -> None:
    """Be held back in each way, and then no more."""
    await put(broker, *(a_task(queue=queue) for _ in range(3)))
    for rule in (*RULES, *FREE):
        await broker.set_limit(queue, rule, now=NOW)
        await broker.limits([queue])
        await take(broker, 1, queue)
        await broker.next_due([queue])


async def _become_one(broker: RedisBroker, queue: str) -> None:
    """Wait in a group until others take the place of all, in vain and then for good."""
    await put(broker, *(tasks := [a_task(queue=queue, group="the others") for _ in range(3)]))
    found = await broker.groups(queue, 9)
    assert [group.size for group in found if group.name == "the others"] == [3]
    assert ids_of(await broker.members(queue, "the others", 9)) == ids_of(tasks)
    one = a_task(queue=queue)
    for _ in range(2):
        await broker.aggregate(queue, "the others", ids_of(tasks), one, now=NOW)


async def _tick(broker: RedisBroker, queue: str) -> None:
    """Be made by entries of periodic tasks, page by page, until those are removed."""
    names = [f"e{n}" for n in range(AT_ONCE + 1)]
    for name in names:
        await put_entry(broker, an_entry(name, queue=queue))
    changes = await decided(broker, queue)
    for expected in (len(names), 0):
        assert made_ticks(await broker.write_entries(changes, now=NOW)) == expected
    assert len(await decided(broker, queue, now=NOW + 120)) == len(names)
    assert isinstance(await broker.remove_queue(queue, now=NOW), QueueNotEmpty)
    assert queue in await broker.entry_queues()
    found = await broker.browse_entries(queue, 1_000)
    removals = [removed(each) for each in found if isinstance(each, StoredEntry)]
    assert made_ticks(await broker.write_entries(removals, now=NOW)) == len(names)


async def _come_twice(broker: RedisBroker, tasks: list[NewTask]) -> None:
    """Ask again for what is unique: some stay out, some take the place of the others."""
    for choice in (REJECT, REPLACE):
        again = [
            evolve(task, id=uuid4().hex, on_duplicate=choice) for task in tasks if task.unique_key
        ]
        await broker.enqueue([*again, *again[:2]], now=NOW)


async def _settle(broker: RedisBroker, claims: "list[Claim]") -> None:
    verdicts = [Verdict(claim.lease, OUTCOMES[n % len(OUTCOMES)]) for n, claim in enumerate(claims)]
    await broker.settle(verdicts, now=NOW)


async def _be_moved(broker: RedisBroker, queue: str, kind: TaskOptions) -> None:
    """Let an operator look at tasks in each state, and move them in each way."""
    numbers = range(100, 112)
    tasks = [made(n, queue=queue, **{**kind, "due": NOW + n % 2 * 9}) for n in numbers]
    for n, order in enumerate(ORDERS):
        await put(broker, *tasks)
        await _settle(broker, await take(broker, 5 + n, queue))
        await broker.get(queue, ids_of(tasks))
        for state in State:
            await _leaf_through(broker, queue, state, tasks)
        await broker.count()
        await broker.ready_since([queue], now=NOW)
        await broker.execute(queue, ids_of(tasks), order, now=NOW)
        await broker.execute(queue, ids_of(tasks), Cancelled(), now=NOW)
        await broker.execute(queue, ids_of(tasks), Deleted(), now=NOW)


async def _leaf_through(
    broker: RedisBroker, queue: str, state: State, tasks: list[NewTask]
) -> None:
    """Read in pages, where the task at the end of a page leaves its state before the next."""
    page = await broker.browse(queue, state, 1)
    if page.cursor is not None:
        await broker.execute(queue, [page.tasks[0].id], Deleted(), now=NOW)
        await broker.browse(queue, state, 1, cursor=page.cursor)
    await browse_all(broker, state, queue=queue)
