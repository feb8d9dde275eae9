import asyncio
import threading

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import LeaseLost, Settled
from qcore.testing import FaultyBroker
from tests.app.kit import Lab, stored, turn

PATIENCE = 10.0
"""Real seconds after which what did not come is taken not to come."""


class TestLost:
    async def test_a_lost_lease_cancels_the_handler(self) -> None:
        """When an operator cancels a running task, its handler is told at the next renewal."""
        lab = Lab()
        ended: list[bool] = []

        @lab.task("slow")
        async def slow(ctx: Context) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(ctx.is_cancelled)

        handle = await slow.enqueue()
        async with lab.working(lease=30) as worker:
            await lab.signals.started.next()
            await turn()
            await lab.inspector.cancel("default", [handle.id])
            lab.manual.advance(10)
            lost = await lab.signals.lease_lost.next()
            await turn()
            assert worker.running == 0
        assert (lost.claim.task.id, ended) == (handle.id, [True])
        task = await stored(handle)
        assert (task.state, task.error) == (State.DEAD, "cancelled")
        assert not lab.signals.settled.seen
        assert not lab.signals.finished.seen

    async def test_what_it_returns_in_the_end_is_dropped(self) -> None:
        """The verdict of a run whose task was given to another changes nothing."""
        lab = Lab()
        go = asyncio.Event()

        @lab.task("slow", retention=60)
        async def slow(ctx: Context) -> int:
            await go.wait()
            return ctx.attempt

        handle = await slow.enqueue()
        async with lab.working(lease=30):
            await lab.signals.started.next()
            await lab.inspector.cancel("default", [handle.id])
            await lab.inspector.run_now("default", [handle.id])
            await lab.signals.started.next()
            go.set()
            settled = await lab.signals.settled.wait(2)
        assert [each.answer for each in settled] == [LeaseLost(), Settled(State.COMPLETED)]
        assert await handle.result() == 2

    async def test_a_lost_lease_tells_no_error_hook(self) -> None:
        """It is nobody's error, whatever the handler makes of its cancellation."""
        lab = Lab()
        told: list[BaseException] = []

        @lab.on_error
        def hook(ctx: Context, error: BaseException) -> None:
            told.append(error)

        @lab.task("slow")
        async def slow(ctx: Context) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("translated") from None

        handle = await slow.enqueue()
        async with lab.working(lease=30) as worker:
            await lab.signals.started.next()
            await turn()
            await lab.inspector.cancel("default", [handle.id])
            lab.manual.advance(10)
            await lab.signals.lease_lost.next()
            await turn()
            assert worker.running == 0
        assert told == []

    async def test_a_thread_that_lost_its_lease_keeps_its_slot(self) -> None:
        """A thread is told, and its place is free when it has ended."""
        lab = Lab()
        go = threading.Event()
        seen: list[bool] = []

        @lab.task("slow")
        def slow(ctx: Context) -> None:
            assert go.wait(PATIENCE)
            seen.append(ctx.is_cancelled)

        handle = await slow.enqueue()
        async with lab.working(lease=30) as worker:
            await lab.signals.started.next()
            await lab.inspector.cancel("default", [handle.id])
            lab.manual.advance(10)
            await lab.signals.lease_lost.next()
            await turn()
            assert worker.running == 1
            go.set()
            while worker.running:
                await turn(1)
        assert seen == [True]

    async def test_a_failed_renewal_is_tried_again(self) -> None:
        """One renewal that does not get through loses nothing."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker)
        go = asyncio.Event()

        @lab.task("slow")
        async def slow(ctx: Context) -> None:
            await go.wait()

        await slow.enqueue()
        async with lab.working(lease=30):
            await lab.signals.started.next()
            broker.fail("extend")
            lab.manual.advance(10)
            failed = await lab.signals.broker_failed.next()
            lab.manual.advance(25)
            await turn()
            go.set()
            settled = await lab.signals.settled.next()
        assert failed.call == "extend"
        assert settled.answer == Settled(State.GONE)
