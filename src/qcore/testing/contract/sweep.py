"""Cases of `Consumer.sweep`: crashed, expired and trimmed tasks."""

import pytest
from attrs import evolve

from qcore.domain.answers import MAX_SWEPT_TASKS, LeaseLost, Swept, SweptTask
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, Verdict
from qcore.domain.transitions import Archived, Crashed, Exhausted, Expired, Rejected, Succeeded
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    find_task,
    ids,
    ids_of,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)


class CrashCases(Cases):
    """Workers are lost, and time runs out."""

    # - An active task whose lease ended at `now` or earlier has `Crashed`; its lease is lost.

    async def test_a_lease_holds_until_its_last_millisecond(self, broker: Broker) -> None:
        """Before its end a lease is good, at its end the task has crashed."""
        claim = await a_claimed(broker)
        assert await sweep_all(broker, now=claim.lease.until - 0.001) == Swept()
        assert (await stored_task(broker, claim.task.spec)).state is State.ACTIVE
        assert await sweep_all(broker, now=claim.lease.until) == Swept(crashed=1)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.crashes, stored.failures) == (State.PENDING, 1, 0)
        assert stored.error is not None

    async def test_a_crashed_task_is_claimed_again(self, broker: Broker) -> None:
        """The next worker gets it at its old place, with a greater token, the attempt counted."""
        lost = await a_claimed(broker)
        await put(broker, later := a_task())
        await sweep_all(broker, now=NOW + LEASE)
        claims = await take(broker, now=NOW + LEASE)
        assert ids(claims) == [lost.task.id, later.id]
        assert claims[0].lease.token > lost.lease.token
        assert (claims[0].task.attempts, claims[0].task.crashes) == (2, 1)

    async def test_a_crashed_tasks_lease_is_lost(self, broker: Broker) -> None:
        """A worker that comes back finds that it was given up."""
        lost = await a_claimed(broker)
        await sweep_all(broker, now=NOW + LEASE)
        assert await end(broker, lost, Succeeded(), now=NOW + LEASE) == LeaseLost()
        renewed = await broker.extend([lost.lease], until=NOW + 99)
        assert list(renewed) == [LeaseLost()]

    async def test_poison_is_dead_after_its_last_crash(self, broker: Broker) -> None:
        """A task whose workers are lost again and again is not tried for ever."""
        await put(broker, poison := a_task(max_crashes=2))
        for n in (1, 2):
            await take_one(broker, now=NOW + n, until=NOW + n + 0.5)
            assert (await sweep_all(broker, now=NOW + n + 0.5)).crashed == 1
        stored = await stored_task(broker, poison)
        assert (stored.state, stored.crashes) == (State.DEAD, 2)
        assert stored.finished == NOW + 2.5

    # - A pending task whose `expires` is `now` or earlier is dead, "expired".

    async def test_a_pending_task_expires_at_its_moment(self, broker: Broker) -> None:
        """A task that has not started is dead when it expires, to the millisecond."""
        await put(broker, task := a_task(expires=NOW + 0.25))
        assert await sweep_all(broker, now=NOW + 0.249) == Swept()
        assert await sweep_all(broker, now=NOW + 0.25) == Swept(expired=1)
        stored = await stored_task(broker, task)
        assert (stored.state, stored.error) == (State.DEAD, "expired")
        assert stored.finished == NOW + 0.25

    async def test_a_task_put_back_expires_as_before(self, broker: Broker) -> None:
        """A task that crashed and is pending again may expire while it waits."""
        await a_claimed(broker, task := a_task(expires=NOW + 60))
        await sweep_all(broker, now=NOW + LEASE)
        assert await sweep_all(broker, now=NOW + 60) == Swept(expired=1)
        assert (await stored_task(broker, task)).state is State.DEAD


class TrimCases(Cases):
    """The past is forgotten."""

    # - A completed task is gone when its `retention` is over.

    @pytest.mark.parametrize("retention", [0.25, 0.5, 2.0, 86_400.0])
    async def test_a_completed_task_is_gone_when_its_retention_is_over(
        self, broker: Broker, retention: float
    ) -> None:
        """Retention is counted from the end of the task, in parts of a second too."""
        claim = await a_claimed(broker, a_task(retention=retention))
        await end(broker, claim, Succeeded(b"1", "a/b"), now=NOW + 5)
        assert await sweep_all(broker, now=NOW + 5 + retention - 0.001) == Swept()
        assert (await stored_task(broker, claim.task.spec)).result == b"1"
        assert await sweep_all(broker, now=NOW + 5 + retention) == Swept(trimmed=1)
        await nothing_is_left(broker, claim.task.spec)

    async def test_each_completed_task_has_its_own_retention(self, broker: Broker) -> None:
        """A task kept for long does not hold back those kept for a moment."""
        tasks = [a_task(retention=seconds) for seconds in (60, 1, 30)]
        await put(broker, *tasks)
        done = [Verdict(claim.lease, Succeeded()) for claim in await take(broker)]
        await broker.settle(done, now=NOW)
        assert (await sweep_all(broker, now=NOW + 30)).trimmed == 2
        assert ids_of(await browse_all(broker, State.COMPLETED)) == [tasks[0].id]

    async def test_completed_tasks_do_not_count_against_the_keep(self) -> None:
        """`RetentionPolicy` is for archived and dead tasks; a completed one has its retention."""
        async with self.opened(RetentionPolicy(count=1, age=1.0)) as broker:
            await put(broker, *some_tasks(3, retention=60))
            for claim in await take(broker):
                await end(broker, claim, Succeeded())
            assert await sweep_all(broker, now=NOW + 59) == Swept()
            assert await broker.count() == {"default": {State.COMPLETED: 3}}

    # - An archived or a dead task is gone when it is older than `RetentionPolicy.age` seconds, or
    #   when its queue has more than `RetentionPolicy.count` of them: the oldest first.

    @pytest.mark.parametrize("outcome", [Exhausted("no"), Rejected("no")])
    async def test_an_old_ended_task_is_gone(self, outcome: Exhausted | Rejected) -> None:
        """Archived and dead tasks are kept for `Keep.age` seconds after their end."""
        async with self.opened(RetentionPolicy(age=100.5)) as broker:
            claim = await a_claimed(broker)
            await end(broker, claim, outcome, now=NOW + 5)
            assert await sweep_all(broker, now=NOW + 5 + 100.499) == Swept()
            assert await sweep_all(broker, now=NOW + 5 + 100.501) == Swept(trimmed=1)
            await nothing_is_left(broker, claim.task.spec)

    @pytest.mark.parametrize("outcome", [Exhausted("no"), Rejected("no")])
    async def test_of_too_many_ended_tasks_the_oldest_are_gone(
        self, outcome: Exhausted | Rejected
    ) -> None:
        """No more than `Keep.count` tasks are kept, those that ended last."""
        async with self.opened(RetentionPolicy(count=2)) as broker:
            tasks = await _ended(broker, 5, outcome)
            assert await sweep_all(broker, now=NOW + 60) == Swept(trimmed=3)
            for task in tasks[:3]:
                assert await find_task(broker, task) is None
            for task in tasks[3:]:
                assert await find_task(broker, task) is not None

    async def test_archived_and_dead_tasks_are_counted_apart(self) -> None:
        """Each of the two may have `Keep.count` tasks."""
        async with self.opened(RetentionPolicy(count=2)) as broker:
            await _ended(broker, 2, Exhausted("no"))
            await _ended(broker, 2, Rejected("no"))
            assert await sweep_all(broker, now=NOW + 60) == Swept()
            assert await broker.count() == {"default": {State.ARCHIVED: 2, State.DEAD: 2}}

    async def test_each_queue_keeps_its_own(self) -> None:
        """`Keep.count` is for one queue."""
        async with self.opened(RetentionPolicy(count=2)) as broker:
            await _ended(broker, 2, Rejected("no"), queue="a")
            await _ended(broker, 2, Rejected("no"), queue="b")
            assert await sweep_all(broker, "a", "b", now=NOW + 60) == Swept()

    async def test_a_task_that_an_operator_archived_is_trimmed_too(self) -> None:
        """However a task was archived, it is not kept for ever."""
        async with self.opened(RetentionPolicy(age=10.0)) as broker:
            await put(broker, task := a_task())
            await execute_on(broker, task, Archived(), now=NOW)
            assert (await sweep_all(broker, now=NOW + 11)).trimmed == 1
            await nothing_is_left(broker, task)

    async def test_keeping_none_trims_all(self) -> None:
        """A keep of zero tasks leaves none behind."""
        async with self.opened(RetentionPolicy(count=0)) as broker:
            tasks = await _ended(broker, 3, Rejected("no"))
            assert (await sweep_all(broker, now=NOW + 60)).trimmed == 3
            await nothing_is_left(broker, *tasks)


class SweepCases(Cases):
    """How much a sweep does, and where."""

    # - Only the queues named; the answer counts what was moved, and says whether there is more.

    async def test_a_sweep_counts_what_it_moved(self) -> None:
        """Crashed, expired and trimmed tasks are counted apart, over all queues."""
        async with self.opened(RetentionPolicy(age=10.0)) as broker:
            await _ended(broker, 4, Rejected("no"))
            for queue in ("a", "b"):
                await put(broker, *some_tasks(2, queue=queue))
                await take(broker, 2, queue)
            await put(broker, *some_tasks(3, expires=NOW + 1), a_task())
            swept = await sweep_all(broker, "a", "default", "nowhere", "b", now=NOW + 60)
            assert swept == Swept(crashed=4, expired=3, trimmed=4, more=False)

    async def test_a_sweep_moves_only_the_queues_named(self, broker: Broker) -> None:
        """What time has moved in other queues waits for their own sweep."""
        await put(broker, here := a_task(queue="a"), there := a_task(queue="b"))
        await take(broker, 2, "a", "b")
        assert await sweep_all(broker, "a", now=NOW + 60) == Swept(crashed=1)
        assert (await stored_task(broker, here)).state is State.PENDING
        assert (await stored_task(broker, there)).state is State.ACTIVE

    async def test_a_sweep_of_nothing_finds_nothing(self, broker: Broker) -> None:
        """No queues, and queues that never were, are swept in no time."""
        assert await broker.sweep([], 10, now=NOW) == Swept()
        assert await broker.sweep(["nowhere"], 10, now=NOW) == Swept()
        assert await broker.count() == {}

    async def test_a_sweep_leaves_alone_what_is_in_time(self, broker: Broker) -> None:
        """Scheduled, pending and active tasks in their time are not moved."""
        await put(broker, a_task(due=NOW + 1, expires=NOW + 99), a_task(), a_task(expires=NOW + 99))
        await take_one(broker, until=NOW + 99)
        before = await broker.count()
        assert await sweep_all(broker, now=NOW + 50) == Swept()
        assert await broker.count() == before

    # - It names the tasks that were moved, those that crashed or expired with what became of
    #   them; of very many the first `MAX_SWEPT_TASKS`.

    async def test_a_sweep_names_what_it_moved(self) -> None:
        """Each task with its queue and id, and what became of it; the name of all that are kept."""
        async with self.opened(RetentionPolicy(age=10.0)) as broker:
            over = await _ended(broker, 1, Exhausted("no")), await _ended(broker, 2, Rejected("no"))
            done = await a_claimed(broker, a_task(retention=1, queue="b"))
            await end(broker, done, Succeeded())
            lost = a_task(name="mail:a", queue="a")
            poison = a_task(name="mail:b", queue="b", max_crashes=1)
            for each in (lost, poison):
                await put(broker, each)
                await take(broker, 1, each.queue)
            await put(broker, stale := a_task(name="mail:c", expires=NOW + 1), a_task())
            swept = await sweep_all(broker, "a", "b", "default", now=NOW + 60)
            trimmed = [*over[0], *over[1], done.task.spec]
            expected = [
                SweptTask("a", lost.id, State.PENDING, Crashed(), "mail:a", 1),
                SweptTask("b", poison.id, State.DEAD, Crashed(), "mail:b", 1),
                SweptTask("default", stale.id, State.DEAD, Expired(), "mail:c", 0),
                *(SweptTask(task.queue, task.id, State.GONE) for task in trimmed),
            ]
            # a store need not read the name of what it deletes
            moved = [each if each.transition else evolve(each, name=None) for each in swept.tasks]
            assert sorted(moved, key=_id_of) == sorted(expected, key=_id_of)

    async def test_a_sweep_names_no_more_than_that(self, broker: Broker) -> None:
        """The numbers are those of all."""
        queues = ("a", "b")
        for queue in queues:
            await put(broker, *some_tasks(MAX_SWEPT_TASKS - 100, queue=queue, expires=NOW + 1))
        swept = await sweep_all(broker, *queues, limit=MAX_SWEPT_TASKS, now=NOW + 60)
        assert swept == Swept(expired=2 * MAX_SWEPT_TASKS - 200)
        assert len({each.id for each in swept.tasks}) == len(swept.tasks) == MAX_SWEPT_TASKS

    async def test_what_was_not_moved_is_not_named(self, broker: Broker) -> None:
        """A sweep of nothing has no names, and the next one has none of the last."""
        await a_claimed(broker)
        assert (await sweep_all(broker, now=NOW)).tasks == ()
        assert len((await sweep_all(broker, now=NOW + 60)).tasks) == 1
        assert (await sweep_all(broker, now=NOW + 60)).tasks == ()

    # at most `limit` crashed, expired and trimmed tasks each a queue

    async def test_a_sweep_takes_back_at_most_its_limit(self, broker: Broker) -> None:
        """The tasks of a lost worker come back in bites of the limit."""
        await put(broker, *some_tasks(5))
        await take(broker, 5)
        assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(crashed=2, more=True)
        assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(crashed=2, more=True)
        assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(crashed=1)

    async def test_a_sweep_expires_at_most_its_limit(self, broker: Broker) -> None:
        """Expired tasks die in bites of the limit."""
        await put(broker, *some_tasks(3, expires=NOW + 1))
        assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(expired=2, more=True)
        assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(expired=1)

    async def test_a_sweep_trims_at_most_its_limit(self) -> None:
        """Ended tasks of all kinds together are forgotten in bites of the limit."""
        async with self.opened(RetentionPolicy(age=10.0)) as broker:
            await end(broker, await a_claimed(broker, a_task(retention=1)), Succeeded())
            await _ended(broker, 2, Exhausted("no"))
            await _ended(broker, 2, Rejected("no"))
            assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(trimmed=2, more=True)
            assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(trimmed=2, more=True)
            assert await sweep_all(broker, limit=2, now=NOW + 60) == Swept(trimmed=1)

    async def test_the_limit_is_for_each_queue(self, broker: Broker) -> None:
        """A sweep of two queues may move the limit in each."""
        await put(broker, *some_tasks(3, queue="a"), *some_tasks(3, queue="b"))
        await take(broker, 6, "a", "b")
        assert await sweep_all(broker, "a", "b", limit=2, now=NOW + 60) == Swept(
            crashed=4, more=True
        )

    async def test_there_is_more_where_one_queue_has_more(self, broker: Broker) -> None:
        """Wherever it stands among the queues."""
        for first, last in (("a", "b"), ("c", "d")):
            await put(broker, *some_tasks(3, queue=first), a_task(queue=last))
            await take(broker, 4, first, last)
        swept = Swept(crashed=3, more=True)
        assert await sweep_all(broker, "a", "b", limit=2, now=NOW + 60) == swept
        assert await sweep_all(broker, "d", "c", limit=2, now=NOW + 60) == swept


def _id_of(task: SweptTask) -> str:
    return task.id


async def _ended(
    broker: Broker, number: int, outcome: Exhausted | Rejected, *, queue: str = "default"
) -> list[NewTask]:
    """Return tasks that ended a second after each other."""
    tasks = some_tasks(number, queue=queue)
    await put(broker, *tasks)
    for n, claim in enumerate(await take(broker, number, queue)):
        await end(broker, claim, outcome, now=NOW + n)
    return tasks
