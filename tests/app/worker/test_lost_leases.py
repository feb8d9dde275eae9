import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.task import Demand
from qcore.ports import Kinds, LeaseEnded, Notify, Subscription
from qcore.testing import FaultyBroker
from tests.app.kit import Lab, stored, turn

PATIENCE = 30.0
"""Real seconds after which what did not come is taken not to come."""


class TestCancelled:
    """Who cancels a task that runs need not wait for its worker to renew the lease."""

    async def test_a_coroutine_is_cancelled_at_once(self) -> None:
        """No time has passed; the task is dead, and is not tried again."""
        lab = Lab()
        ended: list[bool] = []

        @lab.task("slow")
        async def slow(ctx: Context) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(ctx.is_cancelled)

        handles = [await slow.enqueue(), await slow.enqueue()]
        async with lab.working() as worker:
            await lab.signals.started.wait(2)
            await turn()
            await lab.inspector.cancel("default", [handles[0].id])
            lost = await lab.signals.lease_lost.next()
            await turn()
            assert worker.running == 1
        assert (lost.claim.task.id, ended[0]) == (handles[0].id, True)
        task = await stored(handles[0])
        assert (task.state, task.error, task.failures) == (State.DEAD, "cancelled", 0)

    async def test_a_thread_can_see_it_at_once(self) -> None:
        """It cannot be ended, but it can look."""
        lab = Lab()
        seen = threading.Event()

        @lab.task("slow")
        def slow(ctx: Context) -> None:
            while not ctx.is_cancelled:
                pass
            seen.set()

        handle = await slow.enqueue()
        async with lab.working():
            await lab.signals.started.next()
            await asyncio.to_thread(lab_cancel, lab, handle.id)
            assert await asyncio.to_thread(seen.wait, PATIENCE)
        assert await handle.status() is State.DEAD

    async def test_a_lease_of_another_worker_is_none_of_ours(self) -> None:
        """A token of another queue, or of a task that has ended here, cancels nothing."""
        lab = Lab()
        go = asyncio.Event()

        @lab.task("slow", retention=60)
        async def slow(ctx: Context) -> str:
            await go.wait()
            return "done"

        handle = await slow.enqueue()
        other = await slow.using(queue="other").enqueue()
        async with lab.working(queues=["default"]):
            ours = await lab.signals.started.next()
            [theirs] = await lab.broker.claim(
                Demand(1, {"other": 1}), now=lab.clock.now(), until=lab.clock.now() + 60
            )
            assert theirs.lease.token == ours.claim.lease.token
            await lab.inspector.cancel("other", [other.id])
            go.set()
            await lab.signals.settled.next()
        assert await handle.result() == "done"

    async def test_a_lease_of_another_queue_with_the_same_token_goes_on(self) -> None:
        """Tokens are a queue's own: of two runs in one worker the one that was cancelled ends."""
        lab = Lab()
        go = asyncio.Event()

        @lab.task("slow", retention=60)
        async def slow(ctx: Context) -> str:
            await go.wait()
            return "done"

        handles = [await slow.using(queue=queue).enqueue() for queue in ("here", "there")]
        async with lab.working(queues=["here", "there"]):
            runs = await lab.signals.started.wait(2)
            assert len({run.claim.lease.token for run in runs}) == 1
            await lab.inspector.cancel("there", [handles[1].id])
            await turn()
            go.set()
            await lab.signals.settled.next()
        assert await handles[0].result() == "done"
        assert [each.claim.task.id for each in lab.signals.lease_lost.seen] == [handles[1].id]


class Mute(ForwardingBroker):
    """A broker that tells nobody of lost leases."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        return await self.inner.subscribe(queues, set(kinds) - {LeaseEnded}, notify)


def lab_cancel(lab: Lab, task: str) -> None:
    """Cancel a task from another thread."""
    asyncio.run(lab.inspector.cancel("default", [task]))


class TestLost:
    async def test_a_lost_lease_cancels_the_handler(self) -> None:
        """A broker that could tell nobody of it tells at the next renewal."""
        lab = Lab(Mute(MemoryBroker()))
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
        lab = Lab(Mute(MemoryBroker()))
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

    async def test_a_run_that_has_lost_its_lease_is_not_released(self) -> None:
        """Its task is not this worker's to give back, whatever its handler does when cancelled."""
        lab = Lab()
        go = threading.Event()

        @lab.task("thread")
        def thread(ctx: Context) -> None:
            assert go.wait(PATIENCE)

        @lab.task("coroutine")
        async def coroutine(ctx: Context) -> None:
            while not go.is_set():
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        @lab.task("late")
        async def late(ctx: Context) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        handles = [await each.enqueue() for each in (thread, coroutine, late)]
        async with lab.working():
            await lab.signals.started.wait(3)
            await turn()
            await lab.inspector.cancel("default", [handle.id for handle in handles])
            await lab.signals.lease_lost.wait(3)
        go.set()
        assert (await lab.signals.stopped.next()).released == 0
        assert lab.signals.finished.seen == lab.signals.settled.seen == []

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
