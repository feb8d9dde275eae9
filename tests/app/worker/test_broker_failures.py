import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import pytest

from qcore import BrokerUnavailable, Context, Handle, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import LeaseLost, Settled, Swept
from qcore.domain.events import TasksSwept
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Crashed
from qcore.testing import FaultyBroker
from qcore.testing.builders import NOW, a_demand, a_task
from tests.app.kit import Lab, stored, turn

Trouble = Literal["claim", "settle", "sweep", "next_due"]
TROUBLES: tuple[Trouble, ...] = ("claim", "settle", "sweep", "next_due")


@pytest.fixture
def broker() -> FaultyBroker:
    """Return a broker that can be unwell."""
    return FaultyBroker(MemoryBroker())


@pytest.fixture
def lab(broker: FaultyBroker) -> Lab:
    """Return a queue in memory."""
    return Lab(broker, autojump=True)


def once(lab: Lab, ran: list[str]) -> Callable[[], Awaitable[Handle[int]]]:
    """Give a queue a handler that notes its runs; return how to enqueue one of its tasks."""

    @lab.task("mail", retention=1_000_000)
    async def mail(ctx: Context) -> int:
        ran.append(ctx.id)
        return ctx.attempt

    return mail.enqueue


@pytest.mark.parametrize("verb", TROUBLES)
async def test_a_call_that_fails_is_tried_until_it_succeeds(
    lab: Lab, broker: FaultyBroker, verb: Trouble
) -> None:
    """Whichever call it is, the worker backs off, comes back by itself, and runs its tasks."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    broker.fail(verb, times=5)
    async with lab.working():
        handle = await enqueue()
        recovered = await lab.signals.recovered.next()
        assert (recovered.call, recovered.failures) == (verb, 5)
        assert await handle.result() == 1
    assert ran == [handle.id]
    assert [failed.call for failed in lab.signals.broker_failed.seen] == [verb] * 5


@pytest.mark.parametrize(
    ("roll", "pauses"),
    [
        (0.5, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]),
        (0.25, [0.05, 0.05, 0.1, 0.2, 0.4, 0.8, 1.25, 1.25]),
        (0.0, [0.05] * 8),
    ],
)
async def test_the_pauses_grow_and_are_jittered(
    broker: FaultyBroker, roll: float, pauses: list[float]
) -> None:
    """Each pause is a share of twice the one before, up to five seconds: the dice say which."""
    lab = Lab(broker, autojump=True, dice=lambda: roll)
    broker.fail("claim", times=8)
    async with lab.working():
        await lab.signals.recovered.next()
    failed = lab.signals.broker_failed.seen
    assert [round(each.again_in, 9) for each in failed] == pauses
    called = [call.arguments["now"] for call in broker.calls if call.verb == "claim"]
    assert called[8] == pytest.approx(NOW + sum(pauses))


async def test_no_success_is_lost_while_the_broker_is_away(lab: Lab, broker: FaultyBroker) -> None:
    """What succeeded during an outage shorter than a lease is settled after it, and once."""
    ran: list[str] = []
    go = asyncio.Event()

    @lab.task("slow", retention=1_000_000)
    async def slow(ctx: Context, number: int) -> int:
        await go.wait()
        ran.append(ctx.id)
        return number

    handles = [await slow.enqueue(number) for number in range(20)]
    async with lab.working(lease=30):
        await lab.signals.started.wait(20)
        with broker.down():
            go.set()
            await lab.signals.finished.wait(20)
            await lab.clock.sleep_until(NOW + 20)
            assert not lab.signals.settled.seen
        settled = await lab.signals.settled.wait(20)
    assert lab.clock.now() < NOW + 30
    assert [each.answer for each in settled] == [Settled(State.COMPLETED)] * 20
    assert [await handle.result() for handle in handles] == list(range(20))
    assert len(ran) == 20


async def test_work_goes_on_after_an_outage(lab: Lab, broker: FaultyBroker) -> None:
    """A worker that started before the store went away serves what comes after it is back."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    async with lab.working():
        with broker.down():
            await lab.clock.sleep_until(NOW + 600)
        await enqueue()
        await lab.signals.settled.next()
    assert len(ran) == 1


async def test_a_verdict_whose_reply_was_lost_is_not_run_twice(
    lab: Lab, broker: FaultyBroker
) -> None:
    """It was written: the second try is told so, and that is the end."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    broker.drop_reply("settle")
    async with lab.working(lease=30):
        handle = await enqueue()
        settled = await lab.signals.settled.next()
        assert settled.answer == LeaseLost()
        await lab.clock.sleep_until(NOW + 100)
    assert len(ran) == 1
    assert await handle.result() == 1


async def test_a_claim_whose_reply_was_lost_comes_back(lab: Lab, broker: FaultyBroker) -> None:
    """Nobody knows of the claim: when its lease has run out the task is run, as if crashed."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    handle = await enqueue()
    broker.drop_reply("claim")
    async with lab.working(lease=30):
        await lab.signals.settled.next()
    assert NOW + 30 <= lab.clock.now() < NOW + 36
    assert (await stored(handle)).crashes == 1
    assert ran == [handle.id]


async def test_a_crashed_workers_task_is_noticed_in_time(lab: Lab) -> None:
    """A task of a worker that is no more is run by another within its lease and five seconds."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    await enqueue()
    await lab.broker.claim(a_demand(1), now=NOW, until=NOW + 30)
    async with lab.working():
        await lab.signals.started.next()
        assert NOW + 30 <= lab.clock.now() <= NOW + 35


async def test_a_crash_is_told_to_instruments_and_is_in_the_tasks_history(lab: Lab) -> None:
    """Whoever takes it back says so, and the next attempt can see what became of the last."""
    handle = await once(lab, [])()
    await lab.broker.claim(a_demand(1), now=NOW, until=NOW + 30)
    async with lab.working():
        await lab.signals.settled.next()
    assert TasksSwept(Swept(crashed=1)) in lab.signals.events
    [details] = await lab.broker.details(handle.queue, [handle.id])
    assert details is not None
    [fault] = details.errors
    assert (fault.attempt, fault.error) == (1, Crashed().error)


@pytest.mark.parametrize("verb", TROUBLES)
@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("odd"), TimeoutError()])
async def test_an_odd_error_of_a_broker_is_one_like_any_other(
    lab: Lab, broker: FaultyBroker, verb: Trouble, error: BaseException
) -> None:
    """Also a cancellation that nobody asked for: as when a driver lets go of a connection."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    broker.fail(verb, times=2, error=error)  # type: ignore[arg-type]
    async with lab.working():
        handle = await enqueue()
        assert await handle.result(timeout=100) == 1
        await lab.clock.sleep_until(NOW + 10)
        again = await enqueue()
        assert await again.result(timeout=100) == 1
        await lab.signals.recovered.next()


class TestShutdown:
    async def test_a_worker_waits_a_lease_for_a_broker_that_is_away(
        self, lab: Lab, broker: FaultyBroker
    ) -> None:
        """At shutdown verdicts are tried for as long as they could count, and then given up."""
        ran: list[str] = []
        enqueue = once(lab, ran)
        worker = lab.worker(lease=30, grace=5)
        handle = await enqueue()
        broker.fail("settle", times=100_000)
        running = asyncio.create_task(worker.run())
        await lab.signals.broker_failed.next()
        begun = lab.clock.now()
        worker.stop()
        await asyncio.wait_for(running, 30)
        assert begun + 25 <= lab.clock.now() <= begun + 36
        assert await handle.status() is State.ACTIVE

    async def test_a_broker_that_comes_back_in_time_gets_them(
        self, lab: Lab, broker: FaultyBroker
    ) -> None:
        """A short outage at shutdown loses nothing."""
        ran: list[str] = []
        enqueue = once(lab, ran)
        broker.fail("settle", times=4)
        handle = await enqueue()
        worker = lab.worker(lease=30)
        running = asyncio.create_task(worker.run())
        await lab.signals.started.next()
        worker.stop()
        await asyncio.wait_for(running, 30)
        assert await handle.result() == 1

    async def test_a_worker_that_cannot_claim_leaves_when_told(
        self, lab: Lab, broker: FaultyBroker
    ) -> None:
        """A worker in the midst of a pause does not sit it out."""
        lab = Lab(broker)
        broker.fail("claim", times=100_000)
        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await lab.signals.broker_failed.next()
        worker.stop()
        await asyncio.wait_for(running, 30)
        assert lab.clock.now() == NOW

    async def test_who_asks_twice_does_not_wait_for_it(self, broker: FaultyBroker) -> None:
        """With `at_once` a worker leaves though its verdicts are not written."""
        lab = Lab(broker)
        ran: list[str] = []
        enqueue = once(lab, ran)
        broker.fail("settle", times=100_000)
        await enqueue()
        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await lab.signals.broker_failed.next()
        worker.stop(at_once=True)
        await asyncio.wait_for(running, 30)
        assert lab.clock.now() == NOW


@pytest.mark.parametrize("verb", ["open", "subscribe"])
async def test_a_store_that_cannot_be_opened_is_an_error(
    lab: Lab, broker: FaultyBroker, verb: Literal["open", "subscribe"]
) -> None:
    """A worker that cannot even begin says so, rather than seem to work."""
    broker.fail(verb)
    with pytest.raises(BrokerUnavailable):
        await lab.worker().run()
    await turn()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_ended_while_the_broker_was_away_is_not_swept_as_crashed(
    lab: Lab, broker: FaultyBroker
) -> None:
    """After an outage longer than a lease the worker's verdict comes before its own sweep."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    # for longer than a lease it can neither settle nor renew, but could sweep
    broker.fail("settle", times=10)
    broker.fail("extend", times=100)
    async with lab.working(lease=3, sweep_every=0.5):
        handle = await enqueue()
        assert (await lab.signals.recovered.next()).call == "settle"
        assert lab.clock.now() > NOW + 10
        assert await handle.result() == 1
    assert ran == [handle.id]


class Hanging(MemoryBroker):
    """A broker whose settle never answers."""

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        return await asyncio.get_running_loop().create_future()


async def test_a_settle_that_never_answers_holds_no_graceful_stop() -> None:
    """A worker that is told to leave does so a lease later at the latest."""
    lab = Lab(Hanging(), autojump=True)
    enqueue = once(lab, [])
    worker = lab.worker(lease=30)
    running = asyncio.create_task(worker.run())
    await enqueue()
    await lab.signals.finished.next()
    began = lab.clock.now()
    worker.stop()
    await running
    assert lab.clock.now() - began <= 30


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_worker_leaves_though_its_broker_is_away(
    broker: FaultyBroker,
    at_once: bool,  # noqa: FBT001  (a parameter of the test)
) -> None:
    """Whichever call fails when it is told to leave, it does not wait for it to succeed."""
    lab = Lab(broker, autojump=True)
    worker = lab.worker(grace=20)
    running = asyncio.create_task(worker.run())
    await lab.signals.worker_started.next()
    with broker.down():
        await lab.signals.broker_failed.wait(5)
        began = lab.clock.now()
        worker.stop(at_once=at_once)
        await running
    assert lab.clock.now() - began < 5


class Silent(MemoryBroker):
    """A broker that has stopped to answer."""

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        return await asyncio.get_running_loop().create_future()


async def test_a_claim_that_never_answers_holds_no_graceful_stop() -> None:
    """It is waited for as long as a handler would be."""
    lab = Lab(Silent(), autojump=True)
    worker = lab.worker(grace=20)
    running = asyncio.create_task(worker.run())
    await lab.signals.worker_started.next()
    began = lab.clock.now()
    worker.stop()
    await running
    assert lab.clock.now() - began <= 20


async def test_a_worker_that_was_stopped_may_run_again(lab: Lab) -> None:
    """What told it to leave is forgotten once it has left."""
    ran: list[str] = []
    enqueue = once(lab, ran)
    worker = lab.worker(burst=True)
    for runs in (1, 2):
        await enqueue()
        await worker.run()
        assert len(ran) == runs


async def test_verdicts_that_piled_up_are_settled_a_thousand_at_a_time(
    lab: Lab, broker: FaultyBroker
) -> None:
    """A slow broker is not given all of them in one call; a worker that leaves loses none."""

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    broker.delay("settle", 0.1, lab.clock, times=5)
    await lab.client.enqueue_many([mail.call() for _ in range(2_500)])
    async with lab.working(concurrency=5_000):
        await lab.signals.finished.wait(2_500)
    assert await broker.inner.count() == {}
    calls = [call.arguments["verdicts"] for call in broker.calls if call.verb == "settle"]
    assert max(len(verdicts) for verdicts in calls) == 1_000  # type: ignore[arg-type]


async def test_a_sweep_that_leaves_more_is_made_again_at_once(
    lab: Lab, broker: FaultyBroker
) -> None:
    """Crashed tasks beyond what one sweep takes back do not wait for the next interval."""
    lab = Lab(broker)
    await lab.client.enqueue_many([a_task() for _ in range(2_500)])
    await lab.broker.claim(a_demand(2_500), now=NOW, until=NOW)
    worker = lab.worker()
    worker.pause()
    running = asyncio.create_task(worker.run())
    swept = await lab.signals.swept.wait(3)
    assert [each.swept.crashed for each in swept] == [1_000, 1_000, 500]
    assert lab.clock.now() == NOW
    worker.stop()
    await running
