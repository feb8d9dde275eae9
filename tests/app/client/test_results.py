import asyncio

import pytest

from qcore import (
    Context,
    NoResult,
    SkipRetry,
)
from qcore.testing.builders import NOW, a_task
from tests.app.kit import Lab, stored, turn


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab(autojump=True)


class TestResult:
    async def test_a_result_is_waited_for(self, lab: Lab) -> None:
        """`result` waits for the task to be completed, and decodes by the handler's annotation."""

        @lab.task("sum", retention=60)
        async def add(ctx: Context, numbers: list[int]) -> tuple[int, ...]:
            await lab.clock.sleep_until(NOW + 100)
            return (sum(numbers),)

        async with lab.working():
            handle = await add.enqueue(numbers=[1, 2])
            assert await handle.result(timeout=1000) == (3,)
        assert lab.clock.now() < NOW + 101

    async def test_a_result_that_does_not_come_is_given_up_in_time(self, lab: Lab) -> None:
        """After `timeout` seconds, not earlier and not later, it is a TimeoutError."""

        @lab.task("never", retention=60)
        async def never(ctx: Context) -> None: ...

        handle = await never.enqueue()
        with pytest.raises(TimeoutError, match=r"pending after 2\.5 seconds"):
            await handle.result(timeout=2.5)
        assert lab.clock.now() == NOW + 2.5

    async def test_no_retention_is_no_result(self, lab: Lab) -> None:
        """A task that keeps no result says so at once, and what to do about it."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None: ...

        handle = await mail.enqueue()
        with pytest.raises(NoResult, match="retention="):
            await handle.result()

    async def test_a_handler_that_returns_nothing_stores_nothing(self, lab: Lab) -> None:
        """Its task is kept without a result, and whoever waits for that is given None."""

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> None: ...

        handle = await mail.enqueue()
        await lab.run_due()
        task = await stored(handle)
        assert (task.result, task.result_type) == (None, None)
        assert await handle.result() is None

    async def test_a_dead_task_has_no_result(self, lab: Lab) -> None:
        """Who waits for a task that dies is told why it died."""

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> None:
            raise SkipRetry("no such address")

        async with lab.working():
            with pytest.raises(NoResult, match=r"dead: no such address"):
                await (await mail.enqueue()).result()

    async def test_an_archived_task_has_no_result(self, lab: Lab) -> None:
        """Who waits for a task that spends its retries is told of the last error."""

        @lab.task("mail", retention=60, max_retry=1)
        async def mail(ctx: Context) -> None:
            raise ValueError("no")

        async with lab.working():
            with pytest.raises(NoResult, match=r"archived: ValueError: no"):
                await (await mail.enqueue()).result()

    async def test_a_task_that_is_gone_has_no_result(self, lab: Lab) -> None:
        """A result is gone when its retention is over."""

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> int:
            return 1

        handle = await mail.enqueue()
        async with lab.working(sweep_every=1):
            assert await handle.result() == 1
            await lab.clock.sleep_until(NOW + 65)
            with pytest.raises(NoResult, match="no longer stored"):
                await handle.result()

    async def test_nothing_is_a_result_too(self, lab: Lab) -> None:
        """A handler that returns nothing has the result None."""

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> None: ...

        async with lab.working():
            assert await (await mail.enqueue()).result() is None

    async def test_a_handle_by_id_decodes_without_a_type(self, lab: Lab) -> None:
        """Whoever knows no more than queue and id gets the result as plain data."""

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> dict[str, int]:
            return {"a": 1}

        handle = await mail.enqueue()
        await lab.run_due()
        assert await lab.client.handle("default", handle.id).result() == {"a": 1}

    async def test_the_second_to_ask_gets_the_first_ones_result(self, lab: Lab) -> None:
        """A handle of a task that was there already can be waited for."""

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> int:
            return 1

        await mail.using(task_id="one").enqueue()
        again = await mail.using(task_id="one", retention=0).enqueue()
        await lab.run_due()
        assert await again.result() == 1


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0])
async def test_the_timeout_of_a_result_does_not_jump_with_the_clock(jump: float) -> None:
    """It is a number of seconds, whatever the time is set to meanwhile."""
    lab = Lab(autojump=True)
    handle = await lab.client.enqueue(a_task(retention=60))
    waiting = asyncio.create_task(handle.result(timeout=10))
    await turn()
    lab.manual.set_to(NOW + jump)
    with pytest.raises(TimeoutError):
        await waiting
    assert lab.manual.monotonic() == NOW + 10
