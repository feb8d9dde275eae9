"""What a `Gatherer` promises."""

from collections.abc import Sequence
from threading import Event as Heard
from typing import Final, cast

import pytest
from attrs import evolve

from qcore.domain.errors import InvalidTask
from qcore.domain.groups import Group, Stale
from qcore.domain.lifecycle import (
    Archived,
    Cancelled,
    Deleted,
    Failed,
    Order,
    Rescheduled,
    RunNow,
    State,
    Succeeded,
    advance,
)
from qcore.domain.task import (
    Admission,
    Conflict,
    Duplicate,
    Enqueued,
    Missing,
    Moved,
    NewTask,
    TaskId,
    updated,
)
from qcore.ports import Broker, Gatherer
from qcore.testing.build import NOW, a_task, some_tasks
from qcore.testing.contract.moves import (
    a_claimed,
    end,
    ids,
    ids_of,
    look,
    nothing_is_left,
    put,
    read,
    see,
    take,
    tell,
)
from qcore.testing.contract.table import GroupTableCases

ORDERS: Final[tuple[Order, ...]] = (
    Archived(),
    Cancelled(),
    Deleted(),
    RunNow(),
    Rescheduled(NOW + 9),
    updated(payload=b"new"),
)
ODD: Final = ("a b", "a|b", "{a}", "é", "🦆", "%", "A", "a", "a" * 256, "-", "0", "a\\0")


async def waiting(broker: Broker, *, queue: str = "default", group: str = "g") -> list[TaskId]:
    """Return the members of a group, in order."""
    members = await cast("Gatherer", broker).members(queue, group, 1_000)
    assert {task.state for task in members} <= {State.AGGREGATING}
    return [task.id for task in members]


async def merge(
    broker: Broker, tasks: Sequence[NewTask], into: NewTask, *, group: str = "g"
) -> Admission | Stale:
    """Put one task in the place of members."""
    gatherer = cast("Gatherer", broker)
    return await gatherer.aggregate(into.queue, group, ids_of(tasks), into, now=NOW)


class GroupContract(GroupTableCases):
    """Inherit it with `Capability.GROUPS`: tasks that wait to become one."""

    # - A task due after `now` is scheduled; any other is pending, due now, or aggregating if it
    #   has a group.

    async def test_a_task_of_a_group_waits_in_it(self, broker: Broker) -> None:
        """Nobody claims it, and it is counted and listed where it is."""
        task = a_task(group="g")
        (answer,) = await broker.enqueue([task], now=NOW)
        assert answer == Enqueued(task.id, State.AGGREGATING)
        found = await see(broker, task)
        assert (found.state, found.due, found.spec) == (State.AGGREGATING, NOW, task)
        assert await take(broker, now=NOW + 1e6) == []
        assert await broker.count() == {"default": {State.AGGREGATING: 1}}
        assert [each.id for each in await read(broker, State.AGGREGATING)] == [task.id]

    async def test_a_delayed_task_joins_its_group_at_its_moment(self, broker: Broker) -> None:
        """And not before; its group is not lost on the way."""
        task = a_task(group="g", due=NOW + 9)
        await put(broker, task)
        assert await waiting(broker) == []
        await take(broker, now=NOW + 8.999)
        assert (await see(broker, task)).state is State.SCHEDULED
        await take(broker, now=NOW + 100)
        assert await waiting(broker) == [task.id]
        (group,) = await cast("Gatherer", broker).groups("default", 9)
        assert group == Group("default", "g", 1, NOW + 9, NOW + 9)

    async def test_a_member_that_failed_joins_its_group_again(self, broker: Broker) -> None:
        """One that was run on its own, and is due again, waits with the others."""
        claim = await a_claimed(broker, a_task(group="g"))
        await put(broker, other := a_task(group="g"))
        await end(broker, claim, Failed("no", again_at=NOW + 5))
        assert await waiting(broker) == [other.id]
        await take(broker, now=NOW + 5)
        assert await waiting(broker) == [other.id, claim.task.id]

    # - At most `limit`, those whose names come after `after` (by code points).

    async def test_groups_are_listed_page_by_page(self, broker: Broker) -> None:
        """In the order of their names, each once, whatever they are called."""
        await put(broker, *(a_task(group=name) for name in ODD), a_task(group="b", queue="b"))
        gatherer, found, after = cast("Gatherer", broker), list[str](), ""
        while page := await gatherer.groups("default", 5, after=after):
            assert len(page) <= 5
            found += [group.name for group in page]
            after = found[-1]
        assert found == sorted(ODD)
        assert list(await gatherer.groups("default", 0)) == []
        assert list(await gatherer.groups("nowhere", 9)) == []

    # - Each with the number of its members, and when the first and the last of them were due.

    async def test_a_group_tells_its_size_and_its_span(self, broker: Broker) -> None:
        """Of those who wait in it now."""
        tasks = [a_task(group="g", due=NOW - n) for n in (0, 5, 3)]
        await put(broker, tasks[0])
        for n, task in enumerate(tasks[1:], 1):
            await put(broker, evolve(task, due=None), now=NOW + n)
        gatherer = cast("Gatherer", broker)
        assert list(await gatherer.groups("default", 9)) == [Group("default", "g", 3, NOW, NOW + 2)]
        await tell(broker, tasks[0], Deleted())
        first = Group("default", "g", 2, NOW + 1, NOW + 2)
        assert list(await gatherer.groups("default", 9)) == [first]

    async def test_members_come_in_the_order_of_their_moments(self, broker: Broker) -> None:
        """With all that was asked for."""
        tasks = [a_task(group="g", payload=b"%d" % n, priority=n) for n in range(5)]
        for n in (3, 1, 4, 0, 2):
            await put(broker, tasks[n], now=NOW + n)
        members = await cast("Gatherer", broker).members("default", "g", 4)
        assert [task.spec for task in members] == tasks[:4]
        assert list(await cast("Gatherer", broker).members("default", "other", 4)) == []

    # - At most `limit`.

    async def test_members_are_bounded(self, broker: Broker) -> None:
        """As many as are asked for, and none for none."""
        await put(broker, *some_tasks(7, group="g"))
        for limit in (0, 1, 6):
            assert len(await cast("Gatherer", broker).members("default", "g", limit)) == limit

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
        assert await look(broker, into) is None

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

    async def test_a_task_may_take_the_key_of_a_member(self, broker: Broker) -> None:
        """By replacing it, even under its id."""
        tasks = [a_task(group="g", unique_key="k"), a_task(group="g")]
        await put(broker, *tasks)
        into = a_task(id=tasks[0].id, unique_key="k", on_duplicate="replace")
        assert await merge(broker, tasks, into) == Enqueued(into.id, State.PENDING)
        assert await broker.count() == {"default": {State.PENDING: 1}}
        assert (await see(broker, into)).spec == into

    # - Else the members are gone, and their unique keys free; others of the group stay.

    async def test_the_members_are_gone_and_their_keys_are_free(self, broker: Broker) -> None:
        """The one is there as it was asked for, and those who were not meant wait on."""
        tasks = [a_task(group="g", unique_key=f"k{n}", due=NOW - 1) for n in range(3)]
        await put(broker, *tasks)
        into = a_task(due=NOW + 9, priority=5, retention=60, headers={"a": "b"}, unique_key="all")
        assert await merge(broker, tasks[:2], into) == Enqueued(into.id, State.SCHEDULED)
        assert (await see(broker, into)).spec == into
        assert await waiting(broker) == [tasks[2].id]
        assert [await look(broker, task) for task in tasks[:2]] == [None, None]
        again = [a_task(unique_key=f"k{n}", queue="default") for n in range(3)]
        answers = await broker.enqueue(again, now=NOW)
        assert [type(answer) for answer in answers] == [Enqueued, Enqueued, Duplicate]

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
        assert list(await cast("Gatherer", broker).groups("default", 9)) == []

    # - `task` is of the same queue and of no group, and there are at most 1,000 ids.

    async def test_what_cannot_take_their_place_is_refused(self, broker: Broker) -> None:
        """Before anything is written."""
        gatherer = cast("Gatherer", broker)
        await put(broker, member := a_task(group="g"))
        asked = [member.id]
        with pytest.raises(InvalidTask, match="'b'"):
            await gatherer.aggregate("default", "g", asked, a_task(queue="b"), now=NOW)
        with pytest.raises(InvalidTask, match="group 'h'"):
            await gatherer.aggregate("default", "g", asked, a_task(group="h"), now=NOW)
        with pytest.raises(InvalidTask, match="1,001"):
            await gatherer.aggregate("default", "g", ["x"] * 1_001, a_task(), now=NOW)
        assert await broker.count() == {"default": {State.AGGREGATING: 1}}

    @pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
    async def test_members_obey_orders(self, broker: Broker, order: Order) -> None:
        """The table has a row for them, and the group is without those who have left it."""
        member, other = a_task(group="g", unique_key="k"), a_task(group="g")
        await put(broker, member, other)
        state = advance(await see(broker, member), order)
        assert await tell(broker, member, order) == Moved(state)
        assert (getattr(await look(broker, member), "state", State.GONE)) is state
        stays = [member.id] if state is State.AGGREGATING else []
        assert sorted(await waiting(broker)) == sorted([*stays, other.id])
        if state is State.GONE:
            assert await tell(broker, member, order) == Missing()

    async def test_a_new_group_is_heard(self, broker: Broker) -> None:
        """Who aggregates need not wait for a poll."""
        heard = Heard()
        ear = await broker.listen(["default"], heard.set)
        heard.clear()
        await put(broker, a_task(group="g"))
        assert await self.comes(heard)
        await ear.close()

    async def test_a_group_that_a_claim_begins_is_heard(self, broker: Broker) -> None:
        """A delayed task that joins its group is news too."""
        await put(broker, a_task(group="g", due=NOW + 1))
        heard = Heard()
        ear = await broker.listen(["default"], heard.set)
        heard.clear()
        await take(broker, now=NOW + 1)
        assert await self.comes(heard)
        await ear.close()
