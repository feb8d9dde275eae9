"""Tasks that take their worker along: each is found, and the others do not die with it."""

import asyncio
from collections.abc import Sequence

import pytest

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.events import TasksClaimed
from qcore.domain.task import Verdict
from qcore.domain.transitions import Crashed, Released
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.crash_isolation import put_crashed
from tests.app.kit import Lab, turn

LEASE = 30.0


class Killed(Exception):
    """Say that the process of a worker is gone."""


class Factory:
    """Workers one after the other, each until a task kills it; and what they run."""

    def __init__(self, guilty: Sequence[int], *, innocent: int, fatal_after: float) -> None:
        self.lab = Lab(MemoryBroker(), autojump=True)
        self.guilty = set(guilty)
        self.deaths = 0
        self.killed = asyncio.Event()
        self.fatal_after = fatal_after

        @self.lab.task("mail", retention=1e7)
        async def mail(ctx: Context, n: int) -> None:
            await self.lab.clock.sleep(self.fatal_after if n in self.guilty else innocent)
            if n in self.guilty:
                self.killed.set()
                await asyncio.Event().wait()

        self.mail = mail

    async def run(self, number: int) -> dict[State, int]:
        """Run tasks until all have ended; return how many are in which state."""
        await self.lab.client.enqueue_many([self.mail.call(n=n) for n in range(number)])
        while True:
            self.killed.clear()
            worker = self.lab.worker(lease=LEASE, burst=True)
            running = asyncio.create_task(worker.run())
            killed = asyncio.create_task(self.killed.wait())
            await asyncio.wait([running, killed], return_when=asyncio.FIRST_COMPLETED)
            killed.cancel()
            if running.done():
                await running
                counts = (await self.lab.broker.count()).get("default", {})
                return dict(counts)
            self.deaths += 1
            # its leases run out
            claims = [run.claim for run in worker._running]  # noqa: SLF001
            await self.lab.broker.settle([Verdict(c.lease, Crashed()) for c in claims], now=NOW)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("fatal_after", [0.1, 5.0])
@pytest.mark.parametrize(
    ("guilty", "most_deaths"), [([0], 3), ([99], 3), ([50], 3), ([3, 4], 5), ([3, 40, 90], 7)]
)
async def test_the_guilty_die_and_the_innocent_complete(
    guilty: Sequence[int], most_deaths: int, fatal_after: float
) -> None:
    """Whenever it kills; one costs three workers, each other one two more at most."""
    factory = Factory(guilty, innocent=1, fatal_after=fatal_after)
    counts = await factory.run(100)
    assert counts == {State.COMPLETED: 100 - len(guilty), State.DEAD: len(guilty)}
    assert factory.deaths <= most_deaths


async def test_long_neighbours_survive_those_that_kill_late() -> None:
    """They run beside the guilty one for minutes, and again, and complete all the same."""
    factory = Factory([7, 23], innocent=600, fatal_after=300.0)
    assert await factory.run(60) == {State.COMPLETED: 58, State.DEAD: 2}


async def test_nothing_is_claimed_beside_a_last_chance() -> None:
    """What runs already goes on beside it; what comes later waits until it has ended."""
    lab = Lab()
    release = asyncio.Event()

    @lab.task("hold", retention=60)
    async def hold(ctx: Context) -> None:
        await (release.wait() if ctx.id == "suspect" else asyncio.Event().wait())

    async with lab.working():
        early = await hold.enqueue()
        await lab.signals.started.next()
        await put_crashed(lab.broker, [a_task(id="suspect", name="hold")], 2)
        later = await hold.enqueue()
        assert (await lab.signals.started.next()).claim.task.id == "suspect"
        await turn()
        assert [await each.status() for each in (early, later)] == [State.ACTIVE, State.PENDING]
        release.set()
        assert (await lab.signals.started.next()).claim.task.id == later.id


async def test_after_a_first_crash_others_wait_for_two_seconds() -> None:
    """Long enough for most that kills a worker to show, and no longer: the task may be long."""
    lab = Lab()

    @lab.task("hold")
    async def hold(ctx: Context) -> None:
        await asyncio.Event().wait()

    suspects = [a_task(name="hold") for _ in range(20)]
    await put_crashed(lab.broker, suspects, 1)
    async with lab.working():
        await lab.signals.started.wait(16)
        await turn()
        assert len(lab.signals.started.seen) == 16
        lab.manual.advance(2)
        await lab.signals.started.wait(4)


async def test_of_several_queues_one_last_chance_is_started() -> None:
    """The others are given back, with no budget burned, and started one after the other."""
    lab = Lab(autojump=True)
    together: list[int] = []

    @lab.task("mail", retention=60)
    async def mail(ctx: Context) -> None:
        together.append(worker.running)
        await lab.clock.sleep(1)

    queues = ["a", "b", "c"]
    for queue in queues:
        await put_crashed(lab.broker, [a_task(name="mail", queue=queue, retention=60)], 2)
    async with lab.working(queues=queues) as worker:
        await lab.signals.finished.wait(3)
    assert together == [1, 1, 1]
    released = [s for s in lab.signals.settled.seen if isinstance(s.verdict.outcome, Released)]
    assert len(released) == 3
    tasks = [(await lab.inspector.browse(q, State.COMPLETED)).tasks[0] for q in queues]
    assert {task.crashes for task in tasks} == {2}
    claimed = [event for event in lab.signals.events if isinstance(event, TasksClaimed)]
    assert sum(len(event.claims) for event in claimed) == 6


async def test_a_last_chance_waits_for_other_suspects_a_minute_at_most() -> None:
    """They may be what took it along; but they may be long, too."""
    lab = Lab(autojump=True)

    @lab.task("hold")
    async def hold(ctx: Context) -> None:
        await asyncio.Event().wait()

    await put_crashed(lab.broker, [a_task(name="hold", queue="a")], 1)
    async with lab.working(queues=["a", "b"]):
        await lab.signals.started.next()
        began = lab.clock.now()
        await put_crashed(lab.broker, [a_task(name="hold", queue="b")], 2)
        await lab.signals.started.next()
        assert 58 < lab.clock.now() - began < 72
