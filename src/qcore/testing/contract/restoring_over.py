"""Cases of `Operator.restore` where the id is stored already."""

import pytest
from attrs import evolve

from qcore.domain.answers import Conflict, Restored
from qcore.domain.run_details import AttemptError, Details
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.transitions import Archived, Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_stored_task, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.restoring import DETAILS, ended, restore
from qcore.testing.contract.states import REACHABLE, bring_to
from qcore.testing.contract.steps import browse_all, end, execute_on, stored_task, take_one
from qcore.testing.contract.unchanged import seen


class RestoreOverCases(Cases):
    """What is stored stays, unless it was set aside for the reason that is named."""

    # - An id that is stored in its queue, in whatever state, is a `Conflict` that names the state
    #   and writes nothing; the others of the batch go in. So to restore again changes nothing,
    #   and of the same id twice in one batch the first goes in.

    @pytest.mark.parametrize("state", REACHABLE)
    async def test_what_is_stored_is_not_restored_over(self, broker: Broker, state: State) -> None:
        """Whatever it asks for, and though it has ended."""
        task = await bring_to(broker, state)
        before = await seen(broker, task)
        other = a_stored_task(a_task(id=task.id, payload=b"other"), failures=3)
        fresh = a_stored_task()
        answers = await broker.restore([TaskSnapshot(other, DETAILS), TaskSnapshot(fresh)], now=NOW)
        assert answers == [Conflict(task.id, state), Restored(fresh.id, State.PENDING)]
        assert await seen(broker, task) == before

    async def test_to_restore_again_changes_nothing(self, broker: Broker) -> None:
        """Not even after it has gone on."""
        task = a_stored_task(a_task(retention=60))
        await restore(broker, task)
        await end(broker, await take_one(broker), Succeeded(b"1"))
        before = await seen(broker, task.spec)
        again = await broker.restore([TaskSnapshot(task)], now=NOW)
        assert again == [Conflict(task.id, State.COMPLETED)]
        assert await seen(broker, task.spec) == before
        assert await broker.count() == {"default": {State.COMPLETED: 1}}

    async def test_of_one_id_twice_the_first_is_restored(self, broker: Broker) -> None:
        """The second conflicts with it."""
        first = a_stored_task(attempts=1)
        second = evolve(first, attempts=2, state=State.SCHEDULED, due=NOW + 9)
        answers = await broker.restore([TaskSnapshot(first), TaskSnapshot(second)], now=NOW)
        assert answers == [
            Restored(first.id, State.PENDING),
            Conflict(first.id, State.PENDING),
        ]
        assert await stored_task(broker, first.spec) == first

    async def test_an_id_may_be_restored_in_two_queues(self, broker: Broker) -> None:
        """Each is a task of its own."""
        here, there = (a_stored_task(a_task(id="one", queue=each)) for each in ("a", "b"))
        await restore(broker, here, there)
        assert await broker.count() == {"a": {State.PENDING: 1}, "b": {State.PENDING: 1}}

    # - With `over`, a task of its id that is archived or dead, with this very text as its error,
    #   is replaced, with nothing left of it. Of an id twice in one batch the second replaces
    #   nothing.

    @pytest.mark.parametrize("aside", [State.ARCHIVED, State.DEAD])
    @pytest.mark.parametrize("reason", ["set aside: ✓ 7|7 7", ""])
    async def test_what_was_set_aside_is_put_back(
        self, broker: Broker, aside: State, reason: str
    ) -> None:
        """It is as it was before, and nothing is left of what took its place meanwhile."""
        task = a_stored_task(a_task(priority=3), state=State.RETRY, due=NOW + 9, failures=2)
        parked = ended(aside, spec=task.spec, error=reason)
        await restore(broker, parked)
        before = Details((AttemptError(NOW - 60, 1, "before"),))
        snapshot = TaskSnapshot(task, before)
        answers = await broker.restore([snapshot], now=NOW, over=reason)
        assert answers == [Restored(task.id, State.RETRY)]
        assert await seen(broker, task.spec) == (task, before)
        assert await broker.count() == {"default": {State.RETRY: 1}}
        assert list(await browse_all(broker, aside)) == []
        # once: what it is now is not what it was to be restored over
        answers = await broker.restore([snapshot], now=NOW, over=reason)
        assert answers == [Conflict(task.id, State.RETRY)]

    async def test_of_one_id_twice_the_second_replaces_nothing(self, broker: Broker) -> None:
        """Not even the first, where that has just the error that gives way."""
        reason = "set aside"
        first = ended(State.ARCHIVED, error=reason)
        second = evolve(first, attempts=7)
        fresh = a_stored_task()
        asked = [TaskSnapshot(each) for each in (first, second, fresh)]
        await restore(broker, ended(State.DEAD, spec=fresh.spec, error=reason))
        answers = await broker.restore(asked, now=NOW, over=reason)
        assert answers == [
            Restored(first.id, State.ARCHIVED),
            Conflict(first.id, State.ARCHIVED),
            Restored(fresh.id, State.PENDING),
        ]
        assert await stored_task(broker, first.spec) == first
        assert await stored_task(broker, fresh.spec) == fresh

    async def test_nothing_else_is_restored_over(self, broker: Broker) -> None:
        """Not what has another error or none, has ended well, or lives."""
        reason = "set aside"
        stored = [
            ended(State.ARCHIVED, error="set aside, too"),
            ended(State.DEAD, error="set asid"),
            ended(State.ARCHIVED),
            ended(State.COMPLETED, error=reason),
            a_stored_task(state=State.RETRY, due=NOW + 9, failures=1, error=reason),
            a_stored_task(error=reason),
        ]
        await restore(broker, *stored)
        asked = [TaskSnapshot(a_stored_task(task.spec)) for task in stored]
        answers = await broker.restore(asked, now=NOW, over=reason)
        assert answers == [Conflict(task.id, task.state) for task in stored]
        assert [await seen(broker, task.spec) for task in stored] == [
            (task, DETAILS) for task in stored
        ]

    async def test_what_is_not_stored_is_restored_over_nothing(self, broker: Broker) -> None:
        """`over` says what may be replaced, not what has to be there."""
        task = a_stored_task()
        answers = await broker.restore([TaskSnapshot(task)], now=NOW, over="set aside")
        assert answers == [Restored(task.id, State.PENDING)]

    async def test_what_an_order_has_set_aside_is_put_back(self, broker: Broker) -> None:
        """By its reason: the task is where it was."""
        task = await bring_to(broker, State.SCHEDULED)
        before, details = await seen(broker, task)
        await execute_on(broker, task, Archived("for now"))
        await broker.restore([TaskSnapshot(before, details)], now=NOW, over="for now")
        assert await seen(broker, task) == (before, details)
