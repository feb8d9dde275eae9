from collections.abc import AsyncIterator

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
            "NoState: no lifespan yields a int: this run has SmallPool "
            "(with process=True it never has any: a process cannot share the worker's objects)"
        )

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
