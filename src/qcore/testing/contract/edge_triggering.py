"""Cases for brokers with edge-triggered notifications, which notify only when a queue gets work."""

from collections.abc import Mapping
from threading import Event as Notified
from typing import Final

import pytest

from qcore.domain.answers import Moved
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.transitions import Archived, Cancelled, Command, Deleted, Failed, RunNow, Snoozed
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    ids_of,
    on_work,
    put,
    sweep_all,
    take,
    take_one,
)

REMOVALS: Final[Mapping[str, Command]] = {
    "archived": Archived(),
    "cancelled": Cancelled(),
    "deleted": Deleted(),
}


class EdgeTriggeringCases(Cases):
    """Wake-ups where there were others before."""

    # - When an enqueue, a claim, a settle, a sweep, a restore or an operator's command gives one
    #   of these queues something pending where there was nothing, or an earlier moment at which
    #   something is due, `notify` is called with `WorkAvailable`: in the same process at once,
    #   from another process within the broker's own delay. What a claim gives is what it makes
    #   pending and leaves.

    @pytest.mark.parametrize("emptied", ["claimed", "expired", "found expired", *REMOVALS])
    async def test_a_queue_that_was_emptied_is_heard_again(
        self, broker: Broker, emptied: str
    ) -> None:
        """However the last pending task went, the next one is something new."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        await put(broker, task := a_task(expires=NOW + 5), other := a_task(expires=NOW + 5))
        assert await self.comes(notified)
        await _go(broker, emptied, task, other)
        notified.clear()
        await put(broker, a_task(), now=NOW + 5)
        assert await self.comes(notified)
        await subscription.close()

    async def test_each_earlier_moment_is_heard(self, broker: Broker) -> None:
        """Who waits for the next moment due hears when it is to wake up earlier."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        for seconds in (60.0, 59.0, 9.5, 9.25, 0.001):
            notified.clear()
            await put(broker, a_task(due=NOW + seconds))
            assert await self.comes(notified)
        await subscription.close()

    @pytest.mark.parametrize(
        "outcome",
        [Failed("no", NOW + 9), Snoozed(NOW + 9)],
        ids=lambda outcome: type(outcome).__name__,
    )
    async def test_a_verdict_with_an_earlier_moment_is_heard(
        self, broker: Broker, outcome: Failed | Snoozed
    ) -> None:
        """A retry or a snooze before what is scheduled, and before another retry, is heard."""
        claim, other = await a_claimed(broker), await a_claimed(broker)
        await put(broker, a_task(due=NOW + 60))
        await end(broker, other, Failed("no", NOW + 60))
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await end(broker, claim, outcome)
        assert await self.comes(notified)
        await subscription.close()

    @pytest.mark.parametrize("gone", ["due", "run now", *REMOVALS])
    async def test_a_moment_counts_no_more_once_its_task_is_gone(
        self, broker: Broker, gone: str
    ) -> None:
        """However the task went that was due next, the moment after it is the next."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        await put(broker, task := a_task(due=NOW + 1))
        assert await self.comes(notified)
        await _go(broker, gone, task)
        await take(broker)
        notified.clear()
        await put(broker, a_task(due=NOW + 60))
        assert await self.comes(notified)
        await subscription.close()

    async def test_pending_tasks_do_not_hide_an_earlier_moment(self, broker: Broker) -> None:
        """A queue with work to claim may get work to wait for, and the other way round."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        for task in (a_task(), a_task(due=NOW + 60)):
            notified.clear()
            await put(broker, task)
            assert await self.comes(notified)
        await take(broker)
        notified.clear()
        await put(broker, a_task())
        assert await self.comes(notified)
        await subscription.close()

    async def test_a_batch_is_heard_by_all_whom_it_concerns(self, broker: Broker) -> None:
        """One call for several queues, of tasks due now and later, is heard at each of them."""
        all_heard = [Notified(), Notified(), Notified()]
        pairs = zip("abc", all_heard, strict=True)
        subscriptions = [await on_work(broker, [queue], notified.set) for queue, notified in pairs]
        for notified in all_heard:
            notified.clear()
        await put(broker, a_task(queue="a"), a_task(queue="b", due=NOW + 9), a_task(queue="c"))
        assert [await self.comes(notified) for notified in all_heard] == [True] * 3
        for subscription in subscriptions:
            await subscription.close()

    async def test_what_a_claim_leaves_is_heard_by_all_whom_it_concerns(
        self, broker: Broker
    ) -> None:
        """A claim of several queues with room for one task is heard at each where one is left."""
        await put(broker, *(a_task(queue=queue, due=NOW + 1) for queue in "aab"))
        all_heard = [Notified(), Notified()]
        pairs = zip("ab", all_heard, strict=True)
        subscriptions = [await on_work(broker, [queue], notified.set) for queue, notified in pairs]
        for notified in all_heard:
            notified.clear()
        await take_one(broker, "a", "b", now=NOW + 1)
        assert [await self.comes(notified) for notified in all_heard] == [True] * 2
        for subscription in subscriptions:
            await subscription.close()

    async def test_a_crowd_that_a_claim_makes_pending_is_heard(self, broker: Broker) -> None:
        """However many are due, and in however many bites they become pending."""
        await put(broker, *(a_task(due=NOW + 1) for _ in range(300)))
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await take_one(broker, now=NOW + 1)
        assert await self.comes(notified)
        await subscription.close()


async def _go(broker: Broker, how: str, *tasks: NewTask) -> None:
    """Let the only tasks of a store go where a worker waits for them no more."""
    match how:
        case "claimed":
            assert len(await take(broker)) == len(tasks)
        case "due":
            assert len(await take(broker, now=NOW + 1)) == len(tasks)
        case "expired":
            assert (await sweep_all(broker, now=NOW + 5)).expired == len(tasks)
        case "found expired":
            assert len(await take(broker, now=NOW + 5)) == 0
        case "run now":
            moved = await broker.execute("default", ids_of(tasks), RunNow(), now=NOW)
            assert list(moved) == [Moved(State.PENDING)] * len(tasks)
        case _:
            moved = await broker.execute("default", ids_of(tasks), REMOVALS[how], now=NOW)
            assert {type(answer) for answer in moved} == {Moved}
