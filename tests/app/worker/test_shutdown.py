import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand
from qcore.domain.transitions import Released
from qcore.testing import FaultyBroker, a_task
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored, turn


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


def sleeper(lab: Lab, seconds: float) -> None:
    """Give a queue a handler that takes so long."""

    @lab.task("slow", timeout=None, retention=600)
    async def slow(ctx: Context) -> str:
        await lab.clock.sleep_until(lab.clock.now() + seconds)
        return "done"


async def test_what_runs_may_end_within_the_grace() -> None:
    """After `stop` nothing more is claimed, and a worker leaves when its last task has ended."""
    lab = Lab(autojump=True)
    sleeper(lab, 20)
    worker = lab.worker(concurrency=1, grace=25)
    handle = await lab.client.enqueue(a_task(name="slow", retention=60))
    waiting = await lab.client.enqueue(a_task(name="slow"))
    running = asyncio.create_task(worker.run())
    await lab.signals.started.next()
    worker.stop()
    await running
    assert lab.clock.now() == NOW + 20
    assert await handle.result() == "done"
    assert await waiting.status() is State.PENDING
    assert (await stored(waiting)).attempts == 0
    assert (await lab.signals.stopping.next()).running == 1
    assert (await lab.signals.stopped.next()).released == 0


async def test_an_idle_worker_leaves_at_once(lab: Lab) -> None:
    """With nothing in hand there is no grace to wait for."""
    worker = lab.worker(grace=25)
    running = asyncio.create_task(worker.run())
    await lab.signals.worker_started.next()
    await turn()
    worker.stop()
    await asyncio.wait_for(running, 30)
    assert lab.clock.now() == NOW


async def test_when_the_grace_is_over_the_rest_is_released() -> None:
    """What has not ended is cancelled and goes back, at the head of its queue, unburned."""
    lab = Lab(autojump=True)
    ended: list[float] = []

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(lab.clock.now() - NOW)

    worker = lab.worker(concurrency=1, grace=25)
    handle, waiting = await slow.enqueue(), await slow.enqueue()
    running = asyncio.create_task(worker.run())
    await lab.signals.started.next()
    await turn()
    begun = lab.clock.now() - NOW
    worker.stop()
    await running
    assert ended == [begun + 25]
    task = await stored(handle)
    assert (task.state, task.failures, task.crashes, task.error) == (State.PENDING, 0, 0, None)
    assert (await lab.signals.settled.next()).verdict.outcome == Released()
    assert (await lab.signals.stopped.next()).released == 1
    page = await lab.inspector.browse("default", State.PENDING)
    assert [each.id for each in page.tasks] == [handle.id, waiting.id]


async def test_a_second_stop_does_not_wait(lab: Lab) -> None:
    """`stop(at_once=True)` ends the grace: what runs is released now."""
    sleeper(lab, 1000)
    worker = lab.worker(grace=25)
    handle = await lab.client.enqueue(a_task(name="slow"))
    running = asyncio.create_task(worker.run())
    await lab.signals.started.next()
    worker.stop()
    await lab.signals.stopping.next()
    await turn()
    assert not running.done()
    worker.stop(at_once=True)
    await asyncio.wait_for(running, 30)
    assert lab.clock.now() == NOW
    assert await handle.status() is State.PENDING


@pytest.mark.parametrize("kind", ["error", "return"])
async def test_whatever_a_cancelled_handler_does_its_task_is_released(lab: Lab, kind: str) -> None:
    """A handler that turns its cancellation into something else burns nothing by it."""
    told: list[BaseException] = []
    lab.on_error(lambda _, error: told.append(error))  # type: ignore[arg-type, return-value]

    @lab.task("slow", max_retry=0, retention=60)
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if kind == "error":
                raise ConnectionError("closed by cancellation") from None

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.started.next()
        await turn()
    assert await handle.status() is State.PENDING
    assert told == []


async def test_a_coroutine_that_will_not_end_does_not_hold_the_worker(lab: Lab) -> None:
    """Its task goes back all the same."""
    go = asyncio.Event()

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                assert ctx.is_cancelled

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.started.next()
        await turn()
    assert await handle.status() is State.PENDING
    go.set()
    await turn()
    # it was released over its head: what it comes to now is nobody's
    assert lab.signals.finished.seen == []


async def test_a_thread_that_never_ends_does_not_hold_the_worker(lab: Lab) -> None:
    """A thread cannot be ended; its task is released, and the worker leaves without it."""
    go, saw = threading.Event(), threading.Event()

    @lab.task("slow")
    def slow(ctx: Context) -> None:
        assert go.wait(30)
        assert ctx.is_cancelled
        saw.set()

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.started.next()
        await turn()
    assert await handle.status() is State.PENDING
    go.set()
    assert await asyncio.to_thread(saw.wait, 30)


async def test_what_waits_in_line_is_released_too(lab: Lab) -> None:
    """A task that was claimed and had no thread yet goes back with those that run."""
    go = threading.Event()

    @lab.task("slow")
    def slow(ctx: Context) -> None:
        assert go.wait(30)

    for _ in range(2):
        await slow.enqueue()
    async with lab.working(threads=1):
        await lab.signals.claimed.wait(2)
        await turn()
    go.set()
    assert await lab.inspector.counts() == {"default": {State.PENDING: 2}}
    assert len(lab.signals.started.seen) == 1


async def test_a_worker_that_is_cancelled_releases_what_it_has(lab: Lab) -> None:
    """To cancel `run()` is to stop at once: nothing is lost, and the cancellation goes on."""
    sleeper(lab, 1000)
    handle = await lab.client.enqueue(a_task(name="slow"))
    running = asyncio.create_task(lab.worker().run())
    await lab.signals.started.next()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    task = await stored(handle)
    assert (task.state, task.failures, task.crashes) == (State.PENDING, 0, 0)


class Slow(MemoryBroker):
    """A broker whose answer to a claim takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed = asyncio.Event()
        self.answer = asyncio.Event()

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        self.claimed.set()
        await self.answer.wait()
        return claims


async def test_a_worker_cancelled_while_it_claims_gives_back_what_it_is_handed() -> None:
    """The broker has handed it out already: were it forgotten, its lease would have to run out."""
    broker = Slow()
    lab = Lab(broker)
    sleeper(lab, 1000)
    handle = await lab.client.enqueue(a_task(name="slow"))
    running = asyncio.create_task(lab.worker().run())
    await broker.claimed.wait()
    running.cancel()
    await turn()
    broker.answer.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    task = await stored(handle)
    assert (task.state, task.failures, task.crashes) == (State.PENDING, 0, 0)


async def test_a_claim_on_its_way_is_not_lost() -> None:
    """Tasks whose claim comes back after `stop` are run or given back, never forgotten."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker, autojump=True)
    sleeper(lab, 1)
    broker.delay("claim", 3, lab.clock)
    handle = await lab.client.enqueue(a_task(name="slow"))
    worker = lab.worker()
    running = asyncio.create_task(worker.run())
    await lab.signals.worker_started.next()
    await turn(3)
    assert not lab.signals.claimed.seen
    worker.stop()
    await running
    assert await handle.status() in (State.GONE, State.PENDING)
    assert lab.clock.now() < NOW + 10


async def test_a_worker_that_was_stopped_before_it_began_claims_nothing(lab: Lab) -> None:
    """`stop` may come first."""
    handle = await lab.client.enqueue(a_task(name="slow"))
    worker = lab.worker()
    worker.stop()
    await worker.run()
    assert (await stored(handle)).attempts == 0


async def test_the_lifespan_outlives_the_handlers() -> None:
    """What handlers use is taken down after the last of them has ended."""
    lab = Lab(autojump=True)
    diary: list[str] = []

    @lab.lifespan
    async def pool() -> AsyncIterator[object]:
        yield "pool"
        diary.append("closed")

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            diary.append(ctx.state(str))

    await slow.enqueue()
    async with lab.working():
        await lab.signals.started.next()
        await turn()
    assert diary == ["pool", "closed"]


async def test_a_worker_leaves_nothing_behind(lab: Lab) -> None:
    """When `run` returns no coroutine, no thread of its own and no listener is left."""

    @lab.task("mail")
    def mail(ctx: Context) -> None: ...

    # what was not ours to begin with
    threads = set(threading.enumerate())
    async with lab.working():
        await mail.enqueue()
        await lab.signals.settled.next()
    await turn()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    for thread in set(threading.enumerate()) - threads:
        await asyncio.to_thread(thread.join, 30) if "qcore" in thread.name else None
        assert "qcore" not in thread.name or not thread.is_alive()
    await mail.enqueue()
    assert len(lab.signals.claimed.seen) == 1


async def test_a_worker_that_runs_again_has_its_grace_again() -> None:
    """Neither the end of the grace nor the last moment for verdicts is left from the run before."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    go = asyncio.Event()

    @lab.task("slow", retention=600)
    async def slow(ctx: Context) -> None:
        await go.wait()

    worker = lab.worker(grace=25, lease=30)
    worker.stop(at_once=True)
    await worker.run()
    lab.manual.advance(100)
    handle = await slow.enqueue()
    running = asyncio.create_task(worker.run())
    await lab.signals.started.next()
    broker.fail("settle")
    worker.stop()
    await turn()
    go.set()
    await lab.signals.broker_failed.next()
    lab.manual.advance(10)
    await running
    assert await handle.status() is State.COMPLETED


async def test_the_grace_begins_when_a_worker_is_first_told_to_leave() -> None:
    """Neither a claim that takes long to come back nor a second `stop` makes it any longer."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    ended: list[Moment] = []

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(lab.clock.now() - NOW)

    worker = lab.worker(grace=25)
    running = asyncio.create_task(worker.run())
    await lab.signals.worker_started.next()
    await turn()
    broker.delay("claim", 10, lab.clock)
    await slow.enqueue()
    await turn()
    worker.stop()
    for _ in range(8):
        lab.manual.advance(5)
        worker.stop()
        await turn()
    await running
    assert ended == [25]


async def test_the_broker_for_threads_is_closed_with_its_worker() -> None:
    """A broker whose blocking twin is another one has that closed when the worker leaves."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    worker = lab.worker(burst=True)
    await worker.run()
    assert [call.verb for call in broker.calls].count("close") == 1
