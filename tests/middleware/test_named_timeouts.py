import asyncio
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from qcore import Context, InvalidOption, State
from qcore.adapters.clocks import SystemClock
from qcore.middleware import timeouts
from qcore.testing import ManualClock, a_context, a_task, drain
from qcore.testing.builders import NOW
from qcore.types import Next
from tests.app.kit import Lab, stored, turn
from tests.middleware import process_handlers

TOO_LONG = "TimeoutError: the handler ran for longer than 10.0 seconds"


def a_lab(*, autojump: bool = True, **limits: Any) -> Lab:
    """Return a queue with limits, of ten seconds for "slow" if none are given."""
    lab = Lab(autojump=autojump)
    lab.middleware(timeouts(lab, limits or {"slow": 10}))
    return lab


async def forever(ctx: Context) -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def test_a_coroutine_is_cancelled_at_its_limit() -> None:
    """It fails as by a timeout of its own, and is retried by its policy."""
    lab, ended = a_lab(), []

    @lab.task("slow", max_retry=1)
    async def slow(ctx: Context) -> None:
        try:
            await forever(ctx)
        finally:
            ended.append((lab.clock.now(), ctx.is_cancelled, ctx.deadline))

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
        task = await stored(handle)
        assert (task.state, task.failures, task.error) == (State.RETRY, 1, TOO_LONG)
        await lab.signals.settled.next()
    task = await stored(handle)
    assert (task.state, task.error) == (State.ARCHIVED, TOO_LONG)
    assert ended[0] == (NOW + 10, True, NOW + 10)


async def test_limits_go_by_exact_name_or_longest_prefix() -> None:
    """A duration is seconds or a timedelta; None lifts the limit of a prefix."""
    lab = Lab()
    limits = {"image:": 120, "image:crop": timedelta(seconds=5), "image:huge": None}
    mw = timeouts(lab, limits)
    seen: dict[str, float | None] = {}

    async def run(ctx: Context) -> object:
        seen[ctx.name] = ctx.deadline
        return ctx.name

    names = ["image:crop", "image:turn", "image:huge", "mail"]
    for name in names:
        assert await mw(a_context(task=a_task(name=name)), run) == name
    assert seen == dict(zip(names, [NOW + 5, NOW + 120, None, None], strict=True))


async def test_of_two_timeouts_the_earlier_counts() -> None:
    """The worker's own cuts a run short where it comes first, and says so."""
    lab = a_lab()

    @lab.task("slow", max_retry=0)
    async def slow(ctx: Context) -> None:
        await forever(ctx)

    first = await slow.using(timeout=4).enqueue()
    second = await slow.using(timeout=40).enqueue()
    async with lab.working():
        await lab.signals.settled.wait(2)
    assert (await stored(first)).error == TOO_LONG.replace("10.0", "4.0")
    assert (await stored(second)).error == TOO_LONG


async def test_a_run_within_its_limit_is_left_alone() -> None:
    """Its value and its errors are its own, and its context is as it was."""
    lab = a_lab()
    contexts: list[Context] = []

    @lab.middleware
    async def outer(ctx: Context, run: Next) -> object:
        contexts.append(ctx)
        return await run(ctx)

    lab.middlewares.reverse()

    @lab.task("slow", retention=60, max_retry=0, timeout=None)
    async def slow(ctx: Context, *, fails: bool) -> str:
        await lab.clock.sleep_until(lab.clock.now() + 9.5)
        if fails:
            raise ValueError("no")
        return "done"

    good, bad = await slow.enqueue(fails=False), await slow.enqueue(fails=True)
    async with lab.working():
        await lab.signals.settled.wait(2)
    assert await good.result() == "done"
    assert (await stored(bad)).error == "ValueError: no"
    assert [(ctx.deadline, ctx.is_cancelled) for ctx in contexts] == [(None, False)] * 2


async def test_a_coroutine_that_swallows_the_end_has_failed_all_the_same() -> None:
    """What it returns is not the whole."""
    lab = a_lab()

    @lab.task("slow", retention=60, max_retry=0)
    async def slow(ctx: Context) -> str:
        with suppress(asyncio.CancelledError):
            await forever(ctx)
        return "half"

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
    assert (await stored(handle)).error == TOO_LONG


async def test_what_a_handler_raises_on_its_way_out_is_what_counts() -> None:
    """As at a timeout of its own."""
    lab = a_lab()

    @lab.task("slow", max_retry=0)
    async def slow(ctx: Context) -> None:
        try:
            await forever(ctx)
        except asyncio.CancelledError:
            raise ValueError("half done") from None

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
    assert (await stored(handle)).error == "ValueError: half done"


async def test_a_cancellation_of_the_handlers_own_is_none_of_ours() -> None:
    """A handler that awaits what was cancelled fails with that, as it does without a limit."""
    lab = a_lab()

    @lab.task("slow", max_retry=0)
    async def slow(ctx: Context) -> None:
        raise asyncio.CancelledError("mine")

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
    assert (await stored(handle)).error == "CancelledError: mine"


@pytest.mark.parametrize("rings", [False, True])
async def test_a_cancellation_by_another_stays_one(*, rings: bool) -> None:
    """Whoever cancels a run hears of that, also where its limit comes in the same moment."""
    lab = a_lab(autojump=False)
    mw = timeouts(lab, {"slow": 10})
    running = asyncio.ensure_future(mw(a_context(task=a_task(name="slow")), forever))
    await turn()
    if rings:
        lab.manual.advance(10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_nobody_waits_for_the_limit_of_a_run_that_has_ended() -> None:
    """Its alarm is stopped with it."""
    lab = a_lab(autojump=False)

    async def run(ctx: Context) -> object:
        await turn()
        return lab.manual.next_moment()

    mw = timeouts(lab, {"slow": 10})
    assert await mw(a_context(task=a_task(name="slow")), run) == NOW + 10
    await turn()
    assert lab.manual.next_moment() is None


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_worker_that_leaves_gives_the_task_back(*, at_once: bool) -> None:
    """Whether the limit has come already or not, nothing is burned."""
    lab = a_lab(autojump=False)
    stubborn, begun = asyncio.Event(), asyncio.Event()

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        begun.set()
        try:
            await forever(ctx)
        finally:
            await stubborn.wait()

    handle = await slow.enqueue()
    async with lab.working() as worker:
        await begun.wait()
        if not at_once:
            lab.manual.advance(10)
            await turn()
        worker.stop(at_once=True)
        await turn()
        stubborn.set()
        await lab.signals.settled.next()
    task = await stored(handle)
    assert (task.state, task.failures) == (State.PENDING, 0)


class TestThreads:
    async def test_a_thread_is_told_keeps_its_place_and_has_failed(self) -> None:
        """It sees `ctx.is_cancelled`; when it has ended its place is free."""
        lab = a_lab(autojump=False)
        begun, told, go = threading.Event(), threading.Event(), threading.Event()

        @lab.task("slow", max_retry=0, retention=60)
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
        assert (task.state, task.error) == (State.ARCHIVED, TOO_LONG)

    async def test_a_thread_may_raise_what_it_did_not_finish(self) -> None:
        """Its own error says more than the limit."""
        lab = a_lab(autojump=False)
        begun, told = threading.Event(), threading.Event()

        @lab.task("slow", max_retry=0)
        def slow(ctx: Context) -> None:
            begun.set()
            assert told.wait(30)
            raise ValueError("half done")

        handle = await slow.enqueue()
        async with lab.working():
            assert await asyncio.to_thread(begun.wait, 30)
            lab.manual.advance(10)
            await turn()
            told.set()
            await lab.signals.settled.next()
        assert (await stored(handle)).error == "ValueError: half done"


async def test_what_was_done_before_the_loop_noticed_counts() -> None:
    """A handler that ended in time is not to blame for a loop that heard of it late."""
    lab = a_lab()

    async def run(ctx: Context) -> object:
        with suppress(asyncio.CancelledError):
            await forever(ctx)
        # as `Run.take_result` does
        running = asyncio.current_task()
        assert running is not None
        running.uncancel()
        return "whole"

    with lab.manual:
        mw = timeouts(lab, {"slow": 10})
        assert await mw(a_context(task=a_task(name="slow")), run) == "whole"


class TestProcesses:
    async def test_a_process_is_killed_at_its_limit(self, tmp_path: Path) -> None:
        """It is gone before its place is free."""
        lab = a_lab(autojump=False)
        lab.route("slow", process_handlers.hang, process=True)
        file = tmp_path / "pid"
        payload = f'{{"path":"{file}"}}'.encode()
        handle = await lab.client.enqueue(a_task(name="slow", payload=payload, max_retry=0))
        async with lab.working(process_pool=1):
            # on a clock of the world, as a process has no other
            clock = SystemClock()
            while not file.exists():
                await clock.sleep_until(clock.now() + 0.01)
            child = psutil.Process(int(file.read_text()))
            assert child.is_running()
            lab.manual.advance(10)
            await lab.signals.settled.next()
            assert not child.is_running()
        task = await stored(handle)
        assert (task.state, task.error, task.crashes) == (State.ARCHIVED, TOO_LONG, 0)

    async def test_a_process_knows_its_limit(self) -> None:
        """What it sees as its deadline is the earlier one."""
        lab = a_lab(autojump=False)
        lab.route("slow", process_handlers.deadline, process=True)
        handle = await lab.client.enqueue(a_task(name="slow", retention=60, timeout=30))
        await lab.run_due()
        assert await handle.result() == NOW + 10


async def test_another_clock_counts_when_it_is_swapped_in() -> None:
    """A test that swaps the clock of a queue has its limits in that time."""
    lab = a_lab(autojump=False)
    seen: list[float | None] = []

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        seen.append(ctx.deadline)

    with lab.swapped(clock=ManualClock(NOW + 500)):
        await slow.enqueue()
        await drain(lab)
    assert seen == [NOW + 510]


@pytest.mark.parametrize("bad", [0, -1, "5", True])
def test_a_limit_that_is_none_is_refused(bad: Any) -> None:
    """The message names the task."""
    with pytest.raises(InvalidOption, match="the timeout of 'mail' is"):
        timeouts(Lab(), {"mail": bad})
