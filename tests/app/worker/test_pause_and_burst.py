import asyncio

import pytest

from qcore import Context, State
from qcore.testing import a_task
from tests.app.kit import Lab, turn


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


def sleeper(lab: Lab, seconds: float) -> None:
    """Give a queue a handler that takes so long."""

    @lab.task("slow", timeout=None, retention=600)
    async def slow(ctx: Context) -> str:
        await lab.clock.sleep_until(lab.clock.now() + seconds)
        return "done"


async def test_pause_claims_no_more_and_resume_does(lab: Lab) -> None:
    """A paused worker lets what runs go on, claims nothing, and claims again when resumed."""
    go = asyncio.Event()

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        await go.wait()

    first = await slow.enqueue()
    async with lab.working() as worker:
        await lab.signals.started.next()
        worker.pause()
        await lab.signals.paused.next()
        second = await slow.enqueue()
        go.set()
        await lab.signals.settled.next()
        await turn(50)
        assert await first.status() is State.GONE
        assert await second.status() is State.PENDING
        worker.resume()
        await lab.signals.settled.next()
        assert await second.status() is State.GONE


async def test_a_worker_leaves_after_so_many_runs(lab: Lab) -> None:
    """`max_tasks` bounds what one worker runs; the rest waits for the next one."""
    sleeper(lab, 0)
    for _ in range(5):
        await lab.client.enqueue(a_task(name="slow"))
    worker = lab.worker(max_tasks=2, concurrency=1)
    await worker.run()
    assert worker.executed == 2
    assert await lab.inspector.totals() == {State.PENDING: 3}


async def test_a_paused_worker_keeps_its_leases_and_can_be_stopped(lab: Lab) -> None:
    """Pausing stops the claims alone."""
    sleeper(lab, 100)
    handle = await lab.client.enqueue(a_task(name="slow", retention=60))
    async with lab.working(lease=30) as worker:
        await lab.signals.started.next()
        await turn()
        worker.pause()
        for _ in range(11):
            lab.manual.advance(10)
            await turn()
        await lab.signals.settled.next()
    assert await handle.result() == "done"


class TestBurst:
    async def test_a_burst_ends_when_there_is_nothing_to_do(self, lab: Lab) -> None:
        """It does what is due, also what that enqueues, and leaves what is due later."""

        @lab.task("first")
        async def first(ctx: Context) -> None:
            await second.enqueue()

        @lab.task("second")
        def second(ctx: Context) -> None: ...

        await first.enqueue()
        await second.using(delay=60).enqueue()
        worker = lab.worker(burst=True)
        await worker.run()
        assert worker.executed == 2
        assert await lab.inspector.counts() == {"default": {State.SCHEDULED: 1}}

    async def test_a_burst_does_at_once_what_is_to_be_retried_at_once(self, lab: Lab) -> None:
        """A retry without a delay is part of the burst."""

        @lab.task("mail", retry=lambda _failures, _roll: 0.0, max_retry=3)
        async def mail(ctx: Context) -> None:
            raise ValueError

        handle = await mail.enqueue()
        worker = lab.worker(burst=True)
        await worker.run()
        assert worker.executed == 4
        assert await handle.status() is State.ARCHIVED
