"""Error hooks: one that takes long holds nobody up, and each finds the error where loggers look."""

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from qcore import Context, State
from qcore.app.worker import error_hooks
from qcore.testing import drain
from tests.app.kit import Lab, turn, verdict_on


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class TestHooksThatTakeLong:
    async def test_one_that_hangs_holds_no_place(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next task has it meanwhile; after its limit it is cancelled and the next hook called.

        The limit is one of real time, whatever the worker's clock says, so it is made short.
        """
        monkeypatch.setattr(error_hooks, "HOOK_TIMEOUT", 0.5)
        told: list[str] = []

        @lab.on_error
        async def hangs(ctx: Context, error: BaseException) -> None:
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                told.append("ignored the cancellation")
                if len(told) > 1:
                    return

        @lab.on_error
        async def sound(ctx: Context, error: BaseException) -> None:
            told.append(f"heard of {error}")

        @lab.task("fails", max_retry=0)
        async def fails(ctx: Context) -> None:
            raise ValueError("x")

        @lab.task("next", retention=60)
        async def following(ctx: Context) -> None: ...

        handle, later = await fails.enqueue(), await following.enqueue()
        with capture_logs() as logs:
            async with lab.working(concurrency=1):
                first = await lab.signals.settled.next()
                assert first.verdict.lease.id == later.id
                second = await lab.signals.settled.next()
                assert second.verdict.lease.id == handle.id
        assert await verdict_on(handle) == (State.ARCHIVED, 0, "ValueError: x")
        assert told == ["ignored the cancellation", "heard of x"]
        assert [log["event"] for log in logs] == ["error hook cut short"]

    async def test_as_many_runs_may_wait_for_hooks_as_may_run(self, lab: Lab) -> None:
        """Whoever has more failures than that claims no more until hooks have ended."""
        go = asyncio.Event()

        @lab.on_error
        async def slow(ctx: Context, error: BaseException) -> None:
            await go.wait()

        @lab.task("fails", max_retry=0)
        async def fails(ctx: Context) -> None:
            raise ValueError("x")

        for _ in range(6):
            await fails.enqueue()
        async with lab.working(concurrency=2) as worker:
            await lab.signals.started.wait(4)
            await turn()
            assert worker.running == 4
            go.set()
            await lab.signals.settled.wait(6)

    async def test_a_plain_one_that_blocks_does_not_block_the_loop(self, lab: Lab) -> None:
        """It runs in a thread, and not in one of those that handlers run in."""
        go, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        @lab.on_error
        def blocks(ctx: Context, error: BaseException) -> None:
            loop.call_soon_threadsafe(begun.set)
            assert go.wait(30)

        @lab.task("fails", max_retry=0)
        async def fails(ctx: Context) -> None:
            raise ValueError("x")

        @lab.task("plain", retention=60)
        def plain(ctx: Context) -> None: ...

        handle = await fails.enqueue()
        async with lab.working(threads=1):
            await begun.wait()
            other = await plain.enqueue()
            assert (await lab.signals.settled.next()).verdict.lease.id == other.id
            go.set()
            await lab.signals.settled.next()
        assert await verdict_on(handle) == (State.ARCHIVED, 0, "ValueError: x")

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_worker_that_leaves_does_not_wait_for_them(
        self, lab: Lab, *, is_async: bool
    ) -> None:
        """The verdict that waits for a hook is written, not given back."""
        go, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def hangs(ctx: Context, error: BaseException) -> None:
            begun.set()
            await asyncio.Event().wait()

        def blocks(ctx: Context, error: BaseException) -> None:
            loop.call_soon_threadsafe(begun.set)
            go.wait(30)

        @lab.task("fails", max_retry=0)
        async def fails(ctx: Context) -> None:
            raise ValueError("x")

        lab.on_error(hangs if is_async else blocks)
        handle = await fails.enqueue()
        async with lab.working() as worker:
            await begun.wait()
            worker.stop(at_once=True)
            await lab.signals.stopped.next()
            go.set()
        assert await verdict_on(handle) == (State.ARCHIVED, 0, "ValueError: x")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_hook_finds_the_error_where_loggers_look(lab: Lab, *, is_async: bool) -> None:
    """`logger.exception` and error trackers take it from `sys.exc_info`."""

    def plain(ctx: Context, error: BaseException) -> None:
        structlog.get_logger().exception("told")

    async def coroutine(ctx: Context, error: BaseException) -> None:
        structlog.get_logger().exception("told")

    @lab.task("fails", max_retry=0)
    async def fails(ctx: Context) -> None:
        raise ValueError("x")

    lab.on_error(coroutine if is_async else plain)
    await fails.enqueue()
    seen: list[Any] = []
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, lambda _, __, log: seen.append(log)]
    )
    with suppress(structlog.DropEvent, Exception):
        await drain(lab)
    structlog.configure(**before)
    assert "ValueError: x" in seen[0]["exception"]
