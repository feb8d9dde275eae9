"""A store that goes away is told, with since when; the view stays, and goes on by itself."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.errors import BrokerUnavailable
from qcore.ports import Broker, Verb
from qcore.testing import ManualClock
from qcore.testing.builders import NOW, a_task
from tests.entrypoints.top.kit import shown


class Away(ForwardingBroker):
    """A store that can go away."""

    def __init__(self, inner: Broker, clock: ManualClock) -> None:
        super().__init__(inner)
        self.clock = clock
        self.is_away = False
        self.fails_after = 0.0
        self.asked = 0

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[Any]], /, **arguments: object
    ) -> Any:
        self.asked += 1
        if self.is_away:
            if self.fails_after:
                await self.clock.sleep(self.fails_after)
            raise BrokerUnavailable("redis://queue.example/0: connection refused")
        return await call()


async def a_store() -> Away:
    """Return a store with one queue."""
    broker = MemoryBroker()
    await broker.enqueue([a_task(id="t1", queue="mail")], now=NOW)
    return Away(broker, ManualClock())


async def test_an_outage_is_told_with_since_when_and_is_over_by_itself() -> None:
    """What was last seen stays, with the moment at which it was read."""
    store = await a_store()
    async with shown(store, clock=store.clock) as screen:
        store.is_away = True
        await screen.wait(1)
        await screen.wait(41)
        assert screen.lines[-1].startswith(
            "no answer since 08:00:01Z, 41s; it is asked again and again: redis"
        )
        assert "mail" in screen.current
        assert screen.lines[0].endswith("08:00:00Z")
        store.is_away = False
        await screen.wait(1)
        assert "no answer" not in screen.text
        assert screen.lines[0].endswith("08:00:43Z")


async def test_a_store_that_was_slow_to_fail_is_asked_again_at_once() -> None:
    """A link that waited for its timeout has cost the store nothing; it is told since then."""
    store = await a_store()
    async with shown(store, clock=store.clock) as screen:
        store.is_away, store.fails_after = True, 5.0
        screen.clock.advance(1)
        await screen.pause()
        screen.clock.advance(5)
        await screen.settle()
        assert "no answer since 08:00:01Z, 5s" in screen.lines[-1]
        store.is_away = False
        await screen.wait(1)
        assert "no answer" not in screen.text


async def test_keys_work_while_the_store_is_away() -> None:
    """Another view is there when the store is."""
    store = await a_store()
    async with shown(store, clock=store.clock) as screen:
        store.is_away = True
        await screen.wait(1)
        await screen.press("question_mark")
        assert "next row" in screen.text
        assert "no answer since" in screen.text
        await screen.press("escape")
        store.is_away = False
        await screen.press("2")
        assert "t1" in screen.text


class Faulty(ForwardingBroker):
    """A broker with a bug."""

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[Any]], /, **arguments: object
    ) -> Any:
        if verb == "count":
            raise ZeroDivisionError("a bug")
        return await call()


async def test_a_bug_ends_it_and_is_raised_by_the_command() -> None:
    """And not shown by textual, whose tracebacks have the variables, and so what tasks carry."""
    with pytest.raises(ZeroDivisionError, match="a bug"):
        async with shown(Faulty(MemoryBroker())):
            pass


async def test_a_store_that_is_away_is_asked_once_a_second() -> None:
    """One call each time, and no faster."""
    store = await a_store()
    async with shown(store, clock=store.clock) as screen:
        store.is_away = True
        before = store.asked
        for _ in range(10):
            await screen.wait(1)
        assert store.asked - before == 10
