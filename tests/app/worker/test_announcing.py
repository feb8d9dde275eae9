import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from socket import gethostname
from typing import Any, TypeVar

import pytest

from qcore import Context, InvalidOption, Qcore
from qcore.adapters.clocks import SystemClock
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.worker import announcer
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.events import BrokerFailed
from qcore.domain.workers import Condition, RunningTask, WorkerInfo
from qcore.ports import Capability, Verb
from qcore.testing import FaultyBroker, Signals, drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, turn

T = TypeVar("T")


async def announced(lab: Qcore) -> WorkerInfo:
    """Return the one worker that is listed."""
    [found] = await lab.inspector.workers()
    return found


async def test_a_worker_that_has_started_is_listed_with_what_it_is() -> None:
    """Who it is, what it serves, what it knows, and how much it takes."""
    lab = Lab()

    @lab.task("mail:welcome", queue="mail")
    async def welcome(ctx: Context) -> None: ...

    lab.route("image:", welcome.function)
    async with lab.working(queues={"mail": 6, "low": 1}, concurrency=7, name="web-1"):
        found = await announced(lab)
    assert (found.name, found.host, found.pid) == ("web-1", gethostname(), os.getpid())
    assert found.version.count(".") >= 1
    assert [*found.queues.items()] == [("mail", 6), ("low", 1)]
    assert not found.is_strict
    assert found.handlers == ("mail:welcome", "image:")
    assert found.concurrency == 7
    assert (found.started, found.seen, found.expires) == (NOW, NOW, NOW + 15)
    assert (found.in_hand, found.running, found.is_paused, found.is_stopping) == (
        0,
        (),
        False,
        False,
    )


async def test_queues_that_are_served_strictly_are_listed_in_their_order() -> None:
    """A weight means nothing there."""
    lab = Lab()
    async with lab.working(queues=["b", "a"], strict=True):
        found = await announced(lab)
    assert found.is_strict
    assert [*found.queues] == ["b", "a"]


async def test_a_worker_announces_itself_every_five_seconds_in_one_call() -> None:
    """By the clock, whether it has something to do or not; it is listed for three times that."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    async with lab.working():
        for _ in range(60):
            lab.manual.advance(1)
        calls = [call for call in broker.calls if call.verb == "announce"]
        seen = [call.arguments["info"] for call in calls]
        assert [info.seen - NOW for info in seen] == [*range(0, 61, 5)]
        assert {info.expires - info.seen for info in seen} == {15}
        assert len({info.id for info in seen}) == 1


async def test_how_often_a_worker_announces_itself_may_be_set() -> None:
    """It is listed for three times as long as it is told to be silent."""
    lab = Lab()
    async with lab.working(announce_every=60):
        lab.manual.advance(59)
        assert (await announced(lab)).seen == NOW
        lab.manual.advance(1)
        found = await announced(lab)
        assert (found.seen, found.expires) == (NOW + 60, NOW + 240)


@pytest.mark.parametrize("every", [0, -1, float("nan"), 40_000_000, "5", True])
def test_an_interval_that_makes_no_sense_is_refused(every: Any) -> None:
    """With its name, its value and what was expected."""
    with pytest.raises(InvalidOption, match=r"announce_every is .*: expected more than 0 seconds"):
        Lab().worker(announce_every=every)


async def test_what_runs_is_listed_with_since_when() -> None:
    """The longest run first; one that has just been claimed has begun by now."""
    lab, go_on = Lab(), asyncio.Event()

    @lab.task("wait", queue="slow")
    async def wait(ctx: Context) -> None:
        await go_on.wait()

    async with lab.working(queues=["slow"]):
        handles = []
        for _ in range(2):
            handles.append(await wait.enqueue())
            await lab.signals.started.next()
            lab.manual.advance(2)
        lab.manual.advance(1)
        found = await announced(lab)
        assert found.in_hand == 2
        assert found.running == tuple(
            RunningTask("slow", handle.id, "wait", NOW + 2 * n) for n, handle in enumerate(handles)
        )
        go_on.set()
        await lab.signals.settled.wait(2)
        lab.manual.advance(5)
        assert (await announced(lab)).running == ()


async def test_an_announcement_lists_no_more_runs_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The longest ones; how many there are is told all the same."""
    monkeypatch.setattr(announcer, "MOST_RUNS", 3)
    lab = Lab()

    @lab.task("wait")
    async def wait(ctx: Context) -> None:
        await asyncio.Event().wait()

    async with lab.working(grace=0):
        await lab.client.enqueue_many([wait.call() for _ in range(9)])
        await lab.signals.started.wait(9)
        lab.manual.advance(5)
        found = await announced(lab)
        assert (found.in_hand, len(found.running)) == (9, 3)


async def test_a_worker_says_when_a_claim_was_last_answered() -> None:
    """With tasks or without: one whose claims fail shows it."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    async with lab.working():
        await turn()
        lab.manual.advance(5)
        assert (await announced(lab)).last_claim == NOW
        await turn()
        broker.fail("claim", times=99)
        lab.manual.advance(30)
        await lab.signals.broker_failed.next()
        for _ in range(20):
            lab.manual.advance(1)
            await turn()
        assert (await announced(lab)).last_claim == NOW


async def test_a_worker_that_pauses_and_one_that_stops_say_so() -> None:
    """It is listed until what runs has ended."""
    lab, go_on = Lab(), asyncio.Event()

    @lab.task("wait")
    async def wait(ctx: Context) -> None:
        await go_on.wait()

    worker = lab.worker()
    running = asyncio.create_task(worker.run())
    await wait.enqueue()
    await lab.signals.started.next()
    told: list[Condition] = []
    for change in (worker.pause, worker.resume, worker.stop):
        change()
        lab.manual.advance(5)
        told.append((await announced(lab)).condition(lab.manual.now()))
    assert told == [Condition.PAUSED, Condition.RUNNING, Condition.STOPPING]
    go_on.set()
    await running
    assert await lab.inspector.workers() == []


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_worker_that_leaves_is_withdrawn(*, at_once: bool) -> None:
    """At once, rather than when its last announcement expires; and nothing comes after that."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    async with lab.working() as worker:
        worker.stop(at_once=at_once)
        await lab.signals.stopped.next()
    lab.manual.advance(60)
    assert await lab.inspector.workers() == []
    told = [call.verb for call in broker.calls if call.verb in {"announce", "withdraw"}]
    assert told == ["announce", "withdraw"]


async def test_a_worker_that_is_cancelled_is_withdrawn() -> None:
    """As at the end of a program that runs it beside something else."""
    lab = Lab()
    running = asyncio.create_task(lab.worker().run())
    await lab.signals.worker_started.next()
    assert await lab.inspector.workers()
    running.cancel()
    await asyncio.wait([running])
    assert await lab.inspector.workers() == []


async def test_each_run_of_a_worker_is_another() -> None:
    """Two with one name in one process are two, and so are two runs of one."""
    lab = Lab()
    async with lab.working(), lab.working():
        first, second = await lab.inspector.workers()
        assert first.name == second.name
        assert first.id != second.id


async def test_drain_leaves_nobody_behind() -> None:
    """A burst is a worker too, and withdraws."""
    lab = Lab()

    @lab.task("look")
    async def look(ctx: Context) -> int:
        return len(await lab.inspector.workers())

    handle = await look.using(retention=9).enqueue()
    assert await drain(lab) == 1
    assert await handle.result() == 1
    assert await lab.inspector.workers() == []


async def test_a_worker_that_cannot_announce_itself_works_all_the_same() -> None:
    """It is reported once in a row of failures, not every five seconds; and it goes on trying."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)

    @lab.task("work")
    async def work(ctx: Context) -> None: ...

    broker.fail("announce", times=4, error=BrokerUnusable("no room"))
    broker.fail("announce", error=BrokerUnavailable("away"))
    async with lab.working():
        await work.enqueue()
        await lab.signals.settled.next()
        for _ in range(4):
            lab.manual.advance(5)
        assert await lab.inspector.workers() == []
        lab.manual.advance(5)
        assert (await announced(lab)).seen == NOW + 25
        broker.fail("announce")
        lab.manual.advance(5)
    failed = [event for event in lab.signals.events if isinstance(event, BrokerFailed)]
    assert [event.call for event in failed] == ["announce", "announce"]
    assert str(failed[0].error) == "no room"
    assert failed[0].again_in == 5


class Unlisting(MemoryBroker):
    """A broker that lists no workers."""

    capabilities = MemoryBroker.capabilities - {Capability.WORKERS}

    async def announce(self, info: WorkerInfo) -> None:
        raise NotImplementedError

    async def withdraw(self, worker: str) -> None:
        raise NotImplementedError


async def test_a_broker_that_lists_no_workers_is_not_asked_to() -> None:
    """Its capabilities say so; to ask for workers there is an error that says why."""
    lab = Lab(Unlisting())
    async with lab.working():
        lab.manual.advance(30)
        with pytest.raises(InvalidOption, match="does not list workers"):
            await lab.inspector.workers()
    assert not [event for event in lab.signals.events if isinstance(event, BrokerFailed)]


class Hanging(ForwardingBroker):
    """A broker one of whose verbs does not come back; in code that blocks, until it is let go."""

    def __init__(self, verb: Verb) -> None:
        super().__init__(MemoryBroker())
        self.verb = verb
        self.hangs = threading.Event()
        self.let_go = threading.Event()
        self.is_blocking = False

    def blocking(self) -> "Hanging":
        twin = Hanging(self.verb)
        twin.inner, twin.hangs, twin.let_go = self.inner, self.hangs, self.let_go
        twin.is_blocking = True
        return twin

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[T]], /, **arguments: object
    ) -> T:
        if verb == self.verb and self.is_blocking is (verb == "announce"):
            self.hangs.set()
            if self.is_blocking:
                self.let_go.wait()
            else:
                await asyncio.Event().wait()
        return await super().around(verb, call, **arguments)


@pytest.mark.parametrize("verb", ["announce", "withdraw"])
async def test_a_call_that_hangs_keeps_nobody_from_leaving(
    monkeypatch: pytest.MonkeyPatch, verb: Verb
) -> None:
    """As in an outage: after a moment the worker leaves without it, and expires."""
    monkeypatch.setattr(announcer, "LAST_CALL", 0.01)
    broker, signals = Hanging(verb), Signals()
    q = Qcore(broker=broker, clock=SystemClock(), instruments=[signals])
    worker = q.worker(announce_every=0.01)
    running = asyncio.create_task(worker.run())
    await signals.worker_started.next()
    if verb == "announce":
        await asyncio.to_thread(broker.hangs.wait)
    worker.stop()
    await running
    assert broker.hangs.is_set()
    broker.let_go.set()


async def test_a_worker_whose_loop_is_blocked_says_so() -> None:
    """By another thread, while the handler blocks; and that the loop turns again."""
    q = Qcore("memory://", instruments=[signals := Signals()])
    seen: list[WorkerInfo] = []

    @q.task("block")
    async def block(ctx: Context) -> None:
        registry = q.broker
        assert isinstance(registry, MemoryBroker)
        until = time.monotonic() + 30
        while not seen and time.monotonic() < until:
            time.sleep(0.02)  # noqa: ASYNC251  (it is what this is about)
            seen.extend(_blocked(_stepped(registry.workers(now=q.clock.now())), q.clock.now()))

    async with q.running(announce_every=0.05):
        await block.enqueue()
        await signals.settled.next(timeout=30)
        [blocked] = seen
        assert blocked.loop_lag >= 1
        assert [task.name for task in blocked.running] == ["block"]
        await until_running(q)


async def until_running(q: Qcore) -> None:
    """Wait until the one worker says that it claims."""
    for _ in range(2_000):
        # none is listed where the machine is so busy that an announcement expires before the next
        workers = await q.inspector.workers()
        if [each.condition(q.clock.now()) for each in workers] == [Condition.RUNNING]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never says so")


def _stepped(coroutine: Any) -> Sequence[WorkerInfo]:
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    found: Sequence[WorkerInfo] = ended.value.value
    return found


def _blocked(workers: Sequence[WorkerInfo], now: float) -> list[WorkerInfo]:
    return [worker for worker in workers if worker.condition(now) is Condition.BLOCKED]
