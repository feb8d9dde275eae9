"""Hear of a task until it has ended: pushed, looked after every so often, in both colours."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.subscriptions import Subscriber
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import DetailsUpdate
from qcore.domain.task import Claim, Task
from qcore.ports import Kinds, Notify, TasksChanged
from qcore.tasks import Progress
from qcore.testing import ManualClock, a_task
from qcore.testing.builders import NOW, a_demand
from qcore.types import TaskUpdate
from tests.app.kit import Lab, turn


class Watched(MemoryBroker):
    """A broker that counts who looks, and who listens."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[Moment] = []
        self.following: list[Notify] = []
        self.closed = 0
        self.clock = ManualClock()

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        self.looks.append(self.clock.now())
        return await super().get(queue, ids)

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscriber:
        if TasksChanged not in kinds:
            return await super().subscribe(queues, kinds, notify)
        self.following.append(notify)
        broker = self

        class Closing(Subscriber):
            async def close(self) -> None:
                broker.closed += 1
                await super().close()

        made = await super().subscribe(queues, kinds, notify)
        return Closing(made.queues, made.kinds, notify, [made])


@pytest.fixture
def broker() -> Watched:
    """Return a broker that counts."""
    return Watched()


@pytest.fixture
def lab(broker: Watched) -> Lab:
    """Return a queue whose time passes by hand."""
    lab = Lab(broker)
    broker.clock = lab.manual
    return lab


async def claimed(broker: MemoryBroker) -> Claim:
    """Take the one task there is."""
    [claim] = await broker.claim(a_demand(), now=NOW, until=NOW + 30)
    return claim


class TestResult:
    async def test_it_comes_without_any_time_passing(self, lab: Lab) -> None:
        """Who waits is told, and does not have to look for it."""

        @lab.task(retention=60)
        async def add(ctx: Context, a: int, b: int) -> int:
            return a + b

        handle = await add.enqueue(1, 2)
        waiting = asyncio.create_task(handle.result())
        await turn()
        async with lab.working():
            assert await waiting == 3
        assert lab.clock.now() == NOW

    async def test_many_share_one_listener_of_a_queue(self, lab: Lab, broker: Watched) -> None:
        """However many wait at once, a queue is listened to once, until the client closes."""
        handles = [await lab.client.enqueue(a_task(retention=60)) for _ in range(10)]
        other = await lab.client.enqueue(a_task(queue="other", retention=60))
        waiting = [asyncio.create_task(each.result()) for each in [*handles, other]]
        await turn()
        assert len(broker.following) == 2
        await lab.client.close()
        assert broker.closed == 2
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def test_a_client_that_was_closed_listens_anew(self, lab: Lab, broker: Watched) -> None:
        """Its next use opens what it needs."""
        handle = await lab.client.enqueue(a_task(retention=60))
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await handle.result(timeout=0)
            await lab.client.close()
        assert (len(broker.following), broker.closed) == (2, 2)

    async def test_it_looks_every_so_often_all_the_same(self, broker: Watched) -> None:
        """After a quarter of a second, and then less and less often, down to once a second."""
        lab = Lab(broker, autojump=True)
        broker.clock = lab.manual
        handle = await lab.client.enqueue(a_task(retention=60))
        with pytest.raises(TimeoutError):
            await handle.result(timeout=10)
        pauses = [b - a for a, b in zip(broker.looks[1:], broker.looks[2:], strict=False)]
        assert pauses[:5] == pytest.approx([0.25, 0.375, 0.5625, 0.84375, 1.0])
        assert max(pauses) <= 1.0
        assert broker.looks[-1] == NOW + 10

    async def test_it_looks_at_once_when_any_task_may_have_news(
        self, lab: Lab, broker: Watched
    ) -> None:
        """News without ids is for all who wait."""
        handle = await lab.client.enqueue(a_task(retention=60))
        waiting = asyncio.create_task(handle.result())
        await turn()
        before = len(broker.looks)
        broker.following[0](TasksChanged("default", []))
        await turn()
        assert len(broker.looks) == before + 1
        broker.following[0](TasksChanged("default", ["another"]))
        await turn()
        assert len(broker.looks) == before + 1
        waiting.cancel()

    async def test_what_has_ended_is_not_listened_to(self, lab: Lab, broker: Watched) -> None:
        """One look is enough."""

        @lab.task(retention=60)
        async def add(ctx: Context) -> int:
            return 1

        handle = await add.enqueue()
        await lab.run_due()
        assert await handle.result() == 1
        assert broker.following == []


class TestFollow:
    async def test_it_shows_each_change_until_the_end(self, lab: Lab, broker: Watched) -> None:
        """The state and the progress, whenever one of them is another; the last is the end."""
        handle = await lab.client.enqueue(a_task(retention=60))
        follow = handle.watch()
        assert await anext(follow) == TaskUpdate(State.PENDING, None)
        claim = await claimed(broker)
        told = asyncio.ensure_future(anext(follow))
        await broker.save_details([DetailsUpdate(claim.lease, Progress(NOW, 0.5, "half"))])
        assert await told == TaskUpdate(State.ACTIVE, Progress(NOW, 0.5, "half"))
        told = asyncio.ensure_future(anext(follow))
        await turn()
        await broker.save_details([DetailsUpdate(claim.lease, Progress(NOW, 0.9))])
        assert await told == TaskUpdate(State.ACTIVE, Progress(NOW, 0.9))
        await handle.cancel()
        assert [seen async for seen in follow] == [TaskUpdate(State.DEAD, Progress(NOW, 0.9))]

    async def test_a_task_that_is_gone_is_the_end_too(self) -> None:
        """Nobody tells of it: it is found soon, with the progress that was seen last."""
        lab = Lab(autojump=True)

        @lab.task
        async def mail(ctx: Context) -> None:
            ctx.progress(0.5)
            await lab.clock.sleep_until(NOW + 100)

        async with lab.working():
            handle = await mail.enqueue()
            seen = [each async for each in handle.watch()]
        assert seen[-1] == TaskUpdate(State.GONE, Progress(NOW, 0.5))
        assert TaskUpdate(State.ACTIVE, Progress(NOW, 0.5)) in seen
        assert lab.clock.now() <= NOW + 102

    async def test_who_leaves_early_is_waited_for_no_more(self, lab: Lab, broker: Watched) -> None:
        """To break off is all there is to do."""
        handle = await lab.client.enqueue(a_task())
        follow = handle.watch()
        await anext(follow)
        waiting = asyncio.ensure_future(anext(follow))
        await turn()
        waiting.cancel()
        await turn()
        await follow.aclose()
        before = len(broker.looks)
        broker.following[0](TasksChanged("default", []))
        await turn()
        assert len(broker.looks) == before


class TestBlocking:
    def test_a_thread_waits_for_a_result(self) -> None:
        """Whoever blocks is woken by the worker's verdict, and not by a clock."""
        lab = Lab(autojump=False)

        @lab.task(retention=60)
        async def add(ctx: Context) -> int:
            return 7

        handle = add.enqueue_sync()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(handle.result)
            asyncio.run(lab.run_due())
            assert waiting.result(30) == 7

    def test_who_waits_moves_a_clock_that_stands(self, broker: Watched) -> None:
        """Virtual time passes for code that blocks, and the timeout comes at its moment."""
        lab = Lab(broker)
        broker.clock = lab.manual
        handle = lab.blocking.enqueue(a_task(retention=60))
        with pytest.raises(TimeoutError, match=r"pending after 2\.5 seconds"):
            handle.result(timeout=2.5)
        assert lab.clock.now() == NOW + 2.5
        lab.blocking.close()
        assert (len(broker.following), broker.closed) == (1, 1)

    def test_news_wakes_a_thread_whose_clock_goes(self) -> None:
        """With a clock that goes by itself, the thread sleeps until it is told."""
        broker = Watched()
        listening = threading.Event()
        subscribe = broker.subscribe

        async def subscribed(queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscriber:
            subscriber = await subscribe(queues, kinds, notify)
            listening.set()
            return subscriber

        broker.subscribe = subscribed  # type: ignore[method-assign]
        lab = Lab(broker, clock=Ticking())
        handle = lab.blocking.enqueue(a_task(retention=60))
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(lambda: list(handle.watch()))
            assert listening.wait(30)
            handle.cancel()
            seen = waiting.result(30)
        assert seen[-1] == TaskUpdate(State.DEAD, None)
        assert handle.progress() is None

    def test_it_follows_as_an_iterator(self, lab: Lab) -> None:
        """The same as in code that awaits; to break off is all there is to do."""
        handle = lab.blocking.enqueue(a_task(retention=60))
        for seen in handle.watch():
            assert seen == TaskUpdate(State.PENDING, None)
            break
        handle.delete()
        assert list(handle.watch()) == [TaskUpdate(State.GONE, None)]


class Ticking(ManualClock):
    """A clock that has gone on whenever it is read, and that nobody may wait on."""

    def now(self) -> Moment:
        with self._lock:
            self._now += 1e-6
            return self._now

    def blocking(self) -> "Ticking":  # type: ignore[override]
        return self
