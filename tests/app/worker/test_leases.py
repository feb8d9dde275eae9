import asyncio
import threading
from collections.abc import Sequence

from qcore import Context, State
from qcore.adapters.clocks import SystemClock
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.watchdog import Watchdog
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.events import Event, LoopBlocked
from qcore.domain.moments import Moment
from qcore.domain.task import Lease
from qcore.errors import BrokerUnusable
from qcore.testing import FaultyBroker
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored, turn

PATIENCE = 30.0
"""Real seconds after which what did not come is taken not to come."""


class Counting(ForwardingBroker):
    """A broker that says, to any thread, when leases were extended so often."""

    def __init__(self, enough: int) -> None:
        super().__init__(MemoryBroker())
        self.extended: list[int] = []
        self.enough = enough
        self.often_enough = threading.Event()

    async def extend(
        self, leases: Sequence[Lease], *, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        answers = await super().extend(leases, until=until)
        self.extended.append(len(leases))
        if len(self.extended) >= self.enough:
            self.often_enough.set()
        return answers


async def test_a_long_run_keeps_its_lease() -> None:
    """While a handler runs its lease is renewed, and no sweep takes its task away."""
    lab = Lab(autojump=True)

    @lab.task("slow", timeout=None, retention=60)
    async def slow(ctx: Context) -> float:
        await lab.clock.sleep_until(NOW + 1000)
        return ctx.lease.until

    handle = await slow.enqueue()
    async with lab.working(lease=30):
        assert await handle.result(timeout=2000) > NOW + 1000
    assert (await stored(handle)).crashes == 0
    assert len(lab.signals.started.seen) == 1


async def test_a_queue_that_cannot_be_served_costs_no_other_its_leases() -> None:
    """Those of the others are renewed each by itself; the bad one is told of."""

    class OneBad(ForwardingBroker):
        async def extend(
            self, leases: Sequence[Lease], *, until: Moment
        ) -> Sequence[Lease | LeaseLost]:
            if any(lease.queue == "bad" for lease in leases):
                raise BrokerUnusable("spoilt")
            return await super().extend(leases, until=until)

    lab = Lab(OneBad(MemoryBroker()))

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        await asyncio.Event().wait()

    for queue in ("bad", "good", "fine"):
        await slow.using(queue=queue).enqueue()
    async with lab.working(lease=30, queues=["bad", "good", "fine"]):
        await lab.signals.started.wait(3)
        lab.manual.advance(10)
        failed = await lab.signals.broker_failed.next()
        assert (failed.call, str(failed.error)) == ("extend", "spoilt")
        counts = await swept_at(lab, NOW + 30)
        assert counts == {"bad": State.PENDING, "good": State.ACTIVE, "fine": State.ACTIVE}


async def swept_at(lab: Lab, moment: Moment) -> dict[str, State]:
    """Sweep all queues; return which state the one task of each is in."""
    counts = await lab.broker.count()
    await lab.broker.sweep([*counts], 10, now=moment)
    return {queue: next(iter(states)) for queue, states in (await lab.broker.count()).items()}


async def test_leases_are_renewed_each_third_and_together() -> None:
    """One call renews all that have been held for a while; what was just claimed can wait."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        await asyncio.Event().wait()

    for _ in range(5):
        await slow.enqueue()
    async with lab.working(lease=30):
        await lab.signals.started.wait(5)
        for _ in range(3):
            lab.manual.advance(9)
            await turn()
            await slow.enqueue()
            await lab.signals.started.next()
            lab.manual.advance(1)
            await turn()
    extended = [call.arguments for call in broker.calls if call.verb == "extend"]
    sizes = [len(call["leases"]) for call in extended]  # type: ignore[arg-type]
    assert sizes == [5, 6, 7]
    assert [call["until"] for call in extended] == [NOW + 40, NOW + 50, NOW + 60]


async def test_a_handler_that_blocks_the_loop_keeps_its_lease() -> None:
    """Leases are renewed off the loop: also for as long as a rude handler holds it."""
    broker = Counting(enough=6)
    lab = Lab(broker, clock=SystemClock())

    @lab.task("rude")
    async def rude(ctx: Context) -> None:
        # six renewals are two whole leases
        assert broker.often_enough.wait(PATIENCE)

    await rude.enqueue()
    async with lab.working(lease=0.3):
        settled = await lab.signals.settled.next(PATIENCE)
    assert settled.answer == Settled(State.GONE)
    assert len(lab.signals.started.seen) == 1


async def test_the_watchdog_says_where_the_loop_is_blocked() -> None:
    """A loop that does not turn is reported while it stands still, with the line it stands at."""
    told: list[LoopBlocked] = []
    reported = threading.Event()

    def tell(event: Event) -> None:
        assert isinstance(event, LoopBlocked)
        told.append(event)
        if len(told) == 2:
            reported.set()

    def rude() -> None:
        assert reported.wait(PATIENCE)  # this very line

    watchdog = Watchdog(Instruments([tell]), interval=0.02)
    watchdog.start()
    rude()
    watchdog.stop()
    assert "rude" in told[0].stack
    assert "# this very line" in told[0].stack
    assert 0.02 <= told[0].seconds < told[1].seconds


async def test_a_worker_is_watched() -> None:
    """Who blocks a worker's loop is named by it, in real time whatever its clock says."""
    lab = Lab()
    reported = threading.Event()

    def tell(event: Event) -> None:
        if isinstance(event, LoopBlocked):
            reported.set()

    lab.instruments = (*lab.instruments, tell)

    @lab.task("rude")
    async def rude_handler(ctx: Context) -> None:
        assert reported.wait(PATIENCE)

    await rude_handler.enqueue()
    async with lab.working():
        blocked = await lab.signals.blocked.next(PATIENCE)
    assert "rude_handler" in blocked.stack


async def test_a_loop_that_turns_is_not_reported() -> None:
    """Waiting is not blocking."""
    told: list[Event] = []

    def tell(event: Event) -> None:
        told.append(event)

    answered = asyncio.Event()
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(Instruments([tell]), interval=0.01)
    watchdog.start()
    loop.call_later(0.1, answered.set)
    await answered.wait()
    watchdog.stop()
    assert [each for each in told if isinstance(each, LoopBlocked) and each.seconds > 1] == []


async def test_a_verdict_that_waits_keeps_its_lease() -> None:
    """While the broker refuses verdicts, their leases are renewed, and no other run begins."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker, autojump=True)

    @lab.task("mail", retention=600)
    async def mail(ctx: Context) -> int:
        return ctx.attempt

    broker.fail("settle", times=60)
    handle = await mail.enqueue()
    async with lab.working(lease=30):
        settled = await lab.signals.settled.next()
    assert lab.clock.now() > NOW + 60
    assert settled.answer == Settled(State.COMPLETED)
    assert await handle.result() == 1


async def test_verdicts_keep_their_leases_while_another_worker_sweeps() -> None:
    """Verdicts are refused for longer than a lease, and no other worker does their tasks again.

    Of the two the first is being sent when the second comes to wait behind it: both are renewed.
    """
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker, autojump=True)
    other = Lab(broker.inner, clock=lab.clock)
    ran: list[str] = []

    async def mail(ctx: Context, seconds: float) -> None:
        ran.append(ctx.id)
        await lab.clock.sleep_until(lab.clock.now() + seconds)

    task = lab.task("mail", retention=600)(mail)
    other.task("mail")(mail)
    broker.fail("settle", times=30)
    handles = [await task.enqueue(seconds) for seconds in (0, 1)]
    async with lab.working(lease=30):
        await lab.signals.started.wait(2)
        async with other.working(lease=30):
            settled = await lab.signals.settled.wait(2)
    assert lab.clock.now() > NOW + 60
    assert [each.answer for each in settled] == [Settled(State.COMPLETED)] * 2
    assert ran == [each.id for each in handles]
    assert other.signals.swept.seen == []


async def test_a_renewal_that_fails_is_told_of_once_and_made_at_the_next_beat() -> None:
    """A broker that is away is not asked again for each queue: it is away for all of them."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        await asyncio.Event().wait()

    for queue in ("a", "b"):
        await slow.using(queue=queue).enqueue()
    broker.fail("extend")
    async with lab.working(lease=30, queues=["a", "b"]):
        await lab.signals.started.wait(2)
        lab.manual.advance(10)
        failed = await lab.signals.broker_failed.next()
        assert (failed.call, failed.again_in) == ("extend", 10)
        assert extensions(broker) == [(2, NOW + 40)]
        lab.manual.advance(10)
        assert extensions(broker) == [(2, NOW + 40), (2, NOW + 50)]
        assert lab.signals.lease_lost.seen == []


async def test_a_lease_is_not_renewed_once_its_verdict_is_written() -> None:
    """A beat with nothing in hand asks the broker for nothing."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)

    @lab.task("mail")
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    async with lab.working(lease=30):
        await lab.signals.settled.next()
        lab.manual.advance(20)
    assert extensions(broker) == []


def extensions(broker: FaultyBroker) -> list[tuple[int, object]]:
    """Return how many leases each renewal was for, and until when."""
    calls = [call.arguments for call in broker.calls if call.verb == "extend"]
    return [(len(each["leases"]), each["until"]) for each in calls]  # type: ignore[arg-type]
