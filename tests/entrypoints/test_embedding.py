import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from qcore import Context, InvalidOption, Qcore, State
from qcore.domain.errors import BrokerUnavailable
from qcore.testing import Signals

NOBODY = "redis://127.0.0.1:1/0"


def shop() -> Qcore:
    """Return a queue with a task that waits until it is let go on."""
    q = Qcore("memory://")

    @q.task("hold", retention=60)
    async def hold(ctx: Context) -> str:
        await asyncio.sleep(0)
        return "held"

    return q


async def test_a_worker_runs_beside_the_block_and_stops_after_it() -> None:
    """The block begins when it has started; what runs at its end may end itself."""
    q, signals = shop(), Signals()
    q.instruments = (signals,)
    async with q.running(concurrency=3) as worker:
        assert [type(event).__name__ for event in signals.events] == ["WorkerStarted"]
        handle = await q.client.enqueue(q.handlers()[0].call())
        await signals.started.next()
    assert await handle.status() is State.COMPLETED
    assert worker.running == 0
    assert type(signals.events[-1]).__name__ == "WorkerStopped"


async def test_what_keeps_it_from_starting_is_raised_before_the_block() -> None:
    """As with a store that is away."""
    q = Qcore(NOBODY)
    with pytest.raises(BrokerUnavailable, match="nothing listens"):
        async with q.running():
            pytest.fail("the block begins without a worker")
    await q.close()


async def test_a_lifespan_is_entered_before_the_block_and_left_after_it() -> None:
    """What handlers need is there when the application serves."""
    q, lives = shop(), list[str]()

    @q.lifespan
    async def pool() -> AsyncIterator[None]:
        lives.append("entered")
        yield
        lives.append("left")

    async with q.running():
        assert lives == ["entered"]
    assert lives == ["entered", "left"]


def failing() -> Qcore:
    """Return a queue whose worker ends with an error when it is stopped."""
    q = shop()

    @q.lifespan
    async def pool() -> AsyncIterator[None]:
        yield
        raise OSError("the pool is gone")

    return q


async def test_an_error_with_which_it_ended_is_raised_after_the_block() -> None:
    """And it was in the log before."""
    q = failing()
    with capture_logs() as lines, pytest.raises(OSError, match="the pool is gone"):
        async with q.running():
            pass
    failures = [line for line in lines if line["event"] == "worker failed"]
    assert [line["error"] for line in failures] == ["OSError: the pool is gone"]


async def test_an_error_of_the_block_comes_before_the_workers() -> None:
    """The worker stops all the same."""
    q = failing()
    with pytest.raises(LookupError, match="of the block"):
        async with q.running():
            raise LookupError("of the block")


async def test_a_worker_in_a_burst_may_end_before_the_block() -> None:
    """There was nothing to do; that is no error."""
    async with shop().running(burst=True) as worker:
        await asyncio.sleep(0)
    assert worker.executed == 0


async def test_a_block_that_is_cancelled_gives_tasks_back() -> None:
    """A cancelled application leaves no task behind as if it were running."""
    q, signals = Qcore("memory://"), Signals()
    q.instruments = (signals,)

    @q.task("forever")
    async def forever(ctx: Context) -> None:
        await asyncio.Event().wait()

    handle = await forever.enqueue()

    async def application() -> None:
        async with q.running(grace=0):
            await asyncio.Event().wait()

    serving = asyncio.create_task(application())
    await signals.started.next()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    task = await handle.task()
    assert task is not None
    assert (task.state, task.failures, task.crashes) == (State.PENDING, 0, 0)


async def test_a_worker_that_could_not_start_says_so_at_once() -> None:
    """Whoever starts it beside something else may not await it for days."""
    q = Qcore(NOBODY)
    with capture_logs() as lines:
        running = asyncio.create_task(q.worker().run())
        await asyncio.wait([running])
    assert [line["event"] for line in lines] == ["worker failed"]
    assert "nothing listens there" in lines[0]["error"]
    assert isinstance(running.exception(), BrokerUnavailable)
    await q.close()


async def test_a_worker_that_runs_is_not_run_once_more() -> None:
    """The second run is refused, and the first goes on, with its threads."""
    q, signals = Qcore("memory://"), Signals()
    q.instruments = (signals,)

    @q.task("plain", retention=60)
    def plain(ctx: Context) -> str:
        return "ran"

    worker = q.worker()
    running = asyncio.create_task(worker.run())
    await signals.worker_started.next()
    with pytest.raises(InvalidOption, match="this worker is running already"):
        await worker.run()
    assert await (await plain.enqueue()).result(timeout=30) == "ran"
    worker.stop()
    await running
    # and afterwards it may run again
    again = asyncio.create_task(worker.run())
    await signals.worker_started.next()
    worker.stop()
    await again


async def test_a_worker_that_could_not_start_may_try_again() -> None:
    """An error ends the run, and what was asked of it is forgotten."""
    q = shop()
    attempts = 0

    @q.lifespan
    async def pool() -> AsyncIterator[None]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise OSError("not yet")
        yield

    worker = q.worker(burst=True)
    with pytest.raises(OSError, match="not yet"):
        await worker.run()
    await worker.run()
    assert attempts == 2
