"""What `Notifier.subscribe` promises where a subscriber raises, or is subscribed twice."""

from threading import Event as Notified

from qcore.domain.answers import Enqueued, Moved, Settled
from qcore.domain.states import State
from qcore.domain.transitions import Cancelled, Succeeded
from qcore.ports import Broker, Notification, WorkAvailable
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    find_task,
    ids,
    on_work,
    put,
    take,
    take_one,
)
from qcore.testing.contract.wakeups import KINDS, Kept


class CallbackCases(Cases):
    """Subscribers that are a trouble."""

    # - Where `notify` raises, the call that it was told of has succeeded all the same, and other
    #   subscribers are notified.

    async def test_a_callback_that_raises_is_nobody_else_s_trouble(self, broker: Broker) -> None:
        """Neither the enqueue's, nor that of who subscribed before or after it; and it stays."""
        raised, before, after = Notified(), Notified(), Notified()

        def trip() -> None:
            raised.set()
            raise ValueError("a bug of the subscriber")

        subscriptions = [
            await on_work(broker, ["default"], call) for call in (before.set, trip, after.set)
        ]
        for _ in range(2):
            for event in (raised, before, after):
                event.clear()
            task = a_task()
            assert await broker.enqueue([task], now=NOW) == [Enqueued(task.id, State.PENDING)]
            assert [await self.comes(event) for event in (raised, before, after)] == [True] * 3
            assert ids(await take(broker)) == [task.id]
        for subscription in subscriptions:
            await subscription.close()

    async def test_no_kind_of_notification_is_lost_to_one_who_raises(self, broker: Broker) -> None:
        """Nor does the command or the verdict fail that it was told of."""
        before, after = Kept(*KINDS), Kept(*KINDS)

        def trip(_: Notification) -> None:
            raise LookupError("a bug of the subscriber")

        subscriptions = [
            await broker.subscribe(["default"], KINDS, call) for call in (before, trip, after)
        ]
        for _ in range(2):
            claim = await a_claimed(broker)
            before.forget()
            after.forget()
            assert await execute_on(broker, claim.task.spec, Cancelled()) == Moved(State.DEAD)
            await put(broker, ending := a_task())
            for kept in (before, after):
                assert [await self.comes(kept.of[kind]) for kind in KINDS] == [True] * len(KINDS)
            assert await end(broker, await take_one(broker), Succeeded()) == Settled(State.GONE)
            assert await find_task(broker, ending) is None
        for subscription in subscriptions:
            await subscription.close()

    # - After `close`, `notify` is not called again.

    async def test_a_subscription_is_one_s_own(self, broker: Broker) -> None:
        """One function may be subscribed twice, and the end of one leaves the other."""
        notified = Notified()

        def notify(_: Notification) -> None:
            notified.set()

        first, second = [
            await broker.subscribe(["default"], {WorkAvailable}, notify) for _ in range(2)
        ]
        await second.close()
        await second.close()
        notified.clear()
        await put(broker, a_task())
        assert await self.comes(notified)
        await first.close()
