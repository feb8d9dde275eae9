"""What `restore` promises of unique keys and of successors."""

from typing import Unpack

import pytest
from attrs import evolve

from qcore.domain.answers import Conflict, Duplicate, Enqueued, Restored
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import REPLACE, RERUN, NewTask
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import Deleted, Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW, TaskOptions, a_stored_task, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.restoring import ELSEWHERE, ended, restore, snapshot_of
from qcore.testing.contract.states import ENDED
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    find_task,
    ids,
    put,
    stored_task,
    take,
    take_one,
)

KEY = "the ✓ one|1 2"
LONG_AGO = NOW - 600


def keyed(**options: Unpack[TaskOptions]) -> NewTask:
    """Return a task with the key of all these cases."""
    options.setdefault("unique_key", KEY)
    return a_task(**options)


def waiting_behind(due: float | None = None) -> Task:
    """Return the successor of a task that has the key, enqueued long ago."""
    spec = keyed(on_duplicate=RERUN, due=due)
    return a_stored_task(spec, state=State.SCHEDULED, created=LONG_AGO, due=LAST_MOMENT)


async def answer_to(broker: Broker, task: Task) -> object:
    """Restore one task, and return the answer."""
    (answer,) = await broker.restore([TaskSnapshot(task)], now=NOW)
    return answer


async def key_is_free(broker: Broker, now: float = NOW) -> bool:
    """Return whether a new task gets the key; it is removed again."""
    task = keyed()
    (answer,) = await broker.enqueue([task], now=now)
    await execute_on(broker, task, Deleted())
    return isinstance(answer, Enqueued)


class RestoredKeyCases(Cases):
    """A restored task has what it had."""

    # - A task that has not ended takes its `unique_key`, for `unique_for` seconds from when it
    #   was created; where that time is over it goes in without. A key that a live task has is
    #   answered with `Duplicate`, whatever `on_duplicate` says, and nothing is written.

    @pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.RETRY, State.ACTIVE])
    async def test_a_restored_task_has_its_key(self, broker: Broker, state: State) -> None:
        """Until it ends."""
        task = a_stored_task(keyed(), state=state, attempts=1, due=NOW)
        await restore(broker, task)
        stored = State.PENDING if state is State.ACTIVE else state
        (answer,) = await broker.enqueue([keyed()], now=NOW)
        assert answer == Duplicate(task.id, stored)
        await end(broker, await take_one(broker), Succeeded())
        assert await key_is_free(broker)

    @pytest.mark.parametrize("state", ENDED)
    async def test_what_has_ended_is_restored_without_its_key(
        self, broker: Broker, state: State
    ) -> None:
        """Whoever has the key keeps it."""
        first = a_stored_task(keyed())
        await restore(broker, first, ended(state, spec=keyed(retention=3_600.0)))
        assert await answer_to(broker, a_stored_task(keyed())) == Duplicate(first.id, State.PENDING)

    async def test_a_restored_task_has_its_key_for_the_rest_of_its_time(
        self, broker: Broker
    ) -> None:
        """The time began when it was created."""
        task = a_stored_task(keyed(unique_for=660.5), created=LONG_AGO)
        await restore(broker, task)
        assert not await key_is_free(broker, NOW + 60)
        assert await key_is_free(broker, NOW + 60.5)

    async def test_a_key_whose_time_is_over_is_not_restored(self, broker: Broker) -> None:
        """The task goes in without, whoever has the key by now."""
        late = a_stored_task(keyed(unique_for=600.0), created=LONG_AGO)
        await restore(broker, late)
        assert await key_is_free(broker)
        first = a_stored_task(keyed())
        await restore(broker, first, a_stored_task(keyed(unique_for=600.0), created=LONG_AGO))
        assert not await key_is_free(broker)
        assert len(await take(broker)) == 3

    @pytest.mark.parametrize("mode", [REPLACE, RERUN])
    async def test_a_key_that_another_has_is_not_taken_from_it(
        self, broker: Broker, mode: str
    ) -> None:
        """Neither a restored nor an enqueued task gives way; the others of the batch go in."""
        first, second = keyed(), a_stored_task(keyed(on_duplicate=mode))
        await put(broker, first)
        other = a_stored_task(keyed(unique_key="another"))
        answers = await broker.restore([TaskSnapshot(second), TaskSnapshot(other)], now=NOW)
        assert answers == [
            Duplicate(first.id, State.PENDING),
            Restored(other.id, State.PENDING),
        ]
        assert await find_task(broker, second.spec) is None
        assert await broker.count() == {"default": {State.PENDING: 2}}
        assert await answer_to(broker, a_stored_task(keyed(unique_key="another"))) == Duplicate(
            other.id, State.PENDING
        )

    async def test_of_one_key_twice_the_first_is_restored(self, broker: Broker) -> None:
        """Within a batch; and an id that is stored comes first."""
        first, second = a_stored_task(keyed()), a_stored_task(keyed())
        asked = [TaskSnapshot(each) for each in (first, second, first)]
        assert await broker.restore(asked, now=NOW) == [
            Restored(first.id, State.PENDING),
            Duplicate(first.id, State.PENDING),
            Conflict(first.id, State.PENDING),
        ]

    async def test_what_is_put_back_takes_its_key_again(self, broker: Broker) -> None:
        """Unless another has got it meanwhile: then what was set aside stays as it is."""
        parked = ended(State.ARCHIVED, spec=keyed(), error="for now")
        await restore(broker, parked)
        snapshot = TaskSnapshot(a_stored_task(parked.spec))
        holder = keyed()
        await put(broker, holder)
        answers = await broker.restore([snapshot], now=NOW, over="for now")
        assert answers == [Duplicate(holder.id, State.PENDING)]
        assert await stored_task(broker, parked.spec) == parked
        await execute_on(broker, holder, Deleted())
        answers = await broker.restore([snapshot], now=NOW, over="for now")
        assert answers == [Restored(parked.id, State.PENDING)]
        assert not await key_is_free(broker)

    # - A successor waits again for the end of the task that has its key, unless that has another
    #   one, which is a `Duplicate`. Where no task has the key it takes that, and is due at the
    #   moment that was asked for.

    async def test_a_pair_is_restored_as_a_pair(self, broker: Broker) -> None:
        """The one that was active comes first, and when it has ended the other one is due."""
        claim = await a_claimed(broker, keyed())
        second = keyed(on_duplicate=RERUN)
        await put(broker, second)
        pair = [await snapshot_of(broker, each) for each in (claim.task.spec, second)]
        assert await broker.restore(pair, now=NOW) == [
            Restored(claim.task.id, State.PENDING),
            Restored(second.id, State.SCHEDULED),
        ]
        waits = await stored_task(broker, pair[1].task.spec)
        assert waits == pair[1].task
        (running,) = await take(broker, 10, ELSEWHERE, now=NOW + 60)
        assert running.task.id == claim.task.id
        await end(broker, running, Succeeded(), now=NOW + 60)
        assert ids(await take(broker, 10, ELSEWHERE, now=NOW + 60)) == [second.id]

    @pytest.mark.parametrize(("due", "expected"), [(None, LONG_AGO), (NOW + 60, NOW + 60)])
    async def test_a_restored_successor_is_due_when_the_other_has_ended(
        self, broker: Broker, due: float | None, expected: float
    ) -> None:
        """At the moment that was asked for; the other has the key until then."""
        first = a_stored_task(keyed(unique_for=5.0))
        await restore(broker, first)
        second = waiting_behind(due)
        assert await answer_to(broker, second) == Restored(second.id, State.SCHEDULED)
        assert await stored_task(broker, second.spec) == second
        assert not await key_is_free(broker, NOW + 9)
        await end(broker, await take_one(broker), Succeeded())
        assert await stored_task(broker, second.spec) == evolve(second, due=expected)
        assert not await key_is_free(broker)

    @pytest.mark.parametrize(("due", "expected"), [(None, LONG_AGO), (NOW + 60, NOW + 60)])
    async def test_a_successor_of_nobody_is_due(
        self, broker: Broker, due: float | None, expected: float
    ) -> None:
        """It has the key at once."""
        task = waiting_behind(due)
        await restore(broker, task)
        assert await stored_task(broker, task.spec) == evolve(task, due=expected)
        assert await broker.next_due(["default"]) == expected
        assert not await key_is_free(broker)

    async def test_a_second_successor_is_not_restored(self, broker: Broker) -> None:
        """A key has one."""
        first, second, third = a_stored_task(keyed()), waiting_behind(), waiting_behind()
        asked = [TaskSnapshot(each) for each in (first, second, third)]
        assert await broker.restore(asked, now=NOW) == [
            Restored(first.id, State.PENDING),
            Restored(second.id, State.SCHEDULED),
            Duplicate(first.id, State.PENDING),
        ]
        assert await find_task(broker, third.spec) is None
        await end(broker, await take_one(broker), Succeeded())
        assert ids(await take(broker)) == [second.id]
