import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from qcore import Context, Handle, Qcore, RateLimited, Retry, Revoke, SkipRetry, Snooze, State
from qcore.adapters.serializers import MessagePackSerializer
from qcore.backoff import fixed
from qcore.testing import drain
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


def no_os_error(error: BaseException) -> bool:
    """Say that trouble of the system is no failure."""
    return not isinstance(error, OSError)


class Odd(BaseException):
    """What is no Exception, as the outcomes of pytest are not."""


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


@pytest.mark.parametrize("in_thread", [False, True])
class TestControlFlow:
    async def test_an_error_is_retried(self, lab: Lab, *, in_thread: bool) -> None:
        """Any other error burns a retry and waits for the curve: n⁴ + 15 + roll·30·(n+1)."""
        handle = await after_raising(lab, ValueError("x"), in_thread=in_thread)
        task = await stored(handle)
        assert (task.state, task.failures, task.error) == (State.RETRY, 1, "ValueError: x")
        assert task.due == NOW + 0 + 15 + 0.5 * 30

    async def test_skip_retry_is_the_end(self, lab: Lab, *, in_thread: bool) -> None:
        """`SkipRetry`: dead at once with its reason, whatever is left."""
        task = await stored(await after_raising(lab, SkipRetry("no such"), in_thread=in_thread))
        assert (task.state, task.failures, task.error) == (State.DEAD, 0, "no such")

    async def test_revoke_leaves_no_trace(self, lab: Lab, *, in_thread: bool) -> None:
        """`Revoke`: gone, also where a result would have been kept."""
        handle = await after_raising(lab, Revoke(), in_thread=in_thread, retention=60)
        assert await handle.status() is State.GONE

    async def test_snooze_burns_nothing(self, lab: Lab, *, in_thread: bool) -> None:
        """`Snooze(delay)`: scheduled so many seconds from now, with its budget whole."""
        task = await stored(await after_raising(lab, Snooze(2.5), in_thread=in_thread))
        assert (task.state, task.failures, task.due) == (State.SCHEDULED, 0, NOW + 2.5)

    async def test_snooze_until_a_moment(self, lab: Lab, *, in_thread: bool) -> None:
        """`Snooze(until)`: scheduled for an aware datetime."""
        until = datetime.fromtimestamp(NOW + 99, UTC)
        task = await stored(await after_raising(lab, Snooze(at=until), in_thread=in_thread))
        assert (task.state, task.due) == (State.SCHEDULED, NOW + 99)

    async def test_a_rate_limit_burns_nothing(self, lab: Lab, *, in_thread: bool) -> None:
        """`RateLimited(delay)`: scheduled for then and a little later, its budget whole."""
        task = await stored(await after_raising(lab, RateLimited("20"), in_thread=in_thread))
        assert (task.state, task.failures, task.due) == (State.SCHEDULED, 0, NOW + 21)

    async def test_retry_names_its_delay(self, lab: Lab, *, in_thread: bool) -> None:
        """`Retry(delay)`: burns a retry, and comes before every curve."""
        error = Retry("busy", delay=7)
        handle = await after_raising(lab, error, in_thread=in_thread, retry=fixed(100))
        task = await stored(handle)
        assert (task.state, task.failures, task.error) == (State.RETRY, 1, "busy")
        assert task.due == NOW + 7

    async def test_retry_without_a_delay_asks_the_policy(
        self, lab: Lab, *, in_thread: bool
    ) -> None:
        """`Retry()`: the curve chooses."""
        handle = await after_raising(lab, Retry(), in_thread=in_thread, retry=fixed(100))
        assert (await stored(handle)).due == NOW + 100

    async def test_the_last_retry_is_the_last(self, lab: Lab, *, in_thread: bool) -> None:
        """With the budget spent the task is archived, also by `Retry`."""
        handle = await after_raising(lab, Retry("busy"), in_thread=in_thread, max_retry=0)
        task = await stored(handle)
        assert (task.state, task.failures, task.error) == (State.ARCHIVED, 1, "busy")

    @pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit("bye"), Odd("x")])
    async def test_an_odd_error_is_a_failure_of_its_task_alone(
        self, lab: Lab, error: BaseException, *, in_thread: bool
    ) -> None:
        """What is no `Exception` fails the task that raised it; the worker serves the next one."""
        told: list[BaseException] = []
        lab.on_error(lambda _, error: told.append(error))  # type: ignore[arg-type, return-value]
        task = await stored(await after_raising(lab, error, in_thread=in_thread))
        assert (task.state, task.failures) == (State.RETRY, 1)
        assert task.error is not None
        assert task.error.startswith(type(error).__name__)
        assert [type(each) for each in told] == [type(error)]

    async def test_a_stop_iteration_is_a_failure(self, lab: Lab, *, in_thread: bool) -> None:
        """Python turns it into a RuntimeError, and that is judged."""
        task = await stored(await after_raising(lab, StopIteration(), in_thread=in_thread))
        assert task.state is State.RETRY
        assert task.error is not None
        assert task.error.startswith("RuntimeError")


class TestResults:
    async def test_a_success_without_retention_is_gone(self, lab: Lab) -> None:
        """Nothing is kept unless it was asked for."""

        @lab.task("mail")
        async def mail(ctx: Context) -> int:
            return 1

        handle = await mail.enqueue()
        await lab.run_due()
        assert await handle.status() is State.GONE

    async def test_a_result_is_kept_with_its_content_type(self) -> None:
        """The result is written by the serializer of the queue."""
        lab = Lab(serializer=MessagePackSerializer())

        @lab.task("mail", retention=60)
        def mail(ctx: Context) -> bytes:
            return b"\xff"

        handle = await mail.enqueue()
        await lab.run_due()
        task = await stored(handle)
        assert (task.state, task.result_type) == (State.COMPLETED, "application/msgpack")
        assert await handle.result() == b"\xff"

    async def test_a_result_that_has_no_form_is_dead(self, lab: Lab) -> None:
        """What cannot be kept is said to be so, and done once only: it succeeded, after all."""
        runs: list[int] = []

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> object:
            runs.append(1)
            return object()

        handle = await mail.enqueue()
        await drain(lab)
        task = await stored(handle)
        assert (task.state, runs) == (State.DEAD, [1])
        assert task.error is not None
        assert re.match("its result cannot be kept: .*object", task.error)

    async def test_a_result_that_nobody_keeps_may_be_anything(self, lab: Lab) -> None:
        """Without retention the result is not even encoded."""

        @lab.task("mail")
        async def mail(ctx: Context) -> object:
            return object()

        handle = await mail.enqueue()
        await lab.run_due()
        assert await handle.status() is State.GONE

    async def test_a_plain_function_that_returns_a_coroutine_has_failed(self, lab: Lab) -> None:
        """As when a decorator hides that it is async: nothing has run, so it is no success."""

        async def inner(ctx: Context) -> None:
            raise AssertionError

        def hidden(ctx: Context) -> object:
            return inner(ctx)

        handle = await lab.task("mail")(hidden).enqueue()
        await lab.run_due()
        task = await stored(handle)
        assert task.state is State.RETRY
        assert task.error is not None
        assert "coroutine" in task.error

    @pytest.mark.parametrize("what", ["coroutine", "generator", "async generator"])
    @pytest.mark.parametrize("runs", ["on the loop", "in a thread"])
    async def test_what_returns_work_that_has_not_begun_has_failed(
        self, lab: Lab, what: str, runs: str
    ) -> None:
        """As where a decorator hides a generator, or an `await` was forgotten."""

        async def coroutine() -> None:
            raise AssertionError

        def generator() -> Iterator[int]:
            yield 1

        async def async_generator() -> AsyncIterator[int]:
            yield 1

        made: dict[str, Callable[[], object]] = {
            "coroutine": coroutine,
            "generator": generator,
            "async generator": async_generator,
        }

        async def on_loop(ctx: Context) -> object:
            return made[what]()

        def in_thread(ctx: Context) -> object:
            return made[what]()

        handler: Any = on_loop if runs == "on the loop" else in_thread
        handle = await lab.task("mail")(handler).enqueue()
        await lab.run_due()
        task = await stored(handle)
        assert task.state is State.RETRY
        assert f"the handler returned a {what.rsplit(maxsplit=1)[-1]}" in str(task.error)


async def test_an_argument_may_have_any_name(lab: Lab) -> None:
    """No name of ours gets in the way of a handler's own."""
    seen: list[object] = []

    def record(ctx: Context, *, function: int, args: int, kwargs: int, run: int = 3) -> None:
        seen.append((function, args, kwargs, run))

    async def also(ctx: Context, *, function: int, task: int, handler: int) -> None:
        seen.append((function, task, handler))

    handlers: list[tuple[Callable[..., Any], dict[str, int]]] = [
        (record, {"function": 1, "args": 2, "kwargs": 4}),
        (also, {"function": 1, "task": 2, "handler": 4}),
    ]
    for function, arguments in handlers:
        await lab.task(function.__name__)(function).enqueue(**arguments)
    await lab.run_due()
    assert set(seen) == {(1, 2, 4, 3), (1, 2, 4)}


async def test_an_interrupt_in_a_thread_is_a_failure_of_its_task(lab: Lab) -> None:
    """No Ctrl-C ever comes to a thread: one that is raised there is the handler's own doing."""
    task = await stored(await after_raising(lab, KeyboardInterrupt(), in_thread=True))
    assert (task.state, task.error) == (
        State.RETRY,
        "RuntimeError: the handler raised KeyboardInterrupt()",
    )
