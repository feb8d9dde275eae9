"""Orders of `qcore top`: refused unless allowed, counted and asked about, then carried out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.client.bulk_moves import STEP
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.periodic.editing import added
from qcore.domain.schedules.texts import schedule_from
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Rejected
from qcore.entrypoints.top.keys import KEYS
from qcore.ports import Verb
from qcore.testing.builders import NOW, a_demand, a_task
from qcore.testing.entries import an_entry, write
from tests.entrypoints.top.kit import shown

ORDERS = [key.keys[0] for key in KEYS if key.is_order]


async def a_store(*, failed: int = 30) -> MemoryBroker:
    """Return a store with dead tasks of one cause, and one task that waits."""
    broker = MemoryBroker()
    tasks = [a_task(id=f"m{n:02}", name="email:welcome", queue="mail") for n in range(failed)]
    await broker.enqueue(tasks, now=NOW)
    claims = await broker.claim(a_demand(failed, mail=failed), now=NOW, until=NOW + 30)
    verdicts = [
        Verdict(each.lease, Rejected(f"no mailbox of {n}")) for n, each in enumerate(claims)
    ]
    await broker.settle(verdicts, now=NOW)
    await broker.enqueue([a_task(id="s0", queue="sms")], now=NOW)
    return broker


async def sizes(broker: MemoryBroker, queue: str = "mail") -> dict[State, int]:
    """Return how many tasks of a queue are in each state."""
    return dict((await broker.count()).get(queue, {}))


async def test_nothing_is_changed_unless_that_is_allowed() -> None:
    """In each view each of the orders says which option allows it."""
    broker = await a_store()
    before = await broker.count()
    async with shown(broker) as screen:
        assert "read-only" in screen.lines[0]
        for view in "1245":
            for key in ORDERS:
                await screen.press(view, key)
                assert "start qcore top with --allow-changes" in screen.lines[-1]
                await screen.press("y")
    assert await broker.count() == before


async def test_a_queue_is_paused_and_resumed() -> None:
    """Which it is, is asked first."""
    broker = await a_store()
    async with shown(broker, may_change=True) as screen:
        await screen.press("p")
        assert screen.lines[-1].startswith("pause queue: mail?")
        assert screen.lines[-1].endswith("y: yes, any other key: no")
        await screen.press("y")
        assert "pause mail: paused" in screen.lines[-1]
        assert "paused" in screen.current
        assert [each.is_paused for each in await broker.limits(["mail", "sms"])] == [True, False]
        await screen.press("u", "y")
        assert "paused" not in screen.current


@pytest.mark.parametrize("key", ["n", "enter", "escape", "p", "q", "space"])
async def test_any_other_key_than_yes_is_a_no(key: str) -> None:
    """Also the one that asks, as it may be held down."""
    broker = await a_store()
    async with shown(broker, may_change=True) as screen:
        await screen.press("p", key)
        assert "nothing was done" in screen.lines[-1]
        assert not (await broker.limits(["mail"]))[0].is_paused


async def test_ticked_tasks_are_moved_and_no_others() -> None:
    """The question has their number and their ids."""
    broker = await a_store()
    async with shown(broker, may_change=True) as screen:
        await screen.press("enter", "x", "x", "r")
        assert screen.lines[-1].startswith("run 2 tasks: m")
        await screen.press("y")
        assert "run: 2 tasks done" in screen.lines[-1]
        assert await sizes(broker) == {State.DEAD: 28, State.PENDING: 2}
        assert "×" not in screen.current


async def test_all_tasks_of_a_list_are_moved_those_of_other_pages_too() -> None:
    """What comes after the question is left alone."""
    broker = await a_store()
    async with shown(broker, may_change=True) as screen:
        await screen.press("enter", "l", "asterisk", "d")
        assert screen.lines[-1].startswith('delete 30 tasks: queue:"mail" state:"dead"?')
        await screen.wait(1)
        await _a_late_one(broker)
        await screen.press("y")
        assert "delete: 30 tasks done, 0 skipped, 0 failed" in screen.lines[-1]
    assert await sizes(broker) == {State.DEAD: 1}


async def _a_late_one(broker: MemoryBroker) -> None:
    later = NOW + 1
    await broker.enqueue([a_task(id="late", name="email:welcome", queue="mail")], now=later)
    [claim] = await broker.claim(a_demand(1, mail=1), now=later, until=later + 30)
    await broker.settle([Verdict(claim.lease, Rejected("no mailbox of 99"))], now=later)


async def test_all_of_a_list_without_states_is_refused() -> None:
    """As completed tasks would run again: a tab or a query says which are meant."""
    async with shown(await a_store(), may_change=True) as screen:
        await screen.press("2", "asterisk", "r")
        assert "expected one that names states" in screen.lines[-1]


async def test_the_tasks_of_a_cause_are_run_again() -> None:
    """All of it, with their number asked about first."""
    broker = await a_store()
    async with shown(broker, may_change=True) as screen:
        await screen.press("4", "r")
        assert screen.lines[-1].startswith("run 30 tasks: email:welcome no mailbox of #?")
        await screen.press("y")
        assert "run: 30 tasks done" in screen.lines[-1]
        assert "no task has failed" in screen.text
    assert await sizes(broker) == {State.PENDING: 30}


async def test_one_task_is_cancelled_where_it_is_shown() -> None:
    """And what has become of it is seen at once."""
    async with shown(await a_store(), may_change=True) as screen:
        await screen.press("down", "enter", "enter", "c", "y")
        assert "cancel: 1 task done" in screen.lines[-1]
        assert screen.lines[2] == "dead in sms"


async def test_a_task_that_does_not_allow_it_is_skipped() -> None:
    """One that was deleted meanwhile, too."""
    broker = await a_store(failed=1)
    async with shown(broker, may_change=True) as screen:
        await screen.press("enter", "a", "y")
        assert "archive: 0 tasks done, 1 skipped" in screen.lines[-1]


async def test_a_periodic_task_is_paused_resumed_and_run() -> None:
    """The id of the task that was made is told."""
    broker = MemoryBroker()
    entry = an_entry("report", schedule="0 * * * *")
    await write(broker, added(None, entry, schedule_from(entry.schedule), NOW))
    async with shown(broker, may_change=True) as screen:
        await screen.press("5", "p", "y")
        assert "pause report: paused" in screen.lines[-1]
        assert "paused" in screen.current
        await screen.press("u", "y")
        assert "active" in screen.current
        await screen.press("r", "y")
        assert "run report: made report" in screen.lines[-1]
    assert await sizes(broker, "default") == {State.PENDING: 1}


async def test_an_order_that_means_nothing_here_says_so() -> None:
    """A worker is not paused from here, and a queue is not archived."""
    async with shown(await a_store(), may_change=True) as screen:
        await screen.press("a")
        assert "nothing to archive here" in screen.lines[-1]
        await screen.press("3", "p")
        assert "nothing to pause here" in screen.lines[-1]


class Slow(ForwardingBroker):
    """A store that counts until it is told to go on."""

    def __init__(self, inner: MemoryBroker) -> None:
        super().__init__(inner)
        self.may_go_on = asyncio.Event()

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[Any]], /, **arguments: object
    ) -> Any:
        if verb == "browse" and arguments["limit"] == STEP:
            await self.may_go_on.wait()
        return await call()


async def test_a_question_that_comes_late_is_not_answered_by_what_was_typed_meanwhile() -> None:
    """Who has typed on has not read it: then nothing is asked."""
    store = Slow(await a_store())
    async with shown(store, may_change=True) as screen:
        await screen.press("4")
        await screen.press_at_once("r", "y", "y")
        store.may_go_on.set()
        await screen.settle()
        assert "y: yes" not in screen.text
    assert (await store.count())["mail"] == {State.DEAD: 30}


class Refusing(ForwardingBroker):
    """A store that is gone when an order comes."""

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[Any]], /, **arguments: object
    ) -> Any:
        if verb in {"execute", "set_limit"}:
            raise BrokerUnavailable("the connection was lost")
        return await call()


async def test_an_order_that_the_store_does_not_take_is_told() -> None:
    """In one line; the view goes on."""
    async with shown(Refusing(await a_store()), may_change=True) as screen:
        await screen.press("p", "y")
        assert "the connection was lost" in screen.lines[-1]
        await screen.press("enter")
        assert "m29" in screen.text
