"""Cases that every way in which a task ends leaves nothing behind.

The ways on which other queues leak: a conflict, a replaced task, a late result, a trimmed archive,
an operator's move, a batch.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import pytest
from attrs import evolve

from qcore.domain.answers import Swept
from qcore.domain.new_task import NewTask
from qcore.domain.run_details import Details
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, Task, updated
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.run_details import HALF, jot, learn
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    nothing_is_left,
    put,
    sweep_all,
    take,
    take_one,
)

Way: TypeAlias = Callable[[Broker, NewTask], Awaitable[object]]


async def _succeeded(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Succeeded(b"1", "a/b"))


async def _revoked(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Revoked())


async def _exhausted(broker: Broker, task: NewTask) -> None:
    claim = await a_claimed(broker, task)
    await end(broker, claim, Failed("no", again_at=NOW + 1))
    await end(broker, await take_one(broker, now=NOW + 1), Exhausted("no"))


async def _rejected(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Rejected("no"))


async def _poisoned(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    for _ in range(task.max_crashes):
        await end(broker, await take_one(broker), Crashed())


async def _lost(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    for n in range(task.max_crashes):
        await take_one(broker, now=NOW + n * LEASE)
        await sweep_all(broker, now=NOW + (n + 1) * LEASE)


async def _expired(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await sweep_all(broker, now=NOW + 600)


async def _expired_at_a_claim(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await take(broker, now=NOW + 600)


async def _archived(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await execute_on(broker, task, Archived())


async def _cancelled_while_active(broker: Broker, task: NewTask) -> None:
    claim = await a_claimed(broker, task)
    await execute_on(broker, task, Cancelled())
    await end(broker, claim, Succeeded(b"late", "a/b"))


async def _deleted_after_a_snooze(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Snoozed(NOW + 5))
    await execute_on(broker, task, Deleted())


async def _run_twice(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Rejected("no"))
    await execute_on(broker, task, RunNow())
    await end(broker, await take_one(broker), Succeeded())


async def _released_and_done(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Released())
    await end(broker, await take_one(broker), Succeeded())


async def _conflicted(broker: Broker, task: NewTask) -> None:
    claim = await a_claimed(broker, task)
    await broker.enqueue([task, task], now=NOW)
    await end(broker, claim, Succeeded())


async def _replaced(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Rejected("no"))
    await end(broker, await a_claimed(broker, task), Succeeded())


async def _noted(broker: Broker, task: NewTask) -> None:
    claim = await a_claimed(broker, task)
    await jot(broker, claim, progress=HALF, saved=b"so far")
    await end(broker, claim, Failed("no", again_at=NOW))
    claim = await take_one(broker)
    await jot(broker, claim, progress=HALF, saved=b"more")
    await end(broker, claim, Succeeded())


async def _noted_too_late(broker: Broker, task: NewTask) -> None:
    claim = await a_claimed(broker, task)
    await jot(broker, claim, saved=b"so far")
    await execute_on(broker, task, Cancelled())
    await jot(broker, claim, progress=HALF, saved=b"late")


async def _put_off(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await execute_on(broker, task, Rescheduled(NOW + 60))
    await execute_on(broker, task, Rescheduled(NOW + 30))
    await end(broker, await take_one(broker, now=NOW + 30), Failed("no", again_at=NOW + 90))
    await execute_on(broker, task, Rescheduled(NOW + 40))
    await end(broker, await take_one(broker, now=NOW + 40), Succeeded(), now=NOW + 40)


async def _put_off_for_too_long(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await execute_on(broker, task, Rescheduled(NOW + 700))
    await take(broker, now=NOW + 700)


async def _changed(broker: Broker, task: NewTask) -> None:
    await put(broker, task)
    await execute_on(broker, task, updated(priority=5, expires=NOW + 60, headers={"c": "d"}))
    await execute_on(broker, task, updated(priority=0, expires=NOW + 900, payload=b"new"))
    await end(broker, await take_one(broker), Rejected("no"))
    await execute_on(broker, task, updated(expires=NOW + 30, retention=9.0))


async def _followed_by_itself(broker: Broker, task: NewTask) -> None:
    first = evolve(task, retention=0.0)
    await end(broker, await a_claimed(broker, first), Succeeded(then=(task, task)))
    await end(broker, await take_one(broker), Succeeded())


async def _put_back_unhandled(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Snoozed(NOW + 5, unhandled=True))
    await execute_on(broker, task, Cancelled())


async def _crashed_and_archived(broker: Broker, task: NewTask) -> None:
    await end(broker, await a_claimed(broker, task), Crashed())
    await execute_on(broker, task, Archived())


WAYS: Final[tuple[Way, ...]] = (
    _succeeded,
    _revoked,
    _exhausted,
    _rejected,
    _poisoned,
    _lost,
    _expired,
    _expired_at_a_claim,
    _archived,
    _cancelled_while_active,
    _deleted_after_a_snooze,
    _run_twice,
    _released_and_done,
    _conflicted,
    _replaced,
    _noted,
    _noted_too_late,
    _put_off,
    _put_off_for_too_long,
    _changed,
    _followed_by_itself,
    _put_back_unhandled,
    _crashed_and_archived,
)


class LeakCases(Cases):
    """Nothing is left."""

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    @pytest.mark.parametrize("retention", [0.0, 60.0])
    async def test_nothing_is_left_of_a_task_whose_time_is_over(
        self, way: Way, retention: float
    ) -> None:
        """Whichever way a task ends, when it has been kept long enough there is no trace of it."""
        async with self.opened(RetentionPolicy(age=86_400.0)) as broker:
            task = a_task(retention=retention, expires=NOW + 600, headers={"a": "b"})
            await way(broker, task)
            await sweep_all(broker, now=NOW + 100_000)
            await nothing_is_left(broker, task)
            assert await take(broker, now=NOW + 200_000) == []
            assert await sweep_all(broker, now=NOW + 1e9) == Swept()

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    @pytest.mark.parametrize("retention", [0.0, 60.0])
    async def test_whoever_takes_an_id_begins_with_nothing(
        self, way: Way, retention: float, broker: Broker
    ) -> None:
        """Whichever way a task ended, and whether it is kept still, the next finds none of it."""
        task = a_task(retention=retention, expires=NOW + 600, headers={"a": "b"})
        await way(broker, task)
        fresh = a_task(id=task.id)
        await put(broker, fresh)
        assert await learn(broker, fresh) == Details()
        claim = await take_one(broker)
        assert claim.task == Task(fresh, State.ACTIVE, NOW, NOW, attempts=1)
        await end(broker, claim, Succeeded())
        await nothing_is_left(broker, fresh)

    async def test_a_batch_leaves_nothing(self, broker: Broker) -> None:
        """A batch that goes all the way together leaves as little as a single task."""
        tasks = [*some_tasks(20), *some_tasks(20, queue="b", due=NOW + 1)]
        await put(broker, *tasks)
        claims = await take(broker, 40, "default", "b", now=NOW + 1)
        for claim in claims:
            await end(broker, claim, Succeeded(), now=NOW + 2)
        assert len(claims) == 40
        await nothing_is_left(broker, *tasks)

    async def test_a_task_is_in_one_state_only(self, broker: Broker) -> None:
        """Through a whole life, a task is counted once, and listed in the state that it has."""
        task = a_task(due=NOW + 1, retention=60)
        await put(broker, task)
        assert await broker.count() == {"default": {State.SCHEDULED: 1}}
        claim = await take_one(broker, now=NOW + 1)
        assert await broker.count() == {"default": {State.ACTIVE: 1}}
        await end(broker, claim, Failed("no", again_at=NOW + 2))
        assert await broker.count() == {"default": {State.RETRY: 1}}
        claim = await take_one(broker, now=NOW + 2)
        await end(broker, claim, Succeeded())
        assert await broker.count() == {"default": {State.COMPLETED: 1}}
