from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import Any, Self

import pytest

from qcore import Context, InvalidOption
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


class Pool:
    def __init__(self, size: int) -> None:
        self.size = size


class SmallPool(Pool):
    pass


class TestLifespan:
    async def test_handlers_reach_it_by_type(self, lab: Lab) -> None:
        """Coroutines and threads alike find the object of the type asked for."""
        diary: list[object] = []

        @lab.lifespan
        async def pools() -> AsyncIterator[object]:
            diary.append("open")
            yield Pool(3), "text"
            diary.append("closed")

        @lab.lifespan
        async def more() -> AsyncIterator[object]:
            diary.append("open more")
            yield None
            diary.append("closed more")

        @lab.task("a")
        async def in_coroutine(ctx: Context) -> None:
            diary.append(ctx.state(Pool).size)

        @lab.task("b")
        def in_thread(ctx: Context) -> None:
            diary.append(ctx.state(str))

        await in_coroutine.enqueue()
        await in_thread.enqueue()
        await lab.run_due()
        assert diary[:2] == ["open", "open more"]
        assert set(diary[2:4]) == {3, "text"}
        assert diary[4:] == ["closed more", "closed"]

    async def test_a_type_that_nobody_made_is_explained(self, lab: Lab) -> None:
        """The error names what was asked for and what there is."""

        @lab.lifespan
        async def pools() -> AsyncIterator[object]:
            yield SmallPool(3)

        @lab.task("a", max_retry=0)
        async def a(ctx: Context) -> None:
            assert ctx.state(Pool).size == 3
            ctx.state(int)

        handle = await a.enqueue()
        await lab.run_due()
        assert (await stored(handle)).error == (
            "NoState: no lifespan and no around yields a int: this run has SmallPool (with "
            "process=True it has only what arounds yield: a process cannot share the worker's "
            "objects)"
        )

    async def test_one_may_be_a_context_manager_already(self, lab: Lab) -> None:
        """What `asynccontextmanager` made is entered as it is, and so is a class of its kind."""
        diary: list[str] = []

        @lab.lifespan
        @asynccontextmanager
        async def pools() -> AsyncIterator[Pool]:
            diary.append("open")
            yield Pool(3)
            diary.append("closed")

        lab.lifespan(Door)

        @lab.task("a", retention=1)
        async def a(ctx: Context) -> tuple[int, bool]:
            return ctx.state(Pool).size, ctx.state(Door).is_open

        handle = await a.enqueue()
        await lab.run_due()
        assert await handle.result() == (3, True)
        assert diary == ["open", "closed"]

    @pytest.mark.parametrize("made", [asynccontextmanager, lambda generator: generator])
    async def test_one_may_be_given_its_arguments(self, lab: Lab, made: Callable[..., Any]) -> None:
        """A generator with some of its arguments is one without."""

        @made
        async def pools(size: int) -> AsyncIterator[object]:
            yield Pool(size)

        @lab.task("a", retention=1)
        async def a(ctx: Context) -> int:
            return ctx.state(Pool).size

        lab.lifespan(partial(pools, 4))
        handle = await a.enqueue()
        await lab.run_due()
        assert await handle.result() == 4

    async def test_one_may_be_an_object_that_is_called(self, lab: Lab) -> None:
        """Its `__call__` is the generator."""

        class Pools:
            async def __call__(self) -> AsyncIterator[object]:
                yield Pool(5)

        @lab.task("a", retention=1)
        async def a(ctx: Context) -> int:
            return ctx.state(Pool).size

        lab.lifespan(Pools())
        handle = await a.enqueue()
        await lab.run_due()
        assert await handle.result() == 5

    async def test_two_of_one_type_are_refused(self, lab: Lab) -> None:
        """Handlers could not tell them apart."""
        ended: list[bool] = []

        @lab.lifespan
        async def first() -> AsyncIterator[object]:
            try:
                yield Pool(1)
            finally:
                ended.append(True)

        @lab.lifespan
        async def second() -> AsyncIterator[object]:
            yield Pool(2)

        with pytest.raises(InvalidOption, match="two lifespans yield a Pool"):
            await lab.worker().run()
        assert ended == [True]

    async def test_an_object_that_is_falsy_is_found(self, lab: Lab) -> None:
        """An empty container is an object like any other."""

        @lab.lifespan
        async def cache() -> AsyncIterator[object]:
            yield {}

        @lab.task("a", retention=1)
        async def a(ctx: Context) -> bool:
            return ctx.state(dict) == {}

        handle = await a.enqueue()
        await lab.run_due()
        assert await handle.result() is True


class Door:
    is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False


def plain() -> Pool:
    """Return what a lifespan should yield."""
    return Pool(1)


async def coroutine() -> Pool:
    """Return what a lifespan should yield."""
    return Pool(1)


def generator() -> Iterator[Pool]:
    """Yield, but not on the loop."""
    yield Pool(1)


@pytest.mark.parametrize("function", [plain, coroutine, generator, Pool, Pool(1)])
def test_what_is_no_lifespan_is_refused_where_it_is_declared(lab: Lab, function: Any) -> None:
    """The error names it and says what is expected."""
    name = getattr(function, "__name__", "Pool object")
    with pytest.raises(InvalidOption, match=rf"{name}.* no lifespan: expected an async generator"):
        lab.lifespan(function)
    assert lab.lifespans == []


async def test_what_only_looks_like_one_is_named_when_the_worker_starts(lab: Lab) -> None:
    """A wrapper may give back something else than what it wraps."""

    async def pools() -> AsyncIterator[object]:
        yield Pool(1)

    @wraps(pools)
    def wrapper() -> Any:
        return Pool(1)

    lab.lifespan(wrapper)
    with pytest.raises(InvalidOption, match=r"pools.* no lifespan"):
        await lab.worker().run()
