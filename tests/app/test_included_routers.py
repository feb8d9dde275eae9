"""Routers that a queue includes: names, clients, defaults, middleware, hooks and lifespans."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from qcore import Context, InvalidOption, Qcore, RetryPolicy, Router, SkipRetry, State
from qcore.backoff import fixed
from qcore.tasks import Group, Task
from qcore.testing import ManualClock, drain
from qcore.testing.builders import NOW
from qcore.types import Next
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class TestNames:
    async def test_a_task_of_an_included_router_is_enqueued_and_run(self, lab: Lab) -> None:
        """Its name begins with the prefix, and its clients are the queue's."""
        router, ran = Router(), list[str]()

        @router.task("welcome", queue="mail")
        async def welcome(ctx: Context, to: str) -> None:
            ran.append(f"{ctx.name} {to}")

        lab.include(router, prefix="mail:")
        handle = await welcome.enqueue("ann")
        assert (welcome.name, handle.queue) == ("mail:welcome", "mail")
        await drain(lab)
        assert ran == ["mail:welcome ann"]
        assert "mail" in lab.queues()

    def test_code_that_blocks_enqueues_too(self, lab: Lab) -> None:
        """Both clients are the queue's."""
        router = Router()
        handler = router.task("a")(nothing)
        lab.include(router)
        assert handler.enqueue_sync().status() is State.PENDING

    def test_routers_may_be_in_routers(self, lab: Lab) -> None:
        """Prefixes stand in the order of inclusion, in whichever order that was done."""
        inner, middle = Router(), Router()
        before = inner.task("before")(nothing)
        lab.include(middle, prefix="shop:")
        middle.include(inner, prefix="mail:")
        after = inner.task("after")(nothing)
        assert [each.name for each in (before, after)] == ["shop:mail:before", "shop:mail:after"]
        assert lab.resolve("shop:mail:after") is after
        assert middle.resolve("mail:after") is after
        assert inner.resolve("after") is after

    def test_patterns_are_prefixed_too(self, lab: Lab) -> None:
        """A router's "image:" and its rest are those below its prefix."""
        router = Router()
        image, rest = router.route("image:", takes_any), router.route("", takes_any)
        lab.include(router, prefix="shop:")
        assert lab.resolve("shop:image:resize") is image
        assert lab.resolve("shop:other") is rest
        assert lab.resolve("other") is None

    async def test_what_was_made_before_has_the_name_too(self, lab: Lab) -> None:
        """Calls and options at the top of a module are made before its router is included."""
        router = Router()
        handler = router.task("a")(nothing)
        urgent, call = handler.using(priority=7), handler.call()
        lab.include(router, prefix="b:")
        handles = [await urgent.enqueue(), await lab.client.enqueue(call)]
        tasks = [await handle.task() for handle in handles]
        assert [(task.name, task.spec.priority) for task in tasks] == [("b:a", 7), ("b:a", 0)]

    def test_a_router_that_is_in_no_queue_has_no_client(self) -> None:
        """The error says what to do."""
        router = Router()
        with pytest.raises(InvalidOption, match=r"include it in a Qcore, q\.include\(router\)"):
            router.task("a")(nothing).enqueue_sync()

    async def test_a_swapped_queue_swaps_its_routers_clients(self, lab: Lab) -> None:
        """As a test does."""
        router = Router()
        handler = router.task("a")(nothing)
        lab.include(router)
        with lab.swapped("memory://") as other:
            await handler.enqueue()
            assert await other.inspector.totals() == {State.PENDING: 1}
        assert await lab.inspector.totals() == {}


class TestRefusals:
    def test_a_name_that_is_taken_is_named(self, lab: Lab) -> None:
        """And nothing of the router is included."""
        lab.task("mail:b")(nothing)
        router = Router()
        free = router.task("a")(nothing)
        router.task("b")(nothing)
        with pytest.raises(InvalidOption, match="'mail:b' has a handler already, <function"):
            lab.include(router, prefix="mail:")
        assert lab.resolve("mail:a") is None
        assert free.name == "a"
        lab.include(router, prefix="other:")
        assert free.name == "other:a"

    def test_a_name_that_is_declared_later_may_be_taken_too(self, lab: Lab) -> None:
        """It is refused where it is declared."""
        router = Router()
        lab.include(router, prefix="mail:")
        lab.task("mail:b")(nothing)
        with pytest.raises(InvalidOption, match="'mail:b' has a handler already"):
            router.task("b")(nothing)

    @pytest.mark.parametrize(
        ("make", "prefix", "said"),
        [
            (lambda: Qcore("memory://"), "", "a Qcore cannot be included"),
            (dict, "", "cannot be included: expected a Router"),
            (Router, "mail", "prefix is 'mail': expected one that ends in ':', as 'mail:'"),
            (Router, None, "prefix is None"),
        ],
    )
    def test_what_cannot_be_included_is_refused(
        self, lab: Lab, make: Any, prefix: Any, said: str
    ) -> None:
        """The error says what was expected."""
        with pytest.raises(InvalidOption, match=said):
            lab.include(make(), prefix=prefix)

    def test_a_router_is_in_one_place(self, lab: Lab) -> None:
        """Else it would be open through which queue its tasks are enqueued, and by which name."""
        router = Router()
        lab.include(router)
        for queue in (lab, Lab()):
            with pytest.raises(InvalidOption, match="this router is included already"):
                queue.include(router, prefix="again:")

    def test_a_router_is_not_in_itself(self) -> None:
        """Neither directly nor through another."""
        router, other = Router(), Router()
        router.include(other)
        for each in (router, other):
            with pytest.raises(InvalidOption, match="itself cannot be included"):
                each.include(router)

    def test_a_name_that_is_too_long_with_its_prefix_is_refused(self, lab: Lab) -> None:
        """Where it is included: no task of it could be enqueued."""
        router = Router()
        router.task("a" * 250)(nothing)
        with pytest.raises(Exception, match="name is"):
            lab.include(router, prefix=f"{'b' * 20}:")
        assert lab.handlers() == []


class TestWhatIsAround:
    async def test_middleware_of_a_router_is_inside_of_the_queues(self, lab: Lab) -> None:
        """And around its own tasks alone."""
        router, seen = Router(), list[str]()

        def tracing(what: str) -> Any:
            async def trace(ctx: Context, run: Next) -> object:
                seen.append(f"{what} {ctx.name}")
                return await run(ctx)

            return trace

        router.middleware(tracing("inner"))
        mine, bare = router.task("mine")(nothing), lab.task("bare")(nothing)
        thread = router.task("thread")(plain)
        lab.include(router)
        lab.middleware(tracing("outer"))
        for handler in (mine, bare, thread):
            await handler.enqueue()
            await drain(lab)
        assert seen == [
            "outer mine",
            "inner mine",
            "outer bare",
            "outer thread",
            "inner thread",
        ]

    async def test_error_hooks_of_a_router_hear_of_its_own_tasks(self, lab: Lab) -> None:
        """The queue's hear of all."""
        told = list[str]()
        router = Router(on_error=lambda ctx, _: told.append(f"inner {ctx.name}"))
        lab.on_error(lambda ctx, _: told.append(f"outer {ctx.name}"))
        mine, bare = router.task("mine")(skips), lab.task("bare")(skips)
        lab.include(router)
        await mine.enqueue()
        await bare.enqueue()
        await drain(lab)
        assert sorted(told) == ["inner mine", "outer bare", "outer mine"]

    async def test_lifespans_of_a_router_are_the_workers(self, lab: Lab) -> None:
        """Whoever's handler asks for it has what it yields."""
        router, values = Router(), list[int]()

        @router.lifespan
        async def number() -> AsyncIterator[int]:
            yield 7

        @lab.task("ask")
        async def ask(ctx: Context) -> None:
            values.append(ctx.state(int))

        lab.include(router)
        await ask.enqueue()
        await drain(lab)
        assert values == [7]

    async def test_aggregators_of_a_router_are_the_workers(self, lab: Lab) -> None:
        """Groups have names of their own, which a prefix does not change."""
        router, ran = Router(), list[int]()

        @router.task("digest")
        async def digest(ctx: Context, size: int) -> None:
            ran.append(size)

        @router.aggregator("news", grace=1)
        def collect(group: Group, tasks: list[Task]) -> Any:
            return digest.call(len(tasks))

        part = lab.task("part", group="news")(nothing)
        lab.include(router, prefix="mail:")
        await lab.client.enqueue_many([part.call(), part.call()])
        await drain(lab)
        assert ran == [2]
        with pytest.raises(InvalidOption, match="have an aggregator already"):
            lab.aggregator("news")(collect)


class TestDefaults:
    async def test_options_of_the_queue_are_those_of_its_tasks(self) -> None:
        """Unless its router, the task or the caller says otherwise."""
        q = Qcore("memory://", defaults={"max_retry": 5, "retention": 60, "queue": "slow"})
        router = Router(defaults={"max_retry": 4, "priority": 1})
        mine = router.task("mine", priority=2)(nothing)
        bare = q.task("bare")(nothing)
        q.include(router)
        specs = [
            (await handle.task()).spec
            for handle in (
                await bare.enqueue(),
                await mine.enqueue(),
                await mine.using(max_retry=1).enqueue(),
            )
        ]
        assert [(spec.max_retry, spec.priority) for spec in specs] == [(5, 0), (4, 2), (1, 2)]
        assert {(spec.retention, spec.queue) for spec in specs} == {(60, "slow")}
        assert q.queues() == ["slow"]

    async def test_a_policy_of_the_queue_is_that_of_its_tasks(self) -> None:
        """Part by part: a handler that says what fails has the curve of the queue."""
        q = Qcore("memory://", clock=ManualClock(), retry=fixed(50))
        router = Router(retry=fixed(20))
        fails = [
            q.task("bare")(breaks),
            q.task("own", retry=fixed(3))(breaks),
            q.task("part", is_failure=lambda _: False)(breaks),
            router.task("mine")(breaks),
        ]
        q.include(router)
        handles = [await each.enqueue() for each in fails]
        await drain(q, jump=False)
        tasks = [await handle.task() for handle in handles]
        assert [task.due - NOW for task in tasks] == [50, 3, 50, 20]
        assert [task.failures for task in tasks] == [1, 1, 0, 1]

    async def test_a_workers_policy_comes_before_the_queues(self) -> None:
        """A worker is one of many, and a queue is for all of them; a router's is for its tasks."""
        q = Qcore("memory://", clock=ManualClock(), retry=fixed(50))
        router = Router(retry=fixed(20))
        bare, mine = q.task("bare")(breaks), router.task("mine")(breaks)
        q.include(router)
        handles = [await bare.enqueue(), await mine.enqueue()]
        await q.worker(burst=True, policy=RetryPolicy(fixed(7))).run()
        assert [(await handle.task()).due - NOW for handle in handles] == [7, 20]

    async def test_what_is_a_failure_is_said_once_for_all(self) -> None:
        """And what hears of errors."""
        told = list[str]()

        async def tell(ctx: Context, error: BaseException) -> None:
            told.append(f"{ctx.name}: {error}")

        q = Qcore("memory://", is_failure=lambda error: not is_busy(error), on_error=[tell])
        handle = await q.task("busy", max_retry=0)(breaks).enqueue()
        await q.worker(burst=True).run()
        assert (await handle.task()).state is State.RETRY
        assert told == ["busy: busy"]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"defaults": {"max_retry": -1}}, "defaults: max_retry is -1"),
            ({"defaults": {"max_retries": 1}}, "defaults: there is no option 'max_retries'"),
            ({"defaults": 7}, "defaults is 7: expected options of tasks"),
            ({"defaults": {"task_id": "a"}}, "defaults has task_id, which tells tasks apart"),
            ({"defaults": {"unique_key": "a"}}, "defaults has unique_key"),
            ({"retry": 7}, "retry is 7: expected a RetryPolicy or a curve"),
            ({"is_failure": 7}, "is_failure is 7: expected a function of an error"),
            ({"on_error": [7]}, "7 is no error hook"),
            ({"on_error": 7}, "on_error is 7: expected a function"),
        ],
    )
    @pytest.mark.parametrize("kind", [Router, Qcore])
    def test_a_wrong_default_is_refused(self, kind: Any, given: dict[str, Any], said: str) -> None:
        """Where it is said, not where the first task is enqueued."""
        with pytest.raises(InvalidOption, match=said):
            kind(**given)


async def nothing(ctx: Context) -> None:
    """Do nothing."""


def plain(ctx: Context) -> None:
    """Do nothing, in a thread."""


async def takes_any(ctx: Context, **arguments: Any) -> None:
    """Take whatever there is."""


async def skips(ctx: Context) -> None:
    """Fail for good."""
    raise SkipRetry("no")


async def breaks(ctx: Context) -> None:
    """Fail."""
    raise OSError("busy")


def is_busy(error: BaseException) -> bool:
    """Return whether a service was busy."""
    return isinstance(error, OSError)
