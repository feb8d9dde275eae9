import asyncio
import threading

import pytest

from qcore import Context, State
from qcore.backoff import fixed
from qcore.domain.transitions import Failed, Rejected
from qcore.testing import drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored


async def forever(ctx: Context) -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", [0.125, 2.5, 30.0, 1800.0])
async def test_a_run_is_cut_short_at_its_timeout(seconds: float) -> None:
    """A coroutine is cancelled at its moment, to the millisecond, and that is a failure."""
    lab = Lab(autojump=True)
    ended: list[float] = []

    @lab.task("slow", timeout=seconds, retry=fixed(5))
    async def slow(ctx: Context) -> None:
        try:
            assert ctx.deadline == NOW + seconds
            await forever(ctx)
        finally:
            ended.append(lab.clock.now())

    handle = await slow.enqueue()
    async with lab.working():
        finished = await lab.signals.finished.next()
        await lab.signals.settled.next()
    assert ended == [NOW + seconds]
    assert isinstance(finished.outcome, Failed)
    said = f"TimeoutError: the handler ran for longer than {seconds} seconds"
    assert (finished.outcome.error, finished.outcome.again_at) == (said, NOW + seconds + 5)
    assert (await stored(handle)).failures == 1


async def test_each_run_has_its_own_timeout() -> None:
    """Among many runs each is cut short at its own moment, whichever began first."""
    lab = Lab(autojump=True)
    ended: dict[float, float] = {}

    @lab.task("slow", max_retry=0)
    async def slow(ctx: Context, seconds: float) -> None:
        try:
            await forever(ctx)
        finally:
            ended[seconds] = lab.clock.now() - NOW

    limits = [9.0, 3.0, 7.25, 1.5, 3.0009765625, 100.0]
    for limit in limits:
        await slow.using(timeout=limit).enqueue(seconds=limit)
    async with lab.working():
        await lab.signals.settled.wait(len(limits))
    assert ended == {limit: limit for limit in limits}


async def test_a_timeout_is_of_each_run_alone() -> None:
    """The second run has the whole time again."""
    lab = Lab(autojump=True)

    @lab.task("slow", timeout=10, retry=fixed(5), max_retry=1)
    async def slow(ctx: Context) -> None:
        await forever(ctx)

    await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.wait(2)
        assert NOW + 25 <= lab.clock.now() < NOW + 31


@pytest.mark.parametrize(
    ("limit", "deadline", "ends"), [(10, 4, 4), (3, 7, 3), (None, 6, 6), (10, 10, 10)]
)
async def test_the_earlier_of_timeout_and_deadline_counts(
    limit: float | None, deadline: float, ends: float
) -> None:
    """With both, the earlier cuts the run short; at the deadline there is no retry."""
    lab = Lab(autojump=True)

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        assert ctx.deadline == NOW + ends
        await forever(ctx)

    await slow.using(timeout=limit, deadline=NOW + deadline).enqueue()
    async with lab.working():
        finished = await lab.signals.finished.next()
    assert finished.seconds == ends
    assert isinstance(finished.outcome, Rejected if ends == deadline else Failed)


async def test_no_timeout_is_none() -> None:
    """`timeout=None` lets a run last for longer than the half hour of the default."""
    lab = Lab(autojump=True)

    @lab.task("slow", timeout=None, retention=1)
    async def slow(ctx: Context) -> None:
        assert ctx.deadline is None
        await lab.clock.sleep_until(NOW + 7200)

    await slow.enqueue()
    async with lab.working():
        settled = await lab.signals.settled.next()
    assert settled.answer.state is State.COMPLETED  # type: ignore[union-attr]  # (the lease held)


async def test_time_in_line_is_not_time_of_the_run() -> None:
    """A thread handler that waits for a thread has not begun, and its timeout has not either."""
    lab = Lab()
    go = threading.Event()

    @lab.task("slow", timeout=10, retention=60)
    def slow(ctx: Context) -> float:
        go.wait(30)
        assert ctx.deadline is not None
        return ctx.deadline

    first, second = await slow.enqueue(), await slow.enqueue()
    async with lab.working(threads=1):
        await lab.signals.claimed.wait(2)
        await lab.signals.started.next()
        lab.manual.advance(5)
        go.set()
        await lab.signals.settled.wait(2)
    assert await first.result() == NOW + 10
    assert await second.result() == NOW + 15


async def test_a_worker_may_run_again() -> None:
    """A burst worker that runs a second time cuts runs short as it did the first time."""
    lab = Lab(autojump=True)

    @lab.task("slow", max_retry=0)
    async def slow(ctx: Context) -> None:
        if ctx.headers:
            await forever(ctx)

    worker = lab.worker(burst=True)
    await slow.using(timeout=5).enqueue()
    await worker.run()
    handle = await slow.using(timeout=50, headers={"a": "b"}).enqueue()
    await asyncio.wait_for(worker.run(), 30)
    assert (await stored(handle)).state is State.ARCHIVED


async def test_drain_sees_timeouts_too() -> None:
    """With a clock that jumps, a drained task is cut short like any other."""
    lab = Lab(autojump=True)

    @lab.task("slow", timeout=5, max_retry=2)
    async def slow(ctx: Context) -> None:
        await forever(ctx)

    handle = await slow.enqueue()
    assert await drain(lab) == 3
    assert (await stored(handle)).state is State.ARCHIVED


async def test_what_a_handler_raises_when_its_time_is_up_is_its_error() -> None:
    """The timeout is the error of a handler that was cancelled and says nothing else."""
    lab = Lab(autojump=True)

    @lab.task("slow", timeout=1)
    async def slow(ctx: Context) -> None:
        try:
            await forever(ctx)
        except asyncio.CancelledError:
            raise ValueError("the transfer was half done") from None

    handle = await slow.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
    assert (await stored(handle)).error == "ValueError: the transfer was half done"
