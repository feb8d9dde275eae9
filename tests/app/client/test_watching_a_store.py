"""Watch a store: all queues at first, then what changes, gathered, in both colours."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from qcore import InvalidOption, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.subscriptions import Subscriber
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.moments import Moment
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.ports import Counts, Kinds, Notify
from qcore.queries import QueueUpdate, StoreUpdate
from qcore.testing import ManualClock, a_task
from qcore.testing.builders import NOW
from qcore.testing.contract.steps import a_claimed, end, take
from tests.app.kit import Lab


class Counted(MemoryBroker):
    """A broker that notes who counts and who is subscribed, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[Moment] = []
        self.subscribed: list[set[str]] = []
        self.open_subscriptions = 0
        self.is_away = False
        self.clock = ManualClock()

    async def count(self) -> Counts:
        self.looks.append(self.clock.now())
        if self.is_away:
            raise BrokerUnavailable("nobody answers")
        return await super().count()

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscriber:
        self.subscribed.append({*queues})
        self.open_subscriptions += 1
        broker = self

        class Closing(Subscriber):
            async def close(self) -> None:
                broker.open_subscriptions -= 1
                await made.close()

        made = await super().subscribe(queues, kinds, notify)
        return Closing(made.queues, made.kinds, notify, [])


@pytest.fixture
def broker() -> Counted:
    """Return a broker that counts."""
    return Counted()


@pytest.fixture
def lab(broker: Counted) -> Lab:
    """Return a queue whose time passes whenever everybody waits."""
    lab = Lab(broker, autojump=True)
    broker.clock = lab.manual
    return lab


def held(update: QueueUpdate) -> dict[State, int]:
    """Return the states that have tasks."""
    return {state: n for state, n in update.sizes.items() if n}


def only(update: StoreUpdate) -> QueueUpdate:
    """Return the one queue that an update names."""
    [queue] = update.queues
    return queue


async def test_the_first_update_has_all_queues(lab: Lab) -> None:
    """With zeros, in the order of their names; the first one of an empty store has none."""
    async with aclosing(lab.inspector.watch()) as updates:
        assert await anext(updates) == StoreUpdate(NOW, [], is_whole=True)
    await lab.client.enqueue_many([a_task(queue="b"), a_task(queue="a")])
    async with aclosing(lab.inspector.watch()) as updates:
        first = await anext(updates)
    assert first.is_whole
    assert [(each.name, held(each)) for each in first.queues] == [
        ("a", {State.PENDING: 1}),
        ("b", {State.PENDING: 1}),
    ]
    assert len(first.queues[0].sizes) == len(State) - 1


async def test_what_comes_together_is_one_update(lab: Lab, broker: Counted) -> None:
    """After the interval; a queue in which nothing changes is not named."""
    await lab.client.enqueue_many([a_task(queue="still"), a_task()])
    async with aclosing(lab.inspector.watch(interval=0.25)) as updates:
        await anext(updates)
        for _ in range(3):
            await end(broker, (await take(broker, 1))[0], Succeeded())
            await lab.client.enqueue_many([a_task(), a_task()])
        began = lab.clock.now()
        update = await anext(updates)
        assert lab.clock.now() - began == pytest.approx(0.25)
    assert not update.is_whole
    assert (only(update).name, held(only(update))) == ("default", {State.PENDING: 4})


async def test_tasks_that_end_or_get_on_are_named(lab: Lab, broker: Counted) -> None:
    """Each once, however often it is told of."""
    async with aclosing(lab.inspector.watch()) as updates:
        claim = await a_claimed(broker, a_task(retention=60.0), now=lab.clock.now())
        await anext(updates)
        for done in (0.5, 1.0):
            await broker.save_details([DetailsUpdate(claim.lease, Progress(NOW, done))])
        assert only(await anext(updates)).tasks == (claim.task.id,)
        await end(broker, claim, Succeeded(), now=lab.clock.now())
        ended = only(await anext(updates))
    assert (ended.tasks, ended.more) == ((claim.task.id,), False)
    assert held(ended) == {State.COMPLETED: 1}


async def test_no_more_ids_are_kept_than_asked_for(lab: Lab, broker: Counted) -> None:
    """However many have changed, and however long nobody asks."""
    async with aclosing(lab.inspector.watch(ids=5)) as updates:
        await lab.client.enqueue_many([a_task(retention=60.0) for _ in range(40)])
        await anext(updates)
        claims = await take(broker, 40, now=lab.clock.now())
        await broker.settle(
            [Verdict(each.lease, Succeeded()) for each in claims], now=lab.clock.now()
        )
        update = only(await anext(updates))
    assert (len(update.tasks), update.more) == (5, True)
    assert held(update) == {State.COMPLETED: 40}


async def test_a_change_that_nobody_tells_of_is_seen_by_looking(lab: Lab, broker: Counted) -> None:
    """Such as a claim: while something happens after the interval, else within the poll."""
    await lab.client.enqueue(a_task())
    async with aclosing(lab.inspector.watch(interval=0.25, poll=2.0)) as updates:
        await anext(updates)
        waiting = asyncio.ensure_future(anext(updates))
        await lab.clock.sleep(60.0)
        assert not waiting.done()
        await take(broker, now=lab.clock.now())
        began = lab.clock.now()
        assert held(only(await waiting)) == {State.ACTIVE: 1}
        assert lab.clock.now() - began <= 2.0


async def test_who_watches_what_rests_looks_every_poll_alone(lab: Lab, broker: Counted) -> None:
    """And is not woken in between."""
    await lab.client.enqueue(a_task())
    async with aclosing(lab.inspector.watch(interval=0.25, poll=2.0)) as updates:
        await anext(updates)
        waiting = asyncio.ensure_future(anext(updates))
        await lab.clock.sleep(10.0)
        broker.looks.clear()
        await lab.clock.sleep(100.0)
        assert len(broker.looks) == 50
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_queue_that_appears_later_is_listened_to(lab: Lab, broker: Counted) -> None:
    """Over one subscription, which is renewed; one that has become empty is still listened to."""
    async with aclosing(lab.inspector.watch()) as updates:
        await anext(updates)
        claim = await a_claimed(broker, a_task(queue="new"), now=lab.clock.now())
        assert only(await anext(updates)).name == "new"
        await end(broker, claim, Succeeded(), now=lab.clock.now())
        gone = only(await anext(updates))
        assert (gone.name, held(gone)) == ("new", {})
        await lab.client.enqueue(a_task(queue="newer"))
        await anext(updates)
        assert broker.open_subscriptions == 1
    assert broker.subscribed == [{"new"}, {"new", "newer"}]


async def test_all_who_watch_share_one_subscription(lab: Lab, broker: Counted) -> None:
    """And their looks; it ends with the last of them."""
    await lab.client.enqueue(a_task())
    streams = [lab.inspector.watch() for _ in range(20)]
    for each in streams:
        assert (await anext(each)).is_whole
    assert broker.open_subscriptions == 1
    waiting = [asyncio.ensure_future(anext(each)) for each in streams]
    await lab.clock.sleep(60.0)
    broker.looks.clear()
    await lab.client.enqueue(a_task(queue="other"))
    updates = await asyncio.gather(*waiting)
    assert {only(each).name for each in updates} == {"other"}
    assert len(broker.looks) <= 2
    for each in streams[1:]:
        await each.aclose()
    assert broker.open_subscriptions == 1
    await streams[0].aclose()
    assert broker.open_subscriptions == 0


async def test_cancelling_who_watches_ends_the_subscription(lab: Lab, broker: Counted) -> None:
    """Wherever it waits."""
    await lab.client.enqueue(a_task())

    async def watch() -> None:
        async with aclosing(lab.inspector.watch()) as updates:
            async for _ in updates:
                pass

    watching = asyncio.ensure_future(watch())
    await lab.clock.sleep(5.0)
    assert broker.open_subscriptions == 1
    watching.cancel()
    await asyncio.wait([watching])
    assert watching.cancelled()
    assert broker.open_subscriptions == 0


async def test_an_outage_is_told_once_and_what_follows_is_whole(lab: Lab, broker: Counted) -> None:
    """Nothing is missed, as all is told anew; the tasks of an outage are in the sizes."""
    await lab.client.enqueue(a_task())
    async with aclosing(lab.inspector.watch()) as updates:
        await anext(updates)
        broker.is_away = True
        lost = await anext(updates)
        assert (lost.outage, lost.queues, lost.is_whole) == ("nobody answers", (), False)
        waiting = asyncio.ensure_future(anext(updates))
        await lab.clock.sleep(60.0)
        assert not waiting.done()
        await lab.client.enqueue(a_task())
        broker.is_away = False
        back = await waiting
    assert (back.outage, back.is_whole, held(only(back))) == (None, True, {State.PENDING: 2})


async def test_a_broker_that_never_answered_is_an_error(lab: Lab, broker: Counted) -> None:
    """Before anything is yielded; nobody is left who listens."""
    broker.is_away = True
    with pytest.raises(BrokerUnavailable):
        await anext(lab.inspector.watch())
    assert broker.open_subscriptions == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"interval": 0}, "interval is 0 s and poll 2 s: expected at least 0.01 s"),
        ({"interval": 3, "poll": 1}, "the poll to be no shorter"),
        ({"ids": 0}, "ids is 0: expected a whole number from 1"),
        ({"poll": "1"}, "poll is '1': expected seconds"),
    ],
)
async def test_options_that_make_no_sense_are_refused(
    lab: Lab, options: dict[str, int], why: str
) -> None:
    """In one line that names them."""
    with pytest.raises(InvalidOption, match=why):
        await anext(lab.inspector.watch(**options))


async def test_a_look_that_costs_much_is_followed_by_few(lab: Lab, broker: Counted) -> None:
    """One that takes a tenth of a second is taken every five seconds, whatever happens."""
    count = broker.count

    async def slow() -> Counts:
        await lab.clock.sleep(0.1)
        return await count()

    broker.count = slow  # type: ignore[method-assign]
    await lab.client.enqueue(a_task())
    async with aclosing(lab.inspector.watch()) as updates:
        await anext(updates)
        waiting = asyncio.ensure_future(anext(updates))
        for _ in range(100):
            await lab.clock.sleep(0.1)
            await lab.client.enqueue(a_task(queue=f"q{lab.clock.now()}"))
            if waiting.done():
                waiting = asyncio.ensure_future(anext(updates))
        waiting.cancel()
        await asyncio.wait([waiting])
    assert len(broker.looks) <= 4


def test_code_that_blocks_watches_too() -> None:
    """Its thread waits; a test's clock is moved by that."""
    broker = Counted()
    lab = Lab(broker)
    lab.blocking.enqueue(a_task())
    updates = lab.blocking_inspector.watch()
    assert next(updates).is_whole
    lab.blocking.enqueue(a_task(queue="other"))
    assert only(next(updates)).name == "other"
    broker.is_away = True
    assert next(updates).outage == "nobody answers"
    broker.is_away = False
    assert next(updates).is_whole
    assert broker.open_subscriptions == 1
    updates.close()
    assert broker.open_subscriptions == 0
