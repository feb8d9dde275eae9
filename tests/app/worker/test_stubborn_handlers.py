import asyncio
import pickle
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from qcore import Context, State
from qcore.adapters.clocks import SystemClock
from qcore.testing import a_task
from tests.app import process_handlers
from tests.app.kit import Lab, stored, turn


async def forever(ctx: Context) -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def test_a_slot_is_free_only_when_its_handler_has_ended() -> None:
    """A timed-out coroutine that takes its time to clean up still counts."""
    lab = Lab()
    cleaned, cleaning = asyncio.Event(), asyncio.Event()

    @lab.task("slow", timeout=10, max_retry=0)
    async def slow(ctx: Context) -> None:
        try:
            await forever(ctx)
        finally:
            cleaning.set()
            await cleaned.wait()

    @lab.task("next")
    async def following(ctx: Context) -> None: ...

    await slow.enqueue()
    await following.enqueue()
    async with lab.working(concurrency=1) as worker:
        await lab.signals.started.next()
        await turn()
        lab.manual.advance(10)
        await cleaning.wait()
        await turn()
        assert worker.running == 1
        assert len(lab.signals.claimed.seen) == 1
        cleaned.set()
        await lab.signals.settled.wait(2)


async def test_a_coroutine_that_is_told_to_end_and_returns_has_not_succeeded() -> None:
    """Whoever swallows the cancellation at the timeout has failed all the same."""
    lab = Lab(autojump=True)

    @lab.task("slow", timeout=10, retention=60)
    async def slow(ctx: Context) -> str:
        with suppress(asyncio.CancelledError):
            await forever(ctx)
        return "half"

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
        assert (await stored(handle)).failures == 1


class TestThreads:
    async def test_a_thread_is_told_and_keeps_its_slot(self) -> None:
        """At its timeout a thread sees `ctx.is_cancelled`; its slot is free when it has ended."""
        lab = Lab()
        begun, told, go = threading.Event(), threading.Event(), threading.Event()

        @lab.task("slow", timeout=10, max_retry=0)
        def slow(ctx: Context) -> str:
            assert not ctx.is_cancelled
            begun.set()
            assert told.wait(30)
            assert ctx.is_cancelled
            assert go.wait(30)
            return "half"

        @lab.task("next")
        def following(ctx: Context) -> None: ...

        handle = await slow.enqueue()
        async with lab.working(threads=1):
            await lab.signals.started.next()
            assert await asyncio.to_thread(begun.wait, 30)
            await following.enqueue()
            lab.manual.advance(10)
            await turn()
            told.set()
            await turn()
            assert not lab.signals.finished.seen
            assert len(lab.signals.started.seen) == 1
            go.set()
            await lab.signals.settled.wait(2)
        task = await stored(handle)
        assert task.state is State.ARCHIVED
        assert task.error == "TimeoutError: the handler ran for longer than 10.0 seconds"


class TestProcesses:
    async def test_a_process_dies_at_its_timeout(self, tmp_path: Path) -> None:
        """A process that will not end is killed, and only then is its slot free."""
        lab = process_handlers.register(Lab())
        file = tmp_path / "pid"
        payload = f'{{"path":"{file}"}}'.encode()
        handle = await lab.client.enqueue(
            a_task(name="hang", payload=payload, timeout=10, max_retry=0)
        )
        async with lab.working(process_pool=1):
            await lab.signals.started.next()
            # on a clock of the world, as a process has no other
            clock = SystemClock()
            while not (file.exists() and file.stat().st_size):
                await clock.sleep_until(clock.now() + 0.01)
            child = psutil.Process(pickle.loads(file.read_bytes()))  # noqa: S301
            assert child.is_running()
            lab.manual.advance(10)
            await lab.signals.finished.next()
            assert not child.is_running()
            await lab.signals.settled.next()
        task = await stored(handle)
        assert task.state is State.ARCHIVED
        assert task.error == "TimeoutError: the handler ran for longer than 10 seconds"

    async def test_the_pool_goes_on_after_a_timeout(self, tmp_path: Path) -> None:
        """Another child takes the place of one that was killed."""
        lab = process_handlers.register(Lab())
        file = tmp_path / "pid"
        payload = f'{{"path":"{file}"}}'.encode()
        await lab.client.enqueue(a_task(name="hang", payload=payload, timeout=10, max_retry=0))
        after = await lab.client.enqueue(a_task(name="pid", retention=60))
        async with lab.working(process_pool=1):
            await lab.signals.started.next()
            lab.manual.advance(10)
            await lab.signals.settled.wait(2)
        assert isinstance(await after.result(), int)
