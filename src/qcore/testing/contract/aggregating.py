"""Cases of `Aggregating.aggregate`."""

from threading import Event as Notified

import pytest
from attrs import evolve

from qcore.domain.answers import Conflict, Duplicate, Enqueued
from qcore.domain.errors import InvalidTask
from qcore.domain.groups import Stale
from qcore.domain.queue_limits import SetPaused
from qcore.domain.run_details import Details
from qcore.domain.states import State
from qcore.domain.transitions import Exhausted, Failed, Succeeded
from qcore.ports import Broker, limiting_of
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.joining import merge, waiting
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    find_task,
    ids,
    ids_of,
    nothing_is_left,
    on_work,
    put,
    stored_task,
    take,
)
from qcore.testing.optional_ports import aggregating


class AggregateCases(Cases):
    """One task in the place of many."""

    # - `Stale` unless all of `ids` wait in that group, and there is one at least; then nothing is
    #   written. So of two who aggregate the same members one does.

    async def test_of_two_who_aggregate_the_same_one_does(self, broker: Broker) -> None:
        """The other is told, and adds nothing."""
        await put(broker, *(tasks := some_tasks(3, group="g")))
        first, second = a_task(), a_task()
        assert await merge(broker, tasks, first) == Enqueued(first.id, State.PENDING)
        assert await merge(broker, tasks, second) == Stale()
        assert ids(await take(broker)) == [first.id]

    @pytest.mark.parametrize("odd", ["other", "pending", "gone", "elsewhere", "none"])
    async def test_who_does_not_wait_there_spoils_it(self, broker: Broker, odd: str) -> None:
        """One that is missing, of another group, queue or state: nothing is written."""
        await put(broker, member := a_task(group="g"))
        odds = {
            "other": a_task(group="h"),
            "pending": a_task(),
            "gone": a_task(group="g"),
            "elsewhere": a_task(group="g", queue="b"),
        }
        if odd not in {"gone", "none"}:
            await put(broker, odds[odd])
        before = await broker.count()
        asked = [] if odd == "none" else [member, odds[odd]]
        assert await merge(broker, asked, into := a_task()) == Stale()
        assert await broker.count() == before
        assert await find_task(broker, into) is None

    async def test_a_member_named_twice_is_one(self, broker: Broker) -> None:
        """All who were named wait, and are gone."""
        await put(broker, member := a_task(group="g"))
        assert await merge(broker, [member, member], into := a_task()) == Enqueued(
            into.id, State.PENDING
        )
        assert await broker.count() == {"default": {State.PENDING: 1}}

    @pytest.mark.parametrize("taken", ["id", "key"])
    async def test_who_is_too_late_hears_nothing_else(self, broker: Broker, taken: str) -> None:
        """Whether the task would have been admitted is no question then."""
        await put(broker, other := a_task(unique_key="k"))
        into = a_task(id=other.id) if taken == "id" else a_task(unique_key="k")
        assert await merge(broker, [a_task()], into) == Stale()

    async def test_of_two_groups_with_a_member_in_common_one_is_made(self, broker: Broker) -> None:
        """One who is too late for a single one of them leaves the others."""
        await put(broker, *(tasks := some_tasks(5, group="g")))
        assert isinstance(await merge(broker, tasks[:3], a_task()), Enqueued)
        assert await merge(broker, tasks[2:], a_task()) == Stale()
        assert sorted(await waiting(broker)) == sorted(ids_of(tasks[3:]))

    async def test_many_who_aggregate_at_once_do_it_once(self, broker: Broker) -> None:
        """However they meet."""
        await put(broker, *(tasks := some_tasks(20, group="g")))
        made = some_tasks(6)
        answers = await self.together([lambda t=t: merge(broker, tasks, t) for t in made])  # type: ignore[misc]
        assert sum(isinstance(answer, Enqueued) for answer in answers) == 1
        assert await broker.count() == {"default": {State.PENDING: 1}}

    # - The task is admitted as by `enqueue` while its members are there; where that answers
    #   `Conflict` or `Duplicate`, so does this, and nothing is written.

    async def test_a_task_that_is_refused_leaves_the_members(self, broker: Broker) -> None:
        """For its id, or for its unique key; a member's too."""
        tasks = [a_task(group="g", unique_key="mine"), a_task(group="g")]
        await put(broker, *tasks, taken := a_task(unique_key="k"))
        before = await broker.count()
        assert await merge(broker, tasks, a_task(id=taken.id)) == Conflict(taken.id, State.PENDING)
        into = a_task(unique_key="k")
        assert await merge(broker, tasks, into) == Duplicate(taken.id, State.PENDING)
        into = a_task(unique_key="mine")
        assert await merge(broker, tasks, into) == Duplicate(tasks[0].id, State.AGGREGATING)
        assert await broker.count() == before
        assert await waiting(broker) == ids_of(tasks)

    async def test_a_task_cannot_have_the_id_of_a_member(self, broker: Broker) -> None:
        """It lives while the task is admitted."""
        await put(broker, *(tasks := some_tasks(2, group="g")))
        into = a_task(id=tasks[1].id)
        assert await merge(broker, tasks, into) == Conflict(into.id, State.AGGREGATING)
        assert sorted(await waiting(broker)) == sorted(ids_of(tasks))

    @pytest.mark.parametrize("retention", [0.0, 60.0])
    async def test_a_task_may_have_the_id_of_one_that_ended(
        self, broker: Broker, retention: float
    ) -> None:
        """As any new one may."""
        claim = await a_claimed(broker, a_task(retention=retention))
        await end(broker, claim, Succeeded(b"1") if retention else Exhausted("no"))
        await put(broker, *(tasks := some_tasks(2, group="g")))
        into = a_task(id=claim.task.id, payload=b"new")
        assert await merge(broker, tasks, into) == Enqueued(into.id, State.PENDING)
        found = await stored_task(broker, into)
        assert (found.spec, found.result, found.error) == (into, None, None)

    async def test_a_task_may_take_the_place_of_another_besides(self, broker: Broker) -> None:
        """Of one that waits elsewhere, or in the group and was not named."""
        held, left = a_task(unique_key="a"), a_task(unique_key="b", group="g")
        await put(broker, *(tasks := some_tasks(4, group="g")), held, left)
        for n, key in enumerate("ab"):
            into = a_task(unique_key=key, on_duplicate="replace")
            merged = await merge(broker, tasks[2 * n :][:2], into)
            assert merged == Enqueued(into.id, State.PENDING)
        assert await broker.count() == {"default": {State.PENDING: 2}}
        assert [await find_task(broker, task) for task in (held, left)] == [None, None]

    async def test_a_task_that_runs_keeps_its_key(self, broker: Broker) -> None:
        """It is not replaced, and the members wait on."""
        claim = await a_claimed(broker, a_task(unique_key="k"))
        await put(broker, *(tasks := some_tasks(2, group="g")))
        into = a_task(unique_key="k", on_duplicate="replace")
        assert await merge(broker, tasks, into) == Duplicate(claim.task.id, State.ACTIVE)
        assert sorted(await waiting(broker)) == sorted(ids_of(tasks))

    async def test_a_task_may_take_the_key_of_a_member(self, broker: Broker) -> None:
        """By replacing it, even under its id."""
        tasks = [a_task(group="g", unique_key="k"), a_task(group="g")]
        await put(broker, *tasks)
        into = a_task(id=tasks[0].id, unique_key="k", on_duplicate="replace")
        assert await merge(broker, tasks, into) == Enqueued(into.id, State.PENDING)
        assert await broker.count() == {"default": {State.PENDING: 1}}
        assert (await stored_task(broker, into)).spec == into

    # - Else the members are gone, and their unique keys free; others of the group stay.

    async def test_the_members_are_gone_and_their_keys_are_free(self, broker: Broker) -> None:
        """The one is there as it was asked for, and those who were not meant wait on."""
        tasks = [a_task(group="g", unique_key=f"k{n}", due=NOW - 1) for n in range(3)]
        await put(broker, *tasks)
        into = a_task(due=NOW + 9, priority=5, retention=60, headers={"a": "b"}, unique_key="all")
        assert await merge(broker, tasks[:2], into) == Enqueued(into.id, State.SCHEDULED)
        assert (await stored_task(broker, into)).spec == into
        assert await waiting(broker) == [tasks[2].id]
        assert [await find_task(broker, task) for task in tasks[:2]] == [None, None]
        again = [a_task(unique_key=f"k{n}", queue="default") for n in range(3)]
        answers = await broker.enqueue(again, now=NOW)
        assert [type(answer) for answer in answers] == [Enqueued, Enqueued, Duplicate]

    async def test_those_elsewhere_stay_who_are_called_the_same(self, broker: Broker) -> None:
        """An id is of its queue."""
        here, there = a_task(group="g"), a_task(group="g", queue="b")
        there = evolve(there, id=here.id)
        await put(broker, here, there)
        assert isinstance(await merge(broker, [here], a_task()), Enqueued)
        assert await waiting(broker, queue="b") == [there.id]
        assert await find_task(broker, here) is None

    async def test_nothing_is_kept_of_a_member(self, broker: Broker) -> None:
        """A task that takes its id afterwards begins with nothing."""
        claim = await a_claimed(broker, a_task(group="g", retention=60))
        await end(broker, claim, Failed("no", NOW))
        await take(broker)
        assert isinstance(await merge(broker, [claim.task.spec], into := a_task()), Enqueued)
        await put(broker, fresh := a_task(id=claim.task.id))
        found = await stored_task(broker, fresh)
        assert (found.attempts, found.failures, found.error) == (0, 0, None)
        assert await broker.details("default", [fresh.id]) == [Details()]
        assert ids(await take(broker)) == [into.id, fresh.id]

    async def test_members_become_one_in_a_paused_queue(self, broker: Broker) -> None:
        """It waits for the queue to go on."""
        await put(broker, *(tasks := some_tasks(2, group="g")))
        limiting = limiting_of(broker)
        if limiting is not None:
            await limiting.set_limit("default", SetPaused(is_paused=True), now=NOW)
            assert isinstance(await merge(broker, tasks, a_task()), Enqueued)
            assert await take(broker) == []
            assert await broker.count() == {"default": {State.PENDING: 1}}

    @pytest.mark.parametrize("due", [None, NOW + 9])
    async def test_what_they_become_is_heard(self, broker: Broker, due: float | None) -> None:
        """Who claims wakes up for it, or for its moment."""
        await put(broker, *(tasks := some_tasks(2, group="g")))
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await merge(broker, tasks, a_task(due=due))
        assert await self.comes(notified)
        await subscription.close()

    async def test_a_thousand_become_one_and_leave_nothing(self, broker: Broker) -> None:
        """As many as may be."""
        tasks = some_tasks(1_000, group="g")
        for start in range(0, 1_000, 100):
            await put(broker, *tasks[start : start + 100])
        into = a_task()
        assert await merge(broker, tasks, into) == Enqueued(into.id, State.PENDING)
        (claim,) = await take(broker)
        await end(broker, claim, Succeeded())
        await nothing_is_left(broker, tasks[0], into)
        assert list(await aggregating(broker).groups("default", 9)) == []

    # - `task` is of the same queue and of no group, and there are at most 1,000 ids.

    async def test_what_cannot_take_their_place_is_refused(self, broker: Broker) -> None:
        """Before anything is written."""
        gatherer = aggregating(broker)
        await put(broker, member := a_task(group="g"))
        asked = [member.id]
        with pytest.raises(InvalidTask, match="'b'"):
            await gatherer.aggregate("default", "g", asked, a_task(queue="b"), now=NOW)
        with pytest.raises(InvalidTask, match="group 'h'"):
            await gatherer.aggregate("default", "g", asked, a_task(group="h"), now=NOW)
        with pytest.raises(InvalidTask, match="1,001"):
            await gatherer.aggregate("default", "g", ["x"] * 1_001, a_task(), now=NOW)
        assert await broker.count() == {"default": {State.AGGREGATING: 1}}
