import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from qcore import BrokerUnavailable, Qcore, State
from qcore.adapters.clocks import SystemClock
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.testing import FaultyBroker, a_task
from tests.app.kit import Lab, turn
from tests.contract.doubles import Store, TimedBroker


class Door(ForwardingBroker):
    """A broker that takes until it is let through to open, and fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.opened = 0
        self.way = asyncio.Event()
        self.errors: list[Exception] = []

    async def open(self) -> None:
        self.opened += 1
        await self.way.wait()
        if self.errors:
            raise self.errors.pop()


def timed() -> tuple[Qcore, Store]:
    """Return a queue that goes by the clock of its store, and the store."""
    store = Store()
    return Qcore(broker=TimedBroker(store), instruments=()), store


class TestFirst:
    """What reads the clock first has opened the broker before."""

    async def test_the_first_enqueue_is_in_the_stores_time(self) -> None:
        """Before the broker is open nobody knows it."""
        q, store = timed()
        before = store.time()
        task = await (await q.client.enqueue(a_task())).task()
        assert task is not None
        assert before <= task.created <= store.time()

    async def test_the_first_batch_is_in_the_stores_time(self) -> None:
        """It is the same for many tasks."""
        q, store = timed()
        before = store.time()
        await q.client.enqueue_many([a_task(id="one")])
        task = await q.client.handle("default", "one").task()
        assert task is not None
        assert before <= task.created <= store.time()

    def test_the_first_blocking_enqueue_is_in_the_stores_time(self) -> None:
        """A process that uses the client that blocks alone opens that one alone."""
        q, store = timed()
        before = store.time()
        task = q.blocking.enqueue(a_task()).task()
        assert task is not None
        assert before <= task.created <= store.time()

    async def test_the_first_order_is_in_the_stores_time(self) -> None:
        """An inspector has not enqueued anything."""
        q, store = timed()
        await q.broker.enqueue([a_task(id="one")], now=0.0)
        before = store.time()
        await q.inspector.archive("default", ["one"])
        task = await q.inspector.get("default", "one")
        assert task is not None
        assert task.finished is not None
        assert before <= task.finished <= store.time()

    async def test_the_first_wait_for_a_result_is_in_the_stores_time(self) -> None:
        """A wait that began in another time would end at once, or not for a year."""
        broker = TimedBroker(Store())

        def moment() -> float:
            assert broker.opened
            return broker.time()

        q = Qcore(broker=broker, clock=SystemClock(time=moment), instruments=())
        await broker.enqueue([a_task(id="one")], now=0.0)
        with pytest.raises(TimeoutError):
            await q.client.handle("default", "one").result(timeout=0.001)


class TestOnce:
    """It is opened once, until it was closed."""

    async def test_later_calls_open_nothing(self) -> None:
        """The broker is opened by the first call and by no other of that client."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker)
        for _ in range(5):
            await lab.client.enqueue(a_task())
            await lab.client.enqueue_many([a_task()])
        assert [call.verb for call in broker.calls].count("open") == 1
        assert broker.calls[0].verb == "open"

    async def test_those_who_come_at_once_open_once(self) -> None:
        """A crowd waits for the one who came first, and then goes in."""
        lab = Lab(door := Door())
        asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(100)]
        await turn()
        assert door.opened == 1
        door.way.set()
        await asyncio.gather(*asking)
        assert door.opened == 1
        assert await lab.inspector.totals() == {State.PENDING: 100}

    async def test_what_is_closed_is_opened_again(self) -> None:
        """Whatever comes after `close` opens the broker, in either colour."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker)
        for _ in range(2):
            await lab.client.enqueue(a_task())
            await lab.client.enqueue(a_task())
            lab.blocking.enqueue(a_task())
            lab.blocking.enqueue(a_task())
            await lab.close()
        verbs = ["open", "enqueue", "enqueue"] * 2 + ["close"] * 2
        assert [call.verb for call in broker.calls] == verbs * 2

    def test_one_client_serves_several_loops(self) -> None:
        """Loops one after the other, and loops of several threads at once, find it open."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker)

        async def ask() -> None:
            await asyncio.gather(*(lab.client.enqueue(a_task()) for _ in range(10)))

        asyncio.run(ask())
        asyncio.run(ask())
        threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert asyncio.run(lab.inspector.totals()) == {State.PENDING: 60}
        assert [call.verb for call in broker.calls].count("open") == 1

    def test_a_loop_that_died_while_it_opened_holds_up_no_other(self) -> None:
        """Who comes in a new loop does not wait for one that is gone."""
        door = Door()
        lab = Lab(door)
        loop = asyncio.new_event_loop()
        asking = loop.create_task(lab.client.enqueue(a_task()))
        loop.run_until_complete(turn())
        assert door.opened == 1
        door.way = asyncio.Event()
        door.way.set()
        asyncio.run(_enqueued(lab))
        assert door.opened == 2
        asking.cancel()
        loop.run_until_complete(asyncio.wait([asking]))
        loop.close()


class TestTrouble:
    """What opening raises."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda lab: lab.client.enqueue(a_task()),
            lambda lab: lab.client.enqueue_many([a_task()]),
            lambda lab: lab.client.handle("default", "one").result(),
            lambda lab: lab.inspector.archive("default", ["one"]),
        ],
        ids=["enqueue", "enqueue_many", "result", "order"],
    )
    async def test_what_opening_raises_is_raised(
        self, call: Callable[[Lab], Awaitable[object]]
    ) -> None:
        """A broker that cannot be opened is asked for nothing else."""
        broker = FaultyBroker(MemoryBroker())
        broker.fail("open")
        with pytest.raises(BrokerUnavailable, match="open was lost"):
            await call(Lab(broker))
        assert [made.verb for made in broker.calls] == ["open"]

    def test_what_opening_raises_is_raised_to_who_blocks(self) -> None:
        """It is the same without a loop, and the next call tries anew."""
        broker = FaultyBroker(MemoryBroker())
        broker.fail("open", 2)
        lab = Lab(broker)
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match="open was lost"):
                lab.blocking.enqueue(a_task())
        assert lab.blocking.enqueue(a_task()).is_new

    async def test_all_who_waited_hear_of_it_and_the_next_tries_anew(self) -> None:
        """A crowd does not try one after the other what has just failed."""
        lab = Lab(door := Door())
        door.errors = [BrokerUnavailable("away")]
        asking = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(10)]
        await turn()
        door.way.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(answer) for answer in answers] == [BrokerUnavailable] * 10
        assert door.opened == 1
        assert (await lab.client.enqueue(a_task())).is_new
        assert door.opened == 2

    async def test_when_the_first_is_cancelled_the_next_opens(self) -> None:
        """Those who waited for one who went away are not left waiting, and not cancelled."""
        lab = Lab(door := Door())
        first, *others = [asyncio.create_task(lab.client.enqueue(a_task())) for _ in range(10)]
        await turn()
        first.cancel()
        await turn()
        assert first.cancelled()
        assert door.opened == 2
        others[-1].cancel()
        await turn()
        door.way.set()
        answers = await asyncio.gather(*others, return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == ["Handle"] * 8 + ["CancelledError"]
        assert door.opened == 2


async def _enqueued(lab: Lab) -> None:
    assert (await lab.client.enqueue(a_task())).is_new
