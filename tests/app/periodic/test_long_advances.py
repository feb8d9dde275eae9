"""Long spans of virtual time with a whole worker around: they cost what happens in them."""

import asyncio

from qcore import Context
from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import Settled
from qcore.domain.moments import Moment
from qcore.domain.workers import WorkerInfo
from qcore.periodic import EntryStatus
from qcore.ports import Capability
from qcore.testing import FaultyBroker
from tests.app.kit import Lab, turn

DAY = 86_400.0


class Registry(MemoryBroker):
    """A broker that counts the announcements of workers."""

    announced = 0

    async def announce(self, worker: WorkerInfo) -> None:
        """Count it."""
        self.announced += 1
        await super().announce(worker)


class Outliving(MemoryBroker):
    """A broker as if its store outlived the code."""

    capabilities = MemoryBroker.capabilities | {Capability.SHARED, Capability.DURABLE}


async def test_a_year_of_a_nightly_report_is_made_with_a_worker_around() -> None:
    """Each tick at its moment; the worker announces itself for each, not each five seconds."""
    broker = Registry()
    lab = Lab(broker)
    ran: list[Moment] = []

    @lab.periodic("@daily", missed="all")
    @lab.task("report")
    async def report(ctx: Context) -> None:
        assert ctx.tick is not None
        ran.append(ctx.tick.at)
        assert not ctx.tick.is_late

    async with lab.working():
        await turn(20)
        lab.manual.advance(365 * DAY)
        for _ in range(365):
            await lab.signals.settled.next()
        [worker] = await lab.inspector.workers()
    assert len(set(ran)) == 365
    assert 365 <= broker.announced < 1_000
    assert lab.clock.now() - worker.seen < 5


async def test_what_is_declared_in_a_store_that_outlives_it_is_renewed_on_the_way() -> None:
    """There a declaration counts for minutes; a scheduler alone is enough."""
    lab = Lab(Outliving())
    lab.periodic("@daily")(lab.task("report")(_do_nothing))
    scheduler = lab.scheduler()
    running = asyncio.create_task(scheduler.run())
    await turn(20)
    lab.manual.advance(30 * DAY)
    await turn(20)
    scheduler.stop()
    await running
    [listed] = await lab.entries.list()
    assert (listed.status, listed.runs) == (EntryStatus.ACTIVE, 30)


async def _do_nothing(ctx: Context) -> None: ...


async def test_a_task_in_hand_has_its_lease_renewed_at_each_beat() -> None:
    """Also in one long advance: only what has nothing to do is left out."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)

    @lab.task("long", timeout=None)
    async def long(ctx: Context) -> None:
        await lab.clock.sleep(3_600)

    async with lab.working(lease=30):
        await long.enqueue()
        await lab.signals.started.next()
        await turn()
        lab.manual.advance(3_600)
        settlement = await lab.signals.settled.next()
    assert isinstance(settlement.answer, Settled)
    assert sum(call.verb == "extend" for call in broker.calls) == 360


async def test_an_idle_scheduler_hardly_asks_a_shared_store_anything() -> None:
    """At most one call in five seconds, whatever it is that it asks for or renews."""
    broker = FaultyBroker(Outliving())
    lab = Lab(broker, autojump=True)
    lab.periodic("@yearly")(lab.task("report")(_do_nothing))
    scheduler = lab.scheduler()
    running = asyncio.create_task(scheduler.run())
    await lab.manual.sleep(60)
    before = len(broker.calls)
    await lab.manual.sleep(600)
    assert 0 < len(broker.calls) - before <= 600 / 5
    scheduler.stop()
    await running
    lab.manual.close()
