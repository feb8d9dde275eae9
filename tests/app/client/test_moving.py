"""Tasks move to another queue as they are, and no crash in between loses or doubles one."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve

from qcore import Context, InvalidTask, Qcore, Retry, State, chain
from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.sqlite import SqliteBroker
from qcore.answers import Conflict, Duplicate, Missing, Moved, NotAllowed, Restored
from qcore.domain.audit import AuditRecord
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.events import Operated
from qcore.domain.run_details import Details
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.task import Task, Verdict
from qcore.domain.transitions import Deleted, RunNow, Succeeded
from qcore.ports import Broker
from qcore.queries import MoveTo
from qcore.testing import FaultyBroker, a_task, drain
from qcore.testing.builders import NOW, a_demand, a_stored_task
from qcore.testing.contract.restoring import DETAILS, ended
from qcore.testing.contract.unchanged import seen
from qcore.testing.fakes import fake_redis_broker
from tests.app.client.test_auditing import Watched
from tests.app.kit import Lab

PAST = a_task(priority=3, headers={"a": "b"}, expires=NOW + 99_999, retention=3_600.0)
STORED = [
    a_stored_task(PAST, attempts=2, failures=1, error="it failed\n(twice): ✓"),
    a_stored_task(PAST, state=State.SCHEDULED, due=NOW + 60.125, attempts=1),
    a_stored_task(PAST, state=State.RETRY, due=NOW + 60.125, failures=1, attempts=1, error="no"),
    a_stored_task(evolve(PAST, group="g"), state=State.AGGREGATING, due=NOW - 1),
    *(ended(s, spec=PAST, error="no", attempts=3) for s in (State.ARCHIVED, State.DEAD)),
    evolve(ended(State.COMPLETED, spec=PAST), result=b"\x00", result_type="a/b"),
]


MOVED = evolve(DETAILS, audit=(*DETAILS.audit[1:], AuditRecord(NOW, "move", "ann", "why", "to b")))


def an_sqlite_broker() -> Broker:
    """Return a store of its own."""
    return SqliteBroker(AsyncSqliteLink(":memory:"))


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def put(broker: Broker, *tasks: Task, details: Details = DETAILS) -> None:
    """Store tasks as they are."""
    answers = await broker.restore([TaskSnapshot(task, details) for task in tasks], now=NOW)
    assert [type(answer) for answer in answers] == [Restored] * len(tasks)


async def found(broker: Broker, task: Task, *queues: str) -> list[Task]:
    """Return a task as it is in each of these queues in which it is."""
    there = [(await broker.get(queue, [task.id]))[0] for queue in queues or ("default", "b")]
    return [each for each in there if each is not None]


def in_b(task: Task) -> Task:
    """Return a task as it has to be in its new queue."""
    return evolve(task, spec=evolve(task.spec, queue="b"))


@pytest.mark.parametrize("make", [MemoryBroker, an_sqlite_broker, fake_redis_broker])
async def test_moved_tasks_are_as_they_were(make: Callable[[], Broker]) -> None:
    """All of them, with the details of their runs; where they were, nothing is left."""
    async with Lab(make()) as lab:
        for n, each in enumerate(STORED):
            task = evolve(each, spec=evolve(each.spec, id=f"task-{n}"))
            await lab.broker.open()
            await put(lab.broker, task)
            assert await lab.inspector.move_to(
                "default", [task.id], to="b", by="ann", reason="why"
            ) == [Moved(task.state)]
            assert await seen(lab.broker, in_b(task).spec) == (in_b(task), MOVED)
        assert (await lab.broker.count()).keys() == {"b"}


async def test_a_task_that_runs_is_not_moved(lab: Lab) -> None:
    """Nor one that is not there, nor one that is there already; each is answered at its place."""
    running, waiting, there = a_task(), a_task(), a_task(queue="b")
    await lab.client.enqueue_many([running, there])
    await lab.broker.claim(a_demand(), now=lab.manual.now(), until=lab.manual.now() + 9)
    await lab.client.enqueue(waiting)
    ids = [waiting.id, "unknown", running.id, waiting.id]
    assert await lab.inspector.move_to("default", ids, to="b") == [
        Moved(State.PENDING),
        Missing(),
        NotAllowed(State.ACTIVE),
        Moved(State.PENDING),
    ]
    assert await lab.inspector.move_to("b", [there.id], to="b") == [NotAllowed(State.PENDING)]


async def test_moved_tasks_keep_their_order(lab: Lab) -> None:
    """Behind those that wait there; more than are on their way at a time."""
    tasks = [a_task(id=f"{n:03}") for n in range(250)]
    await lab.client.enqueue_many([a_task(id="first", queue="b"), *tasks])
    ids = [task.id for task in tasks]
    assert await lab.inspector.move_to("default", ids, to="b") == [Moved(State.PENDING)] * 250
    claims = await lab.broker.claim(a_demand(999, b=999), now=lab.manual.now(), until=NOW * 2)
    assert [claim.task.id for claim in claims] == ["first", *ids]


async def test_a_queue_that_cannot_be_is_refused(lab: Lab) -> None:
    """Before anything is moved."""
    await lab.client.enqueue(task := a_task())
    with pytest.raises(InvalidTask, match="queue is 'a b': expected no ' ' in it"):
        await lab.inspector.move_to("default", [task.id], to="a b")
    assert await lab.broker.count() == {"default": {State.PENDING: 1}}


async def test_an_id_that_is_taken_there_stays_where_it_is(lab: Lab) -> None:
    """Neither is the other touched."""
    stored, other = STORED[2], a_stored_task(a_task(id=STORED[2].id, queue="b"), attempts=7)
    await put(lab.broker, stored, other)
    answers = await lab.inspector.move_to("default", [stored.id], to="b")
    assert answers == [Conflict(stored.id, State.PENDING)]
    assert await found(lab.broker, stored) == [stored, other]
    assert await seen(lab.broker, stored.spec) == (stored, DETAILS)


async def test_a_key_that_is_taken_there_leaves_the_task_archived_there(lab: Lab) -> None:
    """Until the key is free: then it is moved on by the same order."""
    task, holder = a_task(unique_key="k"), a_task(unique_key="k", queue="b")
    await lab.client.enqueue_many([task, holder])
    answers = await lab.inspector.move_to("default", [task.id], to="b")
    assert answers == [Duplicate(holder.id, State.PENDING)]
    (there,) = await found(lab.broker, a_stored_task(task))
    assert (there.queue, there.state) == ("b", State.ARCHIVED)
    assert there.error == "moving from default to b (pending)"
    # its key is free where it was
    (again,) = await lab.client.enqueue_many([a_task(unique_key="k")])
    assert again.is_new
    await lab.inspector.delete("b", [holder.id])
    answers = await lab.inspector.move_to("default", [task.id], to="b")
    assert answers == [Moved(State.PENDING)]
    (answer,) = await lab.broker.enqueue([a_task(unique_key="k", queue="b")], now=NOW)
    assert answer == Duplicate(task.id, State.PENDING)


async def test_a_chain_goes_on_from_the_other_queue(lab: Lab) -> None:
    """Its next step goes where that was to go, with the result of this one."""
    seen_by: list[str] = []

    @lab.task("first", queue="default")
    async def first(ctx: Context) -> int:
        seen_by.append(f"first in {ctx.task.queue}")
        return 7

    @lab.task("second", queue="default")
    async def second(ctx: Context, number: int) -> None:
        seen_by.append(f"second in {ctx.task.queue}: {number}")

    await chain(first.call(), second).enqueue()
    (step,) = (await lab.inspector.browse("default", State.PENDING)).tasks
    await lab.inspector.move_to("default", [step.id], to="b")
    await drain(lab)
    assert seen_by == ["first in b", "second in default: 7"]


VERBS = ("get", "details", "execute", "restore")


async def worked_off(broker: Broker, *queues: str) -> list[str]:
    """Run all that can be run in these queues, to success; return the ids."""
    claims = await broker.claim(a_demand(99, **dict.fromkeys(queues, 9)), now=NOW, until=NOW + 9)
    await broker.settle([Verdict(each.lease, Succeeded()) for each in claims], now=NOW)
    return [each.task.id for each in claims]


async def interrupted(task: Task, call: int, *, is_lost: bool) -> MemoryBroker | None:
    """Move a task until the n-th call fails, before or after it is made; None if there is none."""
    inner = MemoryBroker()
    await put(inner, task)
    broker = Interrupted(inner, call, is_lost=is_lost)
    q = Lab(broker)
    try:
        await q.inspector.move_to("default", [task.id], to="b")
    except BrokerUnavailable:
        return inner
    return None


class Interrupted(FaultyBroker):
    """Dies at its n-th call: that is lost, or only its answer is."""

    def __init__(self, inner: Broker, call: int, *, is_lost: bool) -> None:
        super().__init__(inner)
        self._left = call
        self._is_lost = is_lost

    async def around(self, verb: Any, call: Any, /, **arguments: object) -> Any:
        if verb in VERBS:
            if self._left == 0:
                (self.fail if self._is_lost else self.drop_reply)(verb)
            self._left -= 1
        return await super().around(verb, call, **arguments)


@pytest.mark.parametrize("is_lost", [True, False])
@pytest.mark.parametrize("task", STORED, ids=lambda task: task.state)
async def test_a_move_that_is_stopped_anywhere_is_finished_by_the_next(
    task: Task, *, is_lost: bool
) -> None:
    """At each moment the task is stored, and what is given again moves it as it was."""
    stops = 0
    while (broker := await interrupted(task, stops, is_lost=is_lost)) is not None:
        stops += 1
        assert await found(broker, task)
        (answer,) = await Lab(broker).inspector.move_to("default", [task.id], to="b")
        is_done = not is_lost and await found(broker, task, "b") == [in_b(task)]
        assert answer == Moved(task.state) or (is_done and answer == Missing())
        assert await found(broker, task) == [in_b(task)]
        _, details = await seen(broker, in_b(task).spec)
        assert evolve(details, audit=()) == evolve(DETAILS, audit=())
        assert [each.action for each in details.audit[-2:]] == ["run", "move"]
    assert stops >= 7


@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_move_that_is_stopped_anywhere_runs_nothing_twice(*, is_lost: bool) -> None:
    """Whoever works on both queues in between, before the move goes on."""
    task, stops = a_stored_task(), 0
    while (broker := await interrupted(task, stops, is_lost=is_lost)) is not None:
        stops += 1
        ran = await worked_off(broker, "default", "b")
        await Lab(broker).inspector.move_to("default", [task.id], to="b")
        await Lab(broker).inspector.move_to("b", [task.id], to="b")
        ran += await worked_off(broker, "default", "b")
        assert ran == [task.id]
        assert await broker.count() == {}


@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_query_for_what_was_left_on_its_way_finishes_it(*, is_lost: bool) -> None:
    """Wherever it was stopped, once anything was written, by the reason that is written there."""
    task, stops = STORED[2], 0
    while (broker := await interrupted(task, stops, is_lost=is_lost)) is not None:
        stops += 1
        lab = Lab(broker)
        for query in ("state:retry queue:default", 'state:archived error:"moving from default"'):
            async for _ in lab.inspector.move(query, MoveTo("b")):
                pass
        assert await found(broker, task) == [in_b(task)]


async def test_a_task_on_its_way_elsewhere_is_not_diverted(lab: Lab) -> None:
    """It may be there already: first that move is finished, then the next begins."""
    task = STORED[0]
    broker = await interrupted(task, 4, is_lost=True)
    assert broker is not None
    lab = Lab(broker)
    assert await lab.inspector.move_to("default", [task.id], to="c") == [NotAllowed(State.ARCHIVED)]
    assert await lab.inspector.move_to("default", [task.id], to="b") == [Moved(State.PENDING)]
    assert await lab.inspector.move_to("b", [task.id], to="c") == [Moved(State.PENDING)]
    assert [each.queue for each in await found(broker, task, "default", "b", "c")] == ["c"]


async def test_what_somebody_runs_by_hand_in_between_stays_where_it_is() -> None:
    """Its copy is gone again: it runs in one queue."""
    inner = MemoryBroker()
    task = a_stored_task()
    await put(inner, task)

    class RunByHand(FaultyBroker):
        async def execute(self, queue: str, ids: Sequence[str], command: Any, *, now: float) -> Any:
            if isinstance(command, Deleted) and queue == "default":
                await inner.execute(queue, ids, RunNow(), now=now)
                await inner.claim(a_demand(), now=now, until=now + 9)
            return await super().execute(queue, ids, command, now=now)

    answers = await Lab(RunByHand(inner)).inspector.move_to("default", [task.id], to="b")
    assert answers == [NotAllowed(State.ACTIVE)]
    assert [each.state for each in await found(inner, task)] == [State.ACTIVE]


async def test_a_task_that_has_failed_since_it_was_seen_waits_for_its_next_run() -> None:
    """It is not run early because it was pending when the order was given."""
    from qcore.domain.transitions import Archived, Failed

    inner = MemoryBroker()
    task = a_stored_task()
    await put(inner, task)

    class Runs(FaultyBroker):
        async def execute(self, queue: str, ids: Sequence[str], command: Any, *, now: float) -> Any:
            if isinstance(command, Archived):
                (claim,) = await inner.claim(a_demand(), now=now, until=now + 9)
                outcome = Failed("no", now + 60)
                await inner.settle([Verdict(claim.lease, outcome)], now=now)
            return await super().execute(queue, ids, command, now=now)

    lab = Lab(Runs(inner))
    assert await lab.inspector.move_to("default", [task.id], to="b") == [Moved(State.RETRY)]
    (moved,) = await found(inner, task)
    assert (moved.queue, moved.state, moved.failures, moved.error) == ("b", State.RETRY, 1, "no")
    assert moved.due == lab.manual.now() + 60


async def test_all_tasks_of_a_query_are_moved(lab: Lab) -> None:
    """A preview counts them; what is in the other queue already is not one of them."""
    await lab.client.enqueue_many([a_task(id=f"{n}", name="mail") for n in range(1_100)])
    await lab.client.enqueue_many([a_task(id="there", name="mail", queue="b"), a_task(id="x")])
    query, order = "state:pending,dead name:mail", MoveTo("b")
    assert (await lab.inspector.preview(query, order)).count == 1_100
    steps = [each async for each in lab.inspector.move(query, order)]
    assert (steps[-1].done, steps[-1].skipped, steps[-1].failed) == (1_100, 0, 0)
    assert await lab.broker.count() == {"default": {State.PENDING: 1}, "b": {State.PENDING: 1_101}}


async def test_what_cannot_be_moved_is_counted_as_failed(lab: Lab) -> None:
    """An id that is taken there."""
    await lab.client.enqueue_many([a_task(id="a"), a_task(id="b"), a_task(id="a", queue="b")])
    steps = [each async for each in lab.inspector.move("state:pending", MoveTo("b"))]
    assert (steps[-1].done, steps[-1].failed) == (1, 1)


def test_the_blocking_inspector_moves_tasks() -> None:
    """As the one that awaits."""
    q = Qcore("memory://")
    q.blocking.enqueue(task := a_task())
    assert q.blocking_inspector.move_to("default", [task.id], to="b") == [Moved(State.PENDING)]
    steps = list(q.blocking_inspector.move("state:pending", MoveTo("c")))
    assert steps[-1].done == 1
    assert q.blocking_inspector.counts() == {"c": {State.PENDING: 1}}


async def test_who_moves_tasks_is_recorded_and_told() -> None:
    """In the audit trail of each, and to instruments; by a query as by ids."""
    lab, told = Watched(), list[Operated]()
    lab.told = told
    await lab.client.enqueue_many([a_task(id="a"), a_task(id="b")])
    await lab.inspector.move_to("default", ["a"], to="b", by="ann", reason="too slow")
    async for _ in lab.inspector.move("state:pending", MoveTo("b"), by="bob"):
        pass
    details = [await lab.inspector.details("b", task) for task in ("a", "b")]
    trails = [each.audit for each in details if each is not None]
    now = lab.manual.now()
    assert trails == [
        (AuditRecord(now, "move", "ann", "too slow", "to b"),),
        (AuditRecord(now, "move", "bob", None, "to b"),),
    ]
    assert [(each.action, each.by, each.detail, each.tasks) for each in told] == [
        ("move", "ann", "to b", ("a",)),
        ("move", "bob", "to b", ("b",)),
    ]


async def test_what_a_handler_says_is_no_mark_of_a_task_on_its_way(lab: Lab) -> None:
    """A task that has failed for good moves as that, and does not run again."""

    @lab.task("failing", max_retry=0)
    async def failing(_: Context) -> None:
        raise Retry("moving from default to b (pending)")

    handle = await failing.enqueue()
    await drain(lab)
    assert await lab.inspector.move_to("default", [handle.id], to="b") == [Moved(State.ARCHIVED)]
    task = await lab.inspector.get("b", handle.id)
    assert task is not None
    assert task.error == "error: moving from default to b (pending)"
