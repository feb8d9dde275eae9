from typing import Any

import pytest

from qcore import Context, Handle, Qcore, RetryPolicy, State
from qcore.backoff import exponential, fixed
from qcore.testing import ScriptedDice, a_task, drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


def no_os_error(error: BaseException) -> bool:
    """Say that trouble of the system is no failure."""
    return not isinstance(error, OSError)


async def after_raising(
    lab: Qcore, error: BaseException, *, in_thread: bool = False, **options: Any
) -> Handle[None]:
    """Run a task that raises once, and return its handle."""

    async def coroutine(ctx: Context) -> None:
        raise error

    def plain(ctx: Context) -> None:
        raise error

    handler: Any = lab.task("mail", **options)(plain if in_thread else coroutine)
    handle: Handle[None] = await handler.enqueue()
    await drain(lab, jump=False)
    return handle


class TestPolicies:
    async def test_what_is_no_failure_burns_nothing(self, lab: Lab) -> None:
        """An error that `is_failure` denies is retried with the budget whole, even without one."""
        options: dict[str, Any] = {"is_failure": no_os_error, "max_retry": 0}
        task = await stored(await after_raising(lab, OSError("busy"), **options))
        assert (task.state, task.failures, task.error) == (State.RETRY, 0, "OSError: busy")

    async def test_other_errors_are_failures_still(self, lab: Lab) -> None:
        """The predicate is asked for each error."""
        options: dict[str, Any] = {"is_failure": no_os_error, "max_retry": 0}
        handle = await after_raising(lab, ValueError("x"), **options)
        assert await handle.status() is State.ARCHIVED

    async def test_a_function_may_be_the_curve(self) -> None:
        """It gets the failures so far and a roll of the dice, and returns seconds."""
        lab = Lab(dice=ScriptedDice(0.25, 0.75, 0.125, 0.0, 0.0))
        given: list[tuple[int, float]] = []

        def curve(failures: int, roll: float) -> float:
            given.append((failures, roll))
            return 10.0

        @lab.task("mail", retry=curve, max_retry=2)
        async def mail(ctx: Context) -> None:
            raise ValueError

        await mail.enqueue()
        # the other rolls are those of the workers' sweeps
        await drain(lab)
        assert [failures for failures, _ in given] == [0, 1]
        assert lab.clock.now() == NOW + 20

    async def test_the_handlers_policy_comes_before_the_workers(self, lab: Lab) -> None:
        """A handler with none of its own is judged by the worker's."""

        async def broken(ctx: Context) -> None:
            raise ValueError

        own = lab.task("own", retry=RetryPolicy(fixed(3)))(broken)
        bare = lab.task("bare")(broken)
        first, second = await own.enqueue(), await bare.enqueue()
        await lab.worker(burst=True, policy=RetryPolicy(fixed(50))).run()
        assert (await stored(first)).due == NOW + 3
        assert (await stored(second)).due == NOW + 50

    async def test_the_workers_policy_says_what_is_a_failure(self, lab: Lab) -> None:
        """`is_failure` may be said once for all handlers."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            raise OSError

        handle = await mail.enqueue()
        policy = RetryPolicy(fixed(50), is_failure=no_os_error)
        await lab.worker(burst=True, policy=policy).run()
        assert (await stored(handle)).failures == 0

    async def test_a_curve_that_travels_comes_first(self, lab: Lab) -> None:
        """A task enqueued with `backoff` waits by it, whatever its handler says."""

        @lab.task("mail", retry=fixed(3))
        async def mail(ctx: Context) -> None:
            raise ValueError

        handle = await mail.using(backoff=exponential(8, jitter=False)).enqueue()
        await lab.run_due()
        assert (await stored(handle)).due == NOW + 8

    @pytest.mark.parametrize("bad", ["predicate", "curve", "backoff", "dice"])
    async def test_a_policy_that_breaks_does_not_lose_the_task(self, bad: str) -> None:
        """An error within the policy is no reason to forget the error of the task."""

        def broken(*_: object) -> Any:
            raise RuntimeError("the policy broke")

        lab = Lab(dice=broken) if bad == "dice" else Lab()

        async def fails(ctx: Context) -> None:
            raise ValueError("x")

        options: dict[str, Any] = {
            "predicate": {"is_failure": broken},
            "curve": {"retry": broken},
            "backoff": {},
            "dice": {},
        }[bad]
        lab.task("mail", **options)(fails)
        backoff = "of:the:future" if bad == "backoff" else None
        handle = await lab.client.enqueue(a_task(name="mail", backoff=backoff))
        await lab.run_due()
        task = await stored(handle)
        assert task.state is State.RETRY
        assert task.error is not None
        assert "ValueError: x" in task.error
