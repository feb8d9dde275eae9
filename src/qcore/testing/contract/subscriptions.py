"""What `Notifier.subscribe` promises to one who follows tasks."""

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Notified
from threading import Lock
from typing import Final, TypeAlias

import pytest

from qcore.domain.answers import Settled
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Archived, Cancelled, Exhausted, Rejected, Succeeded
from qcore.ports import Broker, Notification, TasksChanged
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.base import Cases, step
from qcore.testing.contract.steps import a_claimed, end, execute_on, find_task, put, sweep_all, take
from qcore.testing.contract.threads import twin_of

Way: TypeAlias = Callable[[Broker, NewTask], Coroutine[object, None, object]]


class News:
    """What was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Sequence[TaskId]]] = []
        self._waiting: list[tuple[str, TaskId, Notified]] = []
        self._lock = Lock()

    def __call__(self, notification: Notification) -> None:
        assert isinstance(notification, TasksChanged)
        queue, ids = notification.queue, notification.ids
        with self._lock:
            self.told.append((queue, list(ids)))
            for wanted, task, notified in self._waiting:
                if queue == wanted and (task in ids or not ids):
                    notified.set()

    def of(self, task: NewTask) -> Notified:
        """Return what is set by the next news of a task."""
        notified = Notified()
        with self._lock:
            self._waiting.append((task.queue, task.id, notified))
        return notified


async def _succeeds(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Succeeded(b"1", "a/b"))


async def _is_exhausted(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Exhausted("no"))


async def _is_rejected(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Rejected("no"))


async def _is_cancelled(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await execute_on(broker, task, Cancelled())


async def _is_archived(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await execute_on(broker, task, Archived())


async def _is_poison(broker: Broker, task: NewTask) -> None:
    await a_claimed(broker, task)
    await sweep_all(broker, task.queue, now=NOW + LEASE)


async def _expires(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await sweep_all(broker, task.queue, now=NOW + 3_600)


async def _expires_at_a_claim(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    assert not await take(broker, 9, task.queue, now=NOW + 3_600)


async def _gets_on(broker: Broker, task: NewTask) -> None:
    claim = await a_claimed(broker, task)
    # that it has begun is news too
    await broker.save_details([DetailsUpdate(claim.lease, Progress(NOW, 0.0))])


WAYS: Final[tuple[Way, ...]] = (
    _succeeds,
    _is_exhausted,
    _is_rejected,
    _is_cancelled,
    _is_archived,
    _is_poison,
    _expires,
    _expires_at_a_claim,
    _gets_on,
)


class TaskChangeCases(Cases):
    """News of tasks."""

    # - When a task of these queues is completed, archived or dead, by a verdict, a command or the
    #   time, or when its progress was saved, `notify` is called with `TasksChanged`, which has the
    #   queue and its id: in the same process at once, from another process within the broker's own
    #   delay.

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    async def test_news_are_told(self, broker: Broker, way: Way) -> None:
        """Whichever way a task ends or gets on, who follows its queue is told."""
        task = a_task(queue="b", retention=60, max_crashes=1, expires=NOW + 600)
        news = News()
        subscription = await broker.subscribe(["a", "b"], {TasksChanged}, news)
        notified = news.of(task)
        await way(broker, task)
        assert await self.comes(notified)
        await subscription.close()

    async def test_the_news_can_be_read_when_they_are_told(self, broker: Broker) -> None:
        """Who looks in another thread whenever it is told finds the result one of these times."""
        # not the first time: a broker may tell once too often, and before there is news
        with twin_of(broker) as twin, ThreadPoolExecutor(1) as threads:
            for n in range(20):
                task, news, over = a_task(retention=60), News(), Notified()
                subscription = await broker.subscribe(["default"], {TasksChanged}, news)
                seen = threads.submit(self._read, twin, task, news.of(task), over)
                claim = await a_claimed(broker, task)
                await end(broker, claim, Succeeded(b"%d" % n, "a/b"))
                await self.comes(over)
                await subscription.close()
                assert seen.result() == b"%d" % n

    def _read(
        self, twin: Broker, task: NewTask, notified: Notified, over: Notified
    ) -> bytes | None:
        """Return the result of a task, looked for each time there are news of it."""
        try:
            while notified.wait(self.patience):
                # before it looks: what is told meanwhile is to be looked at again
                notified.clear()
                found = step(find_task(twin, task))
                if found is not None and found.result is not None:
                    return found.result
            return None
        finally:
            over.set()

    # - `TasksChanged` may come with no ids, when any may have news, as after a disturbance; once
    #   too often; from any thread; and of a task that is gone not at all.

    async def test_news_are_of_queues_that_are_followed(self, broker: Broker) -> None:
        """What is told is of no other queue, whatever happens there."""
        here, there = a_task(queue="a", retention=9), a_task(queue="b", retention=9)
        news = News()
        subscription = await broker.subscribe(["a"], {TasksChanged}, news)
        notified = news.of(here)
        await _succeeds(broker, there)
        await _succeeds(broker, here)
        assert await self.comes(notified)
        assert {queue for queue, _ in news.told} == {"a"}
        await subscription.close()

    async def test_a_follower_whose_loop_has_ended_harms_nobody(self, broker: Broker) -> None:
        """What was done is answered, and the others are told."""

        def gone(_notification: Notification) -> None:
            raise RuntimeError("Event loop is closed")

        news = News()
        subscriptions = [
            await broker.subscribe(["default"], {TasksChanged}, told) for told in (gone, news)
        ]
        for task in (a_task(retention=9), a_task(retention=9)):
            notified = news.of(task)
            claim = await a_claimed(broker, task)
            answer = await end(broker, claim, Succeeded(b"1", "a/b"))
            assert answer == Settled(State.COMPLETED)
            assert await self.comes(notified)
        for subscription in subscriptions:
            await subscription.close()

    @pytest.mark.parametrize("way", [_succeeds, _gets_on], ids=lambda way: way.__name__.strip("_"))
    async def test_news_by_the_blocking_twin_are_told(self, broker: Broker, way: Way) -> None:
        """Who awaits hears of what a client that blocks has ended or noted."""
        task, news = a_task(retention=60), News()
        subscription = await broker.subscribe(["default"], {TasksChanged}, news)
        notified = news.of(task)
        with twin_of(broker) as twin:
            step(way(twin, task))
            assert await self.comes(notified)
        await subscription.close()

    async def test_all_who_follow_are_told(self, broker: Broker) -> None:
        """Of each of the tasks that a batch of verdicts has ended."""
        tasks = [a_task(retention=60, queue="ab"[n % 2]) for n in range(303)]
        await put(broker, *tasks)
        claims = await take(broker, 303, "a", "b")
        crowd = [News(), News()]
        subscriptions = [await broker.subscribe(["a", "b"], {TasksChanged}, news) for news in crowd]
        notified = [news.of(task) for news in crowd for task in tasks]
        await broker.settle([Verdict(claim.lease, Succeeded()) for claim in claims], now=NOW)
        assert [await self.comes(each) for each in notified] == [True] * 606
        for subscription in subscriptions:
            await subscription.close()

    # - After `close`, `notify` is not called again.

    async def test_who_has_closed_is_told_nothing(self, broker: Broker) -> None:
        """Others still are."""
        late, news = News(), News()
        closed = await broker.subscribe(["default"], {TasksChanged}, late)
        subscription = await broker.subscribe(["default"], {TasksChanged}, news)
        await closed.close()
        late.told.clear()
        task = a_task(retention=9)
        notified = news.of(task)
        await _succeeds(broker, task)
        assert await self.comes(notified)
        assert late.told == []
        await subscription.close()
