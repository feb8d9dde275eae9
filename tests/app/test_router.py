import inspect
from typing import Any

import pytest
from structlog.testing import capture_logs

from qcore import Context, InvalidOption, Router, SkipRetry, State
from qcore.testing import a_context, a_task
from qcore.types import Handler, Next
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def nothing(ctx: Context, **arguments: Any) -> None:
    """Do nothing."""


class TestNames:
    def test_the_exact_name_comes_first(self) -> None:
        """A handler of the very name is preferred to every prefix."""
        router = Router()
        router.route("image:", nothing)
        exact = router.route("image:resize", nothing)
        assert router.resolve("image:resize") is exact

    def test_the_longest_prefix_comes_next(self) -> None:
        """Of the prefixes that fit, the longest serves, whatever the order of registration."""
        router = Router()
        handlers = {p: router.route(p, nothing) for p in ("a:", "a:b:c:", "a:b:")}
        assert router.resolve("a:b:c:d") is handlers["a:b:c:"]
        assert router.resolve("a:b:x") is handlers["a:b:"]
        assert router.resolve("a:x") is handlers["a:"]
        assert router.resolve("a:") is handlers["a:"]
        assert router.resolve("a") is None
        assert router.resolve("b:a:") is None

    def test_the_empty_prefix_serves_the_rest(self) -> None:
        """A handler of "" takes whatever nobody else takes."""
        router = Router()
        rest = router.route("", nothing)
        mail = router.route("mail", nothing)
        assert router.resolve("whatever") is rest
        assert router.resolve("mail") is mail

    def test_a_name_without_a_colon_is_no_prefix(self) -> None:
        """A plain name serves itself alone."""
        router = Router()
        router.route("mail", nothing)
        assert router.resolve("mail:welcome") is None
        assert router.resolve("mailing") is None

    def test_a_handler_added_later_is_found(self) -> None:
        """What a name resolved to before is asked anew after each registration."""
        router = Router()
        assert router.resolve("a:b") is None
        first = router.route("a:", nothing)
        assert router.resolve("a:b") is first
        second = router.route("a:b", nothing)
        assert router.resolve("a:b") is second
        assert router.handlers() == [first, second]

    def test_a_name_is_given_once(self, lab: Lab) -> None:
        """Two handlers of one name are a mistake, and the error names both."""
        lab.task("mail")(nothing)
        with pytest.raises(InvalidOption, match=r"'mail'.*nothing"):
            lab.task("mail")(nothing)

    def test_a_handler_without_a_name_has_its_functions(self, lab: Lab) -> None:
        """The name of a task is its function's module and name unless it is given."""
        assert lab.task()(nothing).name == f"{__name__}.nothing"

    async def test_the_parentheses_may_be_left_out(self, lab: Lab) -> None:
        """`@q.task` alone makes a handler too, of its function's name and with no options."""
        ran: list[int] = []

        @lab.task
        async def bare(ctx: Context, number: int) -> None:
            ran.append(number)

        assert isinstance(bare, Handler)
        assert bare.name == f"{__name__}.{bare.function.__qualname__}"
        assert lab.handlers() == [bare]
        await bare.enqueue(7)
        await lab.run_due()
        assert ran == [7]

    async def test_a_prefix_handler_is_told_the_name(self, lab: Lab) -> None:
        """A handler that serves many finds the name in its context."""
        names: list[str] = []

        async def fallback(ctx: Context, **arguments: Any) -> None:
            names.append(f"{ctx.name} {arguments}")

        lab.route("image:", fallback)
        await lab.client.enqueue(a_task(name="image:resize", payload=b'{"to":7}'))
        await lab.run_due()
        assert names == ["image:resize {'to': 7}"]

    async def test_a_router_without_a_queue_sends_nothing(self) -> None:
        """Its handlers can be served, but not enqueued."""
        handler = Router().task("mail")(nothing)
        with pytest.raises(InvalidOption, match="has no client"):
            await handler.enqueue()
        with pytest.raises(InvalidOption, match="has no client"):
            handler.enqueue_sync()


class TestDirectCalls:
    async def test_a_handler_is_still_its_function(self, lab: Lab) -> None:
        """Called directly it returns what the function returns, with no middleware and no queue."""

        @lab.middleware
        async def never(ctx: Context, run: Next) -> object:
            raise AssertionError

        @lab.task("double", retention=1)
        async def double(ctx: Context, number: int, *, plus: int = 0) -> int:
            """Double a number."""
            return number * 2 + plus + ctx.attempt

        @lab.task("half")
        def half(ctx: Context, number: int) -> float:
            return number / 2

        ctx = a_context()
        assert await double(ctx, 3, plus=1) == 8
        assert half(ctx, number=3) == 1.5
        assert await lab.inspector.counts() == {}
        assert (getattr(double, "__name__", None), double.__doc__) == ("double", "Double a number.")
        assert list(inspect.signature(double).parameters) == ["ctx", "number", "plus"]

    async def test_what_the_function_raises_is_raised(self, lab: Lab) -> None:
        """A direct call judges nothing."""

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            raise SkipRetry("no")

        with pytest.raises(SkipRetry):
            await mail(a_context())


def test_a_coroutine_cannot_be_a_process(lab: Lab) -> None:
    """A coroutine belongs to the loop."""
    with pytest.raises(InvalidOption, match="coroutine"):
        lab.task("a", process=True)(nothing)  # type: ignore[arg-type]


def test_a_process_handler_must_be_importable(lab: Lab) -> None:
    """A function within a function cannot be found by another process: refused where declared."""

    def local(ctx: Context) -> None: ...

    with pytest.raises(InvalidOption, match="module"):
        lab.task("a", process=True)(local)


async def test_a_context_says_all_about_its_run(lab: Lab) -> None:
    """Id, queue, attempts, deadline, token, headers and a logger bound to them."""
    seen: list[Context] = []

    @lab.task("mail", queue="critical", max_retry=7, timeout=30)
    async def mail(ctx: Context) -> None:
        seen.append(ctx)
        with capture_logs() as logs:
            ctx.log.info("here")
        assert logs == [
            {
                "event": "here",
                "log_level": "info",
                "task": "mail",
                "task_id": ctx.id,
                "queue": "critical",
                "attempt": ctx.attempt,
            }
        ]
        if ctx.attempt == 1:
            raise ValueError

    handle = await mail.using(headers={"a": "b"}).enqueue()
    await lab.run_due()
    lab.manual.advance(1000)
    await lab.run_due()
    first, second = seen
    assert (first.id, first.name, first.queue) == (handle.id, "mail", "critical")
    assert (first.attempt, first.failures, first.max_retry) == (1, 0, 7)
    assert (second.attempt, second.failures) == (2, 1)
    assert second.deadline == lab.clock.now() + 30
    assert second.headers == {"a": "b"}
    assert second.lease.token > first.lease.token
    assert not second.is_cancelled
    assert await handle.status() is State.GONE
