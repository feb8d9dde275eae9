"""Cases of `Operator.execute` with `Rescheduled` and `Updated`: changes to a waiting task."""

from typing import Any, Final

import pytest
from attrs import evolve

from qcore.domain.answers import Moved, NotAllowed
from qcore.domain.lifecycle import MOVES
from qcore.domain.new_task import FIELDS
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, updated
from qcore.domain.transitions import Cancelled, Rescheduled, RunNow, Updated
from qcore.ports import Broker
from qcore.testing.builders import NOW, TaskOptions, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import LATER, REACHABLE, bring_to, states_allowing
from qcore.testing.contract.steps import (
    browse_all,
    execute_on,
    ids,
    ids_of,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)

MUCH_LATER: Final = LATER + 1_000

CHANGES: Final[tuple[dict[str, Any], ...]] = (
    *(
        {field.name: value}
        for field in FIELDS.values()
        # a task that waits is due later than the examples of its expiry
        if field.is_changeable and field.name != "expires"
        for value in field.examples
    ),
    {"expires": MUCH_LATER + 1},
    {"payload": b"\0new", "content_type": "x/y"},
    {"max_retry": 0, "max_crashes": 9, "backoff": "fixed:1"},
    {"headers": {}},
)
"""Changes of each field that may be changed, and some at once."""


class RescheduleCases(Cases):
    """Another moment."""

    # - `Rescheduled` makes it due at its moment, later or earlier, in its state: one that was
    #   pending or aggregating is scheduled.

    @pytest.mark.parametrize("state", states_allowing(Rescheduled))
    @pytest.mark.parametrize("moment", [MUCH_LATER, NOW + 1, NOW - 1_000])
    async def test_a_task_is_due_at_its_new_moment(
        self, broker: Broker, state: State, moment: float
    ) -> None:
        """Not a millisecond before it; and the rest of it is as it was."""
        task = await bring_to(broker, state, a_task(unique_key=None))
        before = await stored_task(broker, task)
        after = State.SCHEDULED if state is State.PENDING else state
        assert await execute_on(broker, task, Rescheduled(moment)) == Moved(after)
        assert await stored_task(broker, task) == evolve(before, state=after, due=moment)
        assert await broker.next_due(["default"]) == moment
        assert await take(broker, now=moment - 0.001) == []
        assert ids(await take(broker, now=moment)) == [task.id]

    async def test_a_rescheduled_task_takes_its_turn(self, broker: Broker) -> None:
        """Between those that are due before and after."""
        tasks = [a_task(due=NOW + n) for n in (10, 20, 30)]
        await put(broker, *tasks)
        await execute_on(broker, tasks[0], Rescheduled(NOW + 25))
        found = ids(await take(broker, now=NOW + 60))
        assert found == [tasks[1].id, tasks[0].id, tasks[2].id]

    async def test_a_task_put_off_past_its_expiry_is_dead(self, broker: Broker) -> None:
        """It could not start in time."""
        await put(broker, task := a_task(expires=NOW + 10))
        await execute_on(broker, task, Rescheduled(NOW + 20))
        assert await take(broker, now=NOW + 20) == []
        await sweep_all(broker, now=NOW + 20)
        assert (await stored_task(broker, task)).state is State.DEAD

    async def test_a_running_task_keeps_its_time(self, broker: Broker) -> None:
        """It cannot be rescheduled, nor what has ended."""
        for state in (State.ACTIVE, State.COMPLETED, State.ARCHIVED, State.DEAD):
            task = await bring_to(broker, state)
            before = await stored_task(broker, task)
            assert await execute_on(broker, task, Rescheduled(LATER)) == NotAllowed(state)
            assert await stored_task(broker, task) == before


class UpdateCases(Cases):
    """Other wishes."""

    # - `Updated` changes what was asked for, and leaves the task where it is; a pending one of
    #   another priority goes behind those of that priority.

    async def test_a_change_of_another_option_moves_no_task(self, broker: Broker) -> None:
        """It keeps its place among those of its priority, also where that is given again."""
        tasks = [a_task(priority=3) for _ in range(3)]
        await put(broker, *tasks)
        await execute_on(broker, tasks[0], updated(payload=b"new", priority=3))
        assert [claim.task.id for claim in await take(broker)] == [task.id for task in tasks]

    async def test_a_task_that_is_named_twice_is_changed_once(self, broker: Broker) -> None:
        """By the second time it is as it should be: it keeps its place."""
        first, second = a_task(priority=-1), a_task(priority=-2)
        await put(broker, first, second)
        named = [first.id, second.id, first.id]
        answers = await broker.execute("default", named, updated(priority=0), now=NOW)
        assert list(answers) == [Moved(State.PENDING)] * 3
        assert [claim.task.id for claim in await take(broker)] == [first.id, second.id]

    async def test_a_dead_task_that_is_changed_is_kept_as_long(self) -> None:
        """Its time began when it ended."""
        async with self.opened(RetentionPolicy(age=100.0)) as broker:
            await put(broker, task := a_task())
            await execute_on(broker, task, Cancelled())
            await execute_on(broker, task, updated(payload=b"new"), now=NOW + 50)
            assert (await sweep_all(broker, now=NOW + 99)).trimmed == 0
            assert (await sweep_all(broker, now=NOW + 101)).trimmed == 1

    @pytest.mark.parametrize("state", states_allowing(Updated))
    async def test_what_was_changed_comes_back(self, broker: Broker, state: State) -> None:
        """So does what was not; the task is where it was."""
        wish: TaskOptions = {
            "expires": MUCH_LATER,
            "headers": {"a": "b"},
            "payload": b"old",
            "retention": 60,
        }
        for number, changes in enumerate(CHANGES, start=1):
            task = await bring_to(broker, state, a_task(**wish))
            before = await stored_task(broker, task)
            assert await execute_on(broker, task, updated(**changes)) == Moved(state)
            after = evolve(before, spec=evolve(before.spec, **changes))
            assert await stored_task(broker, task) == after, changes
            listed = [each.id for each in await browse_all(broker, state)]
            assert (listed.count(task.id), len(listed)) == (1, number)

    @pytest.mark.parametrize("state", [s for s in REACHABLE if Updated not in MOVES[s]], ids=str)
    async def test_what_runs_or_is_done_is_not_changed(self, broker: Broker, state: State) -> None:
        """It would be too late."""
        task = await bring_to(broker, state)
        before = await stored_task(broker, task)
        assert await execute_on(broker, task, updated(payload=b"new")) == NotAllowed(state)
        assert await stored_task(broker, task) == before

    async def test_a_task_of_another_priority_goes_behind_its_equals(self, broker: Broker) -> None:
        """Those that have waited at that priority come first; the same priority keeps the place."""
        other, low, high = a_task(), a_task(), a_task(priority=5)
        await put(broker, other, low, high)
        await execute_on(broker, low, updated(priority=5))
        await execute_on(broker, other, updated(priority=0))
        assert [each.id for each in await browse_all(broker, State.PENDING)] == [
            high.id,
            low.id,
            other.id,
        ]
        assert ids(await take(broker)) == [high.id, low.id, other.id]

    async def test_a_new_expiry_holds(self, broker: Broker) -> None:
        """An earlier one, a later one, one that was none and one that is none."""
        tasks = [a_task(expires=expires) for expires in (NOW + 50, NOW + 10, None, NOW + 10)]
        await put(broker, *tasks)
        for task, expires in zip(tasks, (NOW + 10, NOW + 50, NOW + 10, None), strict=True):
            await execute_on(broker, task, updated(expires=expires))
        assert (await sweep_all(broker, now=NOW + 20)).expired == 2
        assert ids(await take(broker, now=NOW + 30)) == [tasks[1].id, tasks[3].id]

    async def test_a_dead_task_is_mended_and_run(self, broker: Broker) -> None:
        """With the payload that it should have had."""
        task = await bring_to(broker, State.DEAD, a_task(payload=b"bad"))
        await execute_on(broker, task, updated(payload=b"good", max_retry=1))
        await execute_on(broker, task, RunNow())
        claim = await take_one(broker)
        assert (claim.task.spec.payload, claim.task.spec.max_retry) == (b"good", 1)

    async def test_many_are_changed_at_once(self, broker: Broker) -> None:
        """Each as it can be, with an answer at its place, and nothing is left in the end."""
        tasks = [a_task() for _ in range(150)]
        await put(broker, *tasks)
        answers = await broker.execute("default", ids_of(tasks), updated(priority=3), now=NOW)
        assert list(answers) == [Moved(State.PENDING)] * 150
        answers = await broker.execute("default", ids_of(tasks), Rescheduled(LATER), now=NOW)
        assert list(answers) == [Moved(State.SCHEDULED)] * 150
        claims = await take(broker, 150, now=LATER)
        assert {claim.task.spec.priority for claim in claims} == {3}
