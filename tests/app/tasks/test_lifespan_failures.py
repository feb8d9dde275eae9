"""Lifespans that hang or raise, at their start or at their end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from qcore import Context, State
from qcore.app.worker import worker as worker_module
from qcore.errors import LifespanFailed
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class Pool:
    def __init__(self, size: int) -> None:
        self.size = size


class TestThoseThatHang:
    async def test_a_stop_cancels_their_start(self, lab: Lab) -> None:
        """Nothing is claimed, those entered before end as ever, and `run` returns."""
        diary: list[str] = []
        begun = asyncio.Event()

        @lab.lifespan
        async def sound() -> AsyncIterator[object]:
            yield Pool(1)
            diary.append("closed")

        @lab.lifespan
        async def hangs() -> AsyncIterator[object]:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                diary.append("left")
            yield None

        @lab.task("a")
        async def a(ctx: Context) -> None: ...

        handle = await a.enqueue()
        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await begun.wait()
        worker.stop()
        await running
        assert diary == ["left", "closed"]
        assert await handle.status() is State.PENDING
        assert lab.signals.worker_started.seen == []

    async def test_a_timeout_of_their_own_is_an_error(self, lab: Lab) -> None:
        """A database that does not answer in time is not mistaken for a stop."""

        @lab.lifespan
        async def pool() -> AsyncIterator[object]:
            raise TimeoutError("no answer")
            yield None

        with pytest.raises(TimeoutError, match="no answer"):
            await lab.worker().run()

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_the_grace_or_a_second_stop_cancels_their_end(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
    ) -> None:
        """They have a moment more, made short here; the others end as ever, the log names it."""
        monkeypatch.setattr(worker_module, "LIFESPAN_TIMEOUT", 0.05)
        diary: list[str] = []
        ending = asyncio.Event()

        @lab.lifespan
        async def sound() -> AsyncIterator[object]:
            yield Pool(1)
            await asyncio.sleep(0)
            diary.append("closed")

        @lab.lifespan
        async def hangs() -> AsyncIterator[object]:
            yield None
            ending.set()
            try:
                await asyncio.Event().wait()
            finally:
                # the other has as long as a busy machine may take
                monkeypatch.setattr(worker_module, "LIFESPAN_TIMEOUT", 30.0)

        worker = lab.worker(grace=600 if at_once else 0.05)
        running = asyncio.create_task(worker.run())
        await lab.signals.worker_started.next()
        with capture_logs() as logs:
            worker.stop()
            if at_once:
                await ending.wait()
                worker.stop(at_once=True)
            await running
        assert diary == ["closed"]
        [log] = logs
        assert log["event"] == "lifespan cut short"
        assert "hangs" in log["code"]

    async def test_one_may_end_within_the_grace(self, lab: Lab) -> None:
        """What it does then is not cut short by the request to stop."""
        diary: list[str] = []

        @lab.lifespan
        async def pool() -> AsyncIterator[object]:
            yield None
            await asyncio.sleep(0.01)
            diary.append("closed")

        async with lab.working() as worker:
            worker.stop()
        assert diary == ["closed"]

    async def test_the_grace_is_the_same_however_the_clock_is_set(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It lasts a number of seconds, and does not end at a time of day."""
        monkeypatch.setattr(worker_module, "LIFESPAN_TIMEOUT", 0.0)
        diary: list[str] = []

        @lab.lifespan
        async def pool() -> AsyncIterator[object]:
            yield None
            await asyncio.sleep(0.01)
            diary.append("closed")

        lab.manual.set_to(lab.manual.now() + 24 * 3600)
        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await lab.signals.worker_started.next()
        worker.stop()
        await running
        assert diary == ["closed"]

    async def test_a_worker_that_is_cancelled_cancels_the_end(self, lab: Lab) -> None:
        """It is the worker's own cancellation, and is raised."""
        ending = asyncio.Event()

        @lab.lifespan
        async def hangs() -> AsyncIterator[object]:
            yield None
            ending.set()
            await asyncio.Event().wait()

        worker = lab.worker()
        running = asyncio.create_task(worker.run())
        await lab.signals.worker_started.next()
        worker.stop()
        await ending.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


class TestThoseThatRaise:
    @pytest.mark.parametrize(
        "kind", [asyncio.CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt]
    )
    @pytest.mark.parametrize("where", ["start", "end"])
    async def test_what_is_no_exception_names_the_lifespan(
        self, lab: Lab, kind: type[BaseException], where: str
    ) -> None:
        """It neither ends the event loop nor looks as if the worker had been cancelled."""
        ended: list[str] = []

        @lab.lifespan
        async def sound() -> AsyncIterator[object]:
            try:
                yield None
            finally:
                ended.append("sound")

        @lab.lifespan
        async def pool() -> AsyncIterator[object]:
            if where == "start":
                raise kind("odd")
            yield None
            raise kind("odd")

        worker = lab.worker(burst=True)
        with pytest.raises(
            LifespanFailed, match=rf"pool raised {kind.__name__}: odd at its {where}"
        ):
            await worker.run()
        assert ended == ["sound"]
        with suppress(LifespanFailed):
            await worker.run()

    async def test_one_may_await_what_it_has_cancelled(self, lab: Lab) -> None:
        """The mistake that is made most: the end of a task is awaited without `suppress`."""

        @lab.lifespan
        async def ticker() -> AsyncIterator[object]:
            ticking = asyncio.create_task(asyncio.Event().wait())
            yield None
            ticking.cancel()
            await ticking

        running = asyncio.create_task(lab.worker(burst=True).run())
        with pytest.raises(LifespanFailed, match="ticker raised CancelledError at its end"):
            await running

    async def test_a_task_group_of_one_ends_the_worker(self, lab: Lab) -> None:
        """What fails in the background is raised by `run`, once what ran has been given back."""
        fail = asyncio.Event()

        async def background() -> None:
            await fail.wait()
            raise OSError("the feed is closed")

        @lab.lifespan
        async def feed() -> AsyncIterator[object]:
            async with asyncio.TaskGroup() as group:
                group.create_task(background())
                yield None

        @lab.task("a")
        async def a(ctx: Context) -> None:
            fail.set()
            await asyncio.Event().wait()

        handle = await a.enqueue()
        with pytest.raises(ExceptionGroup) as raised:
            await lab.worker().run()
        assert raised.group_contains(OSError, match="the feed is closed")
        assert await handle.status() is State.PENDING
