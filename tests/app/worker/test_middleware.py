from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

import pytest
from structlog.testing import capture_logs

from qcore import Context, InvalidOption, RateLimited, Revoke, SkipRetry, Snooze, State
from qcore.testing import a_task
from qcore.types import Next
from tests.app import process_handlers
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def nothing(ctx: Context, **arguments: Any) -> None:
    """Do nothing."""


class TestMiddleware:
    @pytest.mark.parametrize("kind", ["coroutine", "thread", "process"])
    async def test_the_first_registered_is_the_outermost(self, lab: Lab, kind: str) -> None:
        """Middleware wraps every kind of handler in the order of registration."""
        diary: list[str] = []

        @lab.middleware
        async def outer(ctx: Context, run: Next) -> object:
            diary.append(f"outer {ctx.name}")
            value = await run(ctx)
            diary.append("outer end")
            return [value]

        @lab.middleware
        async def inner(ctx: Context, run: Next) -> object:
            diary.append("inner")
            value = await run(ctx)
            diary.append("inner end")
            return {"value": value}

        @lab.task("coroutine")
        async def in_coroutine(ctx: Context) -> int:
            return 1

        @lab.task("thread")
        def in_thread(ctx: Context) -> int:
            return 1

        lab.route("process", process_handlers.pid, process=True)
        handle = await lab.client.enqueue(a_task(name=kind, retention=60))
        await lab.run_due()
        result = await handle.result()
        assert isinstance(result[0]["value"], int)
        assert diary == [f"outer {kind}", "inner", "inner end", "outer end"]

    async def test_a_middleware_sees_errors_and_may_change_them(self, lab: Lab) -> None:
        """What a middleware makes of an error is what is judged; it may also leave the run out."""

        @lab.middleware
        async def rude(ctx: Context, run: Next) -> object:
            if ctx.name == "unwanted":
                return "left out"
            try:
                return await run(ctx)
            except ValueError as error:
                raise SkipRetry(f"translated {error}") from error

        @lab.task("mail")
        def mail(ctx: Context) -> None:
            raise ValueError("x")

        @lab.task("unwanted", retention=1)
        def unwanted(ctx: Context) -> str:
            raise AssertionError

        handle, left_out = await mail.enqueue(), await unwanted.enqueue()
        await lab.run_due()
        assert (await stored(handle)).error == "translated x"
        assert await left_out.result() == "left out"

    async def test_a_middleware_may_be_an_object_or_wrapped(self, lab: Lab) -> None:
        """What counts is that it is awaited: its `__call__`, or what a decorator left of it."""
        diary: list[str] = []

        class Outer:
            async def __call__(self, ctx: Context, run: Next) -> object:
                diary.append("object")
                return await run(ctx)

        async def inner(ctx: Context, run: Next, word: str) -> object:
            diary.append(word)
            return await run(ctx)

        @wraps(inner)
        def wrapper(ctx: Context, run: Next) -> Awaitable[object]:
            return inner(ctx, run, "wrapped")

        lab.middleware(Outer())
        lab.middleware(partial(inner, word="partial"))
        lab.middleware(wrapper)
        lab.task("mail")(nothing)
        await lab.client.enqueue(a_task(name="mail"))
        await lab.run_due()
        assert diary == ["object", "partial", "wrapped"]

    def test_an_error_hook_that_a_call_does_not_start_is_refused(self, lab: Lab) -> None:
        """It would never be told of an error."""

        def generator(ctx: Context, error: BaseException) -> Iterator[None]:
            yield

        async def asynchronous(ctx: Context, error: BaseException) -> AsyncIterator[None]:
            yield

        wrong: Sequence[Any] = (generator, partial(generator), asynchronous, None)
        for hook in wrong:
            with pytest.raises(InvalidOption, match="is no error hook"):
                lab.on_error(hook)
        assert lab.error_hooks == []

    @pytest.mark.parametrize("kind", ["function", "class", "object"])
    def test_a_middleware_that_cannot_be_awaited_is_refused(self, lab: Lab, kind: str) -> None:
        """Where it is declared, and by name: every task would fail in it."""

        def plain(ctx: Context, run: Next) -> Any: ...

        class Forgotten:
            async def __call__(self, ctx: Context, run: Next) -> object:
                raise AssertionError

        wrong: Any = {"function": plain, "class": Forgotten, "object": object()}[kind]
        name = {"function": "plain", "class": "Forgotten", "object": "object object"}[kind]
        with pytest.raises(InvalidOption, match=rf"{name}.*expected a coroutine function"):
            lab.middleware(wrong)
        assert lab.middlewares == []


class TestErrorHooks:
    async def test_every_error_is_told_before_it_is_judged(self, lab: Lab) -> None:
        """Plain functions and coroutines are told of the error and its context."""
        told: list[str] = []

        @lab.on_error
        def plain(ctx: Context, error: BaseException) -> None:
            told.append(f"plain {ctx.name} {error!r}")

        @lab.on_error
        async def coroutine(ctx: Context, error: BaseException) -> None:
            told.append(f"coroutine {ctx.attempt} {error!r}")

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            raise ValueError("x")

        handle = await mail.enqueue()
        await lab.run_due()
        assert told == ["plain mail ValueError('x')", "coroutine 1 ValueError('x')"]
        assert await handle.status() is State.RETRY

    async def test_a_hook_that_fails_changes_nothing(self, lab: Lab) -> None:
        """Its trouble is logged; the other hooks are told, and the task is judged as ever."""
        told: list[str] = []

        @lab.on_error
        async def broken(ctx: Context, error: BaseException) -> None:
            raise RuntimeError("the hook broke")

        @lab.on_error
        def sound(ctx: Context, error: BaseException) -> None:
            told.append(ctx.id)

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            raise SkipRetry("no")

        handle = await mail.enqueue()
        with capture_logs() as logs:
            await lab.run_due()
        assert told == [handle.id]
        assert (await stored(handle)).error == "no"
        assert [log["event"] for log in logs] == ["error hook failed"]

    async def test_a_success_is_no_error(self, lab: Lab) -> None:
        """Hooks are not told of what went well."""
        told: list[str] = []

        @lab.on_error
        def hook(ctx: Context, error: BaseException) -> None:
            told.append(ctx.id)

        lab.task("mail")(nothing)
        await lab.client.enqueue(a_task(name="mail"))
        await lab.run_due()
        assert told == []

    @pytest.mark.parametrize("raised", [Snooze(5), RateLimited(5), Revoke()], ids=repr)
    async def test_what_is_no_trouble_is_not_told(self, lab: Lab, raised: Exception) -> None:
        """A handler that wants to run later, or not at all, has met no error."""
        told: list[str] = []

        @lab.on_error
        def hook(ctx: Context, error: BaseException) -> None:
            told.append(ctx.id)

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            raise raised

        await mail.enqueue()
        assert await lab.run_due() == 1
        assert told == []
