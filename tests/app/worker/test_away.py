"""Workers that were away, or whose broker was: they judge nobody who could not renew a lease."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from qcore import Context, Handle, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import LeaseLost, Swept
from qcore.domain.moments import Moment
from qcore.domain.task import Lease
from qcore.errors import BrokerUnavailable
from qcore.ports import Broker, Capability
from qcore.testing import FaultyBroker, ManualClock
from qcore.testing.builders import NOW, a_demand, a_task
from tests.app.kit import Lab, stored, turn

LEASE = 30.0
HOUR = 3_600.0


class Shared(MemoryBroker):
    """A store in memory, as if other processes used it as well."""

    capabilities = MemoryBroker.capabilities | {Capability.SHARED}


class Plant:
    """Two workers on one store, each with two long runs."""

    def __init__(self) -> None:
        self.broker = FaultyBroker(Shared())
        self.first = Lab(self.broker, autojump=True)
        self.labs = [self.first, Lab(self.broker, clock=self.first.clock)]
        self.clock: ManualClock = self.first.manual
        self.handles: list[Handle[None]] = []

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        async def hold(ctx: Context) -> None:
            await asyncio.Event().wait()

        async with AsyncExitStack() as stack:
            for lab in self.labs:
                task = lab.task("hold", timeout=None)(hold)
                self.handles += [await task.enqueue() for _ in range(2)]
                await stack.enter_async_context(lab.working(lease=LEASE, concurrency=2))
                await lab.signals.started.wait(2)
            yield

    async def crashes(self) -> list[tuple[int, int]]:
        """Return the attempts and crashes of each task."""
        tasks = [await stored(handle) for handle in self.handles]
        assert {task.state for task in tasks} <= {State.ACTIVE, State.PENDING}
        return [(task.attempts, task.crashes) for task in tasks]


@pytest.fixture
def plant() -> Plant:
    """Return the two."""
    return Plant()


@pytest.mark.parametrize("seconds", [25.0, 31.0, 34.0, 45.0, 100.0])
async def test_an_outage_longer_than_a_lease_costs_nobody_a_task(
    plant: Plant, seconds: float
) -> None:
    """Whoever reaches the broker first renews, and gives the other the time to."""
    async with plant.working():
        for _ in range(3):
            with plant.broker.down():
                await plant.clock.sleep(seconds)
            await plant.clock.sleep(20)
        assert await plant.crashes() == [(1, 0)] * 4


async def test_a_worker_that_starts_after_an_outage_takes_nothing(plant: Plant) -> None:
    """It knows of no outage, and waits before it judges for the first time."""
    third = Lab(plant.broker, clock=plant.clock)
    async with plant.working():
        with plant.broker.down():
            await plant.clock.sleep(100)
        async with third.working(lease=LEASE, queues=["default"]):
            await plant.clock.sleep(20)
        assert await plant.crashes() == [(1, 0)] * 4


async def test_a_burst_after_an_outage_takes_nothing(plant: Plant) -> None:
    """It stays until it has seen whether what others have in hand was lost."""
    third = Lab(plant.broker, clock=plant.clock)
    async with plant.working():
        with plant.broker.down():
            await plant.clock.sleep(100)
        began = plant.clock.now()
        await third.worker(lease=LEASE, queues=["default"], burst=True).run()
        assert 3 < plant.clock.now() - began < 6
        assert await plant.crashes() == [(1, 0)] * 4


async def test_a_burst_runs_what_a_crashed_worker_left() -> None:
    """It is the only worker there is, as when a timer starts one each minute."""
    lab = Lab(Shared(), autojump=True)

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    await lab.broker.claim(a_demand(1), now=NOW - 60, until=NOW - 30)
    worker = lab.worker(burst=True)
    await worker.run()
    assert worker.executed == 1


@pytest.mark.parametrize("jump", [HOUR, 86_400.0, -86_400.0])
async def test_a_suspension_or_a_clock_that_is_set_costs_nobody_a_task(
    plant: Plant, jump: float
) -> None:
    """To both workers all leases seem over at once; each renews its own before it judges."""
    async with plant.working():
        plant.clock.set_to(plant.clock.now() + jump)
        await plant.clock.sleep(60)
        assert await plant.crashes() == [(1, 0)] * 4


async def test_a_blocked_loop_judges_nobody_when_it_is_free_again() -> None:
    """It first gives those time to renew that may have been blocked with it."""
    sweeps: list[Moment] = []

    class Seen(ForwardingBroker):
        async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
            sweeps.append(now)
            return await super().sweep(queues, limit, now=now)

    lab = Lab(Seen(MemoryBroker()))
    async with lab.working(lease=LEASE):
        await turn()
        assert sweeps == [NOW]
        # its sleeper wakes, but its loop does not turn before a minute is over
        lab.manual.advance(60)
        await turn()
        assert sweeps[-1] == NOW
        await stepped(lab, 10)
        assert sweeps[-1] > NOW + 69


async def stepped(lab: Lab, seconds: int) -> None:
    """Let time pass, and the loop turn with it."""
    for _ in range(seconds):
        lab.manual.advance(1)
        await turn()


class OneSided(ForwardingBroker):
    """A store that one worker cannot write to, and another can."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.is_away = False

    async def extend(
        self, leases: Sequence[Lease], *, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        if self.is_away:
            raise BrokerUnavailable("cut off")
        return await super().extend(leases, until=until)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        if self.is_away:
            raise BrokerUnavailable("cut off")
        return await super().sweep(queues, limit, now=now)


async def test_who_alone_was_away_loses_its_tasks_and_takes_none() -> None:
    """The other could not tell it from one that crashed; it finds its leases lost, and stops."""
    store = MemoryBroker()
    mine = OneSided(store)
    lab = Lab(mine, autojump=True)
    other = Lab(store, clock=lab.clock)

    async def hold(ctx: Context) -> None:
        await asyncio.Event().wait()

    tasks = [each.task("hold", timeout=None)(hold) for each in (lab, other)]
    handles = [await task.enqueue() for task in tasks]
    async with lab.working(lease=LEASE, concurrency=1):
        await lab.signals.started.next()
        async with other.working(lease=LEASE, concurrency=2):
            await other.signals.started.next()
            mine.is_away = True
            await other.signals.started.next()
            mine.is_away = False
            lost = await lab.signals.lease_lost.next()
            await lab.clock.sleep(60)
            assert lost.claim.task.id == handles[0].id
            assert [(await stored(each)).crashes for each in handles] == [1, 0]
            assert lab.signals.swept.seen == []


async def test_those_who_come_back_one_after_the_other_take_nothing_from_each_other() -> None:
    """As containers that are thawed one by one: the last has as long as a lease."""
    store, lease = Shared(), 4.0
    brokers = [OneSided(store), OneSided(store)]
    first = Lab(brokers[0], autojump=True)
    labs = [first, Lab(brokers[1], clock=first.clock)]

    async def hold(ctx: Context) -> None:
        await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        handles = []
        for lab in labs:
            handles.append(await lab.task("hold", timeout=None)(hold).enqueue())
            await stack.enter_async_context(lab.working(lease=lease, concurrency=1))
            await lab.signals.started.next()
        await first.clock.sleep(10)
        for broker in brokers:
            broker.is_away = True
        await first.clock.sleep(30)
        for lab, broker in zip(labs, brokers, strict=True):
            broker.is_away = False
            await lab.signals.recovered.next()
            await first.clock.sleep(lease * 0.8)
        await first.clock.sleep(30)
        tasks = [await stored(handle) for handle in handles]
    assert [(task.attempts, task.crashes) for task in tasks] == [(1, 0)] * 2


class CutOffThread(ForwardingBroker):
    """A store that the thread of the heartbeat does not reach, while the event loop does."""

    def blocking(self) -> OneSided:  # type: ignore[override]
        cut_off = OneSided(self.inner)
        cut_off.is_away = True
        return cut_off


async def test_the_event_loop_renews_what_the_heartbeat_cannot() -> None:
    """Before each sweep: a connection of its own that hangs costs no task, whoever sweeps."""
    store = MemoryBroker()
    lab = Lab(CutOffThread(store), autojump=True)
    other = Lab(store, clock=lab.clock)

    @lab.task("hold", timeout=None)
    async def hold(ctx: Context) -> None:
        await asyncio.Event().wait()

    handle = await hold.enqueue()
    async with lab.working(lease=LEASE):
        await lab.signals.started.next()
        async with other.working(lease=LEASE):
            await lab.clock.sleep(200)
        task = await stored(handle)
        assert (task.attempts, task.crashes) == (1, 0)


@pytest.mark.parametrize("after", [0.0, 10.0, 22.0, 26.0, 29.5, 60.0])
async def test_a_lone_worker_that_was_restarted_notices_its_crash_in_time(after: float) -> None:
    """Within the lease and five seconds, or five seconds after the restart."""
    lab = Lab(Shared(), autojump=True)

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    await lab.broker.claim(a_demand(1), now=NOW, until=NOW + LEASE)
    lab.manual.advance(after)
    async with lab.working(lease=LEASE):
        await lab.signals.started.next()
    assert NOW + LEASE <= lab.clock.now() <= NOW + max(LEASE, after) + 5


@pytest.mark.parametrize("lease", [1.0, 5.0, 30.0, 600.0])
@pytest.mark.parametrize("crashed_at", [0.0, 1.3, 2.9])
async def test_a_crash_is_noticed_within_the_lease_and_five_seconds(
    lease: float, crashed_at: float
) -> None:
    """By a worker that works on, whatever the length of its leases."""
    lab = Lab(Shared(), autojump=True)

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    async with lab.working(lease=lease):
        await lab.clock.sleep(20 + crashed_at)
        await lab.broker.enqueue([a_task(name="mail", due=lab.clock.now() + 0.001)], now=NOW)
        now = lab.clock.now() + 0.001
        claims = await lab.broker.claim(a_demand(1), now=now, until=now + lease)
        assert len(claims) == 1
        await lab.signals.started.next()
    assert now + lease <= lab.clock.now() <= now + lease + 5


def jump_back(clock: ManualClock) -> None:
    """Set the time back by a day."""
    clock.set_to(clock.now() - 86_400)


def jump_ahead(clock: ManualClock) -> None:
    """Set the time ahead by an hour."""
    clock.set_to(clock.now() + HOUR)


@pytest.mark.parametrize("jump", [jump_back, jump_ahead])
async def test_a_timeout_does_not_jump_with_the_clock(jump: Callable[[ManualClock], None]) -> None:
    """It is a number of seconds of the run, whatever the time is set to meanwhile."""
    lab = Lab(autojump=True)
    ends: list[float] = []

    @lab.task("slow", timeout=100)
    async def slow(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(lab.clock.monotonic() - NOW)

    await slow.enqueue()
    async with lab.working():
        await lab.signals.started.next()
        jump(lab.manual)
        await lab.signals.settled.next()
    assert ends == [100]


async def test_a_worker_goes_on_when_its_clock_is_set_back() -> None:
    """It waited for a moment that is a day away now, and looks again what is due."""
    lab = Lab(autojump=True)

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    async with lab.working():
        lab.manual.set_to(NOW + 86_400)
        await mail.using(delay=5).enqueue()
        await lab.clock.sleep(1)
        lab.manual.set_to(NOW)
        [task] = (await lab.inspector.browse("default", State.SCHEDULED)).tasks
        await lab.inspector.reschedule("default", [task.id], delay=2)
        await lab.signals.started.next()
    assert lab.clock.now() - NOW <= 3
