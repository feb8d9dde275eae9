"""`SharedContract`, for several brokers on one store, and `DurableContract`, for restarts."""

from threading import Event as Notified

import pytest

from qcore.domain.answers import Conflict, LeaseLost, Settled
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import AttemptError, Details, DetailsSaved
from qcore.domain.states import State
from qcore.domain.transitions import Cancelled, Failed, Succeeded
from qcore.ports import Broker, LeaseEnded, TasksChanged
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import DEFAULT_RETENTION, Cases, in_threads
from qcore.testing.contract.run_details import HALF, jot, learn
from qcore.testing.contract.states import LIVE, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    ids,
    ids_of,
    on_work,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.subscriptions import WAYS, News, Way
from qcore.testing.contract.threads import drained
from qcore.testing.contract.wakeups import Told


class SharedContract(Cases):
    """Inherit it with `Capability.SHARED`: several brokers on one store."""

    async def test_a_second_broker_sees_the_tasks_of_the_first(self, broker: Broker) -> None:
        """Two brokers on one store show the same tasks, in every state."""
        async with self.opened() as other:
            for state in LIVE:
                task = await bring_to(broker, state, a_task(queue=f"of-{state}"))
                assert await stored_task(other, task) == await stored_task(broker, task)
            assert await other.count() == await broker.count()

    async def test_one_broker_settles_what_the_other_claimed(self, broker: Broker) -> None:
        """A lease is good at any broker on the store."""
        async with self.opened() as other:
            claim = await a_claimed(broker)
            assert await end(other, claim, Succeeded()) == Settled(State.GONE)
            assert await broker.count() == {}

    async def test_a_conflict_is_seen_from_both_sides(self, broker: Broker) -> None:
        """An id that lives at one broker lives at the other."""
        async with self.opened() as other:
            task = await bring_to(broker, State.ACTIVE)
            assert list(await other.enqueue([task], now=NOW)) == [Conflict(task.id, State.ACTIVE)]

    async def test_one_order_over_both(self, broker: Broker) -> None:
        """First in, first out, whichever broker it went in by."""
        async with self.opened() as other:
            tasks = some_tasks(6)
            for n, task in enumerate(tasks):
                await put((broker, other)[n % 2], task)
            assert ids(await take(other)) == ids_of(tasks)

    async def test_a_worker_taken_for_lost_is_fenced_off_by_the_other(self, broker: Broker) -> None:
        """A verdict by one broker cannot end the run of a worker at the other."""
        async with self.opened() as other:
            lost = await a_claimed(broker)
            await sweep_all(other, now=NOW + LEASE)
            held = await take_one(other, now=NOW + LEASE)
            assert held.lease.token > lost.lease.token
            assert await end(broker, lost, Succeeded(), now=NOW + LEASE) == LeaseLost()
            assert (await stored_task(broker, held.task.spec)).state is State.ACTIVE

    async def test_tokens_grow_over_both(self, broker: Broker) -> None:
        """Tokens given in turn by two brokers grow as if one had given them."""
        async with self.opened() as other:
            await put(broker, *some_tasks(6))
            claims = [await take_one((broker, other)[n % 2]) for n in range(6)]
            tokens = [claim.lease.token for claim in claims]
            assert tokens == sorted(set(tokens))

    async def test_what_one_broker_enqueues_is_heard_at_the_other(self, broker: Broker) -> None:
        """Who waits for work at one broker wakes up for what came by the other."""
        async with self.opened() as other:
            notified = Notified()
            subscription = await on_work(other, ["default"], notified.set)
            notified.clear()
            await put(broker, a_task())
            assert await self.comes(notified)
            await subscription.close()

    async def test_a_lease_that_one_broker_ends_is_told_of_at_the_other(
        self, broker: Broker
    ) -> None:
        """Who runs a task hears of it soon when somebody else cancels it."""
        async with self.opened() as other:
            await put(broker, *some_tasks(3))
            claims = await take(other)
            told = Told()
            subscription = await other.subscribe(["default"], {LeaseEnded}, told)
            await broker.execute("default", ids(claims[1:]), Cancelled(), now=NOW)
            for claim in claims[1:]:
                assert await self.comes(told.of("default", claim.lease.token))
            assert await end(other, claims[0], Succeeded()) == Settled(State.GONE)
            assert ("default", claims[0].lease.token) not in told.notified
            await subscription.close()

    async def test_what_a_run_says_at_one_broker_is_read_at_the_other(self, broker: Broker) -> None:
        """A lease is good for notes at any broker, and so are the notes."""
        async with self.opened() as other:
            claim = await a_claimed(broker)
            assert await jot(other, claim, progress=HALF) == DetailsSaved()
            assert await jot(broker, claim, saved=b"so far") == DetailsSaved()
            await end(other, claim, Failed("no", again_at=NOW, worker="w"))
            details = Details((AttemptError(NOW, 1, "no", "w"),), HALF, b"so far")
            assert await learn(broker, claim.task.spec) == details
            assert await learn(other, claim.task.spec) == details

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    async def test_news_from_one_broker_are_told_at_the_other(
        self, broker: Broker, way: Way
    ) -> None:
        """Who waits for a result hears of it from whatever process it was in."""
        async with self.opened() as other:
            task = a_task(queue="b", retention=60, max_crashes=1, expires=NOW + 600)
            news = News()
            subscription = await other.subscribe(["a", "b"], {TasksChanged}, news)
            notified = news.of(task)
            await way(broker, task)
            assert await self.comes(notified)
            await subscription.close()

    async def test_what_follows_at_one_broker_is_heard_at_the_other(self, broker: Broker) -> None:
        """A worker of the queue that it is in wakes up for it, and finds it."""
        async with self.opened() as other:
            claim = await a_claimed(broker)
            notified = Notified()
            subscription = await on_work(other, ["b"], notified.set)
            notified.clear()
            task = a_task(queue="b")
            await end(broker, claim, Succeeded(then=(task,)))
            assert await self.comes(notified)
            assert ids(await take(other, 1, "b")) == [task.id]
            await subscription.close()

    async def test_brokers_at_work_together_hand_each_task_out_once(self, broker: Broker) -> None:
        """Brokers that claim and settle at the same time share the tasks, none gets one twice."""
        tasks = some_tasks(200)
        await put(broker, *tasks)

        async def drain() -> list[TaskId]:
            async with self.opened() as mine:
                return await drained(mine)

        shares = in_threads([lambda: self.run(drain())] * 4)
        assert sorted(task for share in shares for task in share) == sorted(ids_of(tasks))
        assert await broker.count() == {}

    async def test_brokers_that_enqueue_together_lose_nothing(self, broker: Broker) -> None:
        """What several brokers enqueue at the same time is all there, one of each id."""
        common = some_tasks(20)

        async def fill() -> int:
            async with self.opened() as mine:
                answers = [*await mine.enqueue(common, now=NOW)]
                answers += await mine.enqueue(some_tasks(20), now=NOW)
                return sum(isinstance(answer, Conflict) for answer in answers)

        conflicts = in_threads([lambda: self.run(fill())] * 4)
        assert sum(conflicts) == 60
        assert await broker.count() == {"default": {State.PENDING: 100}}


class DurableContract(Cases):
    """Inherit it with `Capability.DURABLE`: what outlives a broker."""

    async def test_what_was_acknowledged_outlives_the_broker(self) -> None:
        """After everything was closed, another broker on the store finds each task as it was."""
        async with self.opened() as broker:
            tasks = [
                await bring_to(broker, s, a_task(queue=f"of-{s}", retention=9))
                for s in State
                if s in (*LIVE, State.COMPLETED, State.ARCHIVED, State.DEAD)
            ]
            before = [await stored_task(broker, task) for task in tasks]
        async with self.opened(DEFAULT_RETENTION) as broker:
            assert [await stored_task(broker, task) for task in tasks] == before

    async def test_what_is_kept_of_runs_outlives_the_broker(self) -> None:
        """The next attempt finds what was saved, whatever became of the process."""
        async with self.opened() as broker:
            claim = await a_claimed(broker)
            await jot(broker, claim, progress=HALF, saved=b"so far")
            await end(broker, claim, Failed("no", again_at=NOW, worker="w", traceback="there"))
        async with self.opened() as broker:
            details = Details((AttemptError(NOW, 1, "no", "w", "there"),), HALF, b"so far")
            assert await learn(broker, claim.task.spec) == details

    async def test_a_lease_outlives_the_broker(self) -> None:
        """A worker whose connection was lost settles by the next, and tokens go on growing."""
        async with self.opened() as broker:
            await put(broker, *some_tasks(2))
            claim = await take_one(broker)
        async with self.opened() as broker:
            assert (await take_one(broker)).lease.token > claim.lease.token
            assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
