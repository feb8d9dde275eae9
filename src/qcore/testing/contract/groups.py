"""`GroupContract`: the contract of `Aggregating`."""

from threading import Event as Notified
from typing import Any, Final

import pytest
from attrs import evolve

from qcore.domain.answers import Duplicate, Enqueued, Missing, Moved
from qcore.domain.groups import Group
from qcore.domain.lifecycle import advance
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import updated
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Command,
    Deleted,
    Rejected,
    Rescheduled,
    RunNow,
)
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_stored_task, a_task, some_tasks
from qcore.testing.contract.aggregating import AggregateCases
from qcore.testing.contract.joining import JoinCases, listed, merge, waiting
from qcore.testing.contract.lifecycle_table import GroupTableCases
from qcore.testing.contract.steps import (
    end,
    execute_on,
    find_task,
    on_work,
    put,
    stored_task,
    take,
)
from qcore.testing.contract.task_examples import all_examples, comes_back, comes_out, examples
from qcore.testing.contract.tokens import AggregateTokenCases
from qcore.testing.optional_ports import aggregating

ORDERS: Final[tuple[Command, ...]] = (
    Archived(),
    Cancelled(),
    Deleted(),
    RunNow(),
    Rescheduled(NOW + 9),
    updated(payload=b"new"),
)
ODD: Final = (
    *("a b", "a|b", "{a}", "é", "e\u0301", "🦆", "\uff5e", "%", "A", "a", "a" * 256, "🦆" * 256),
    *("-", "0", "a\\0", " a", "a ", "'a'", "a:b", "a*", "[a]", "None"),
)


class GroupContract(GroupTableCases, JoinCases, AggregateCases, AggregateTokenCases):
    """Inherit it with `Capability.GROUPS`: tasks that wait to become one."""

    # - One that was aggregating waits in its group again.

    async def test_a_restored_member_waits_in_its_group(self, broker: Broker) -> None:
        """Beside those that are there, by the moment at which it was due; and is heard of."""
        there = a_task(group="a | b")
        woken = Notified()
        subscription = await on_work(broker, ["default"], woken.set)
        member = a_stored_task(
            a_task(group="a | b"), state=State.AGGREGATING, created=NOW - 60, due=NOW - 30.125
        )
        await broker.restore([TaskSnapshot(member)], now=NOW)
        assert await self.comes(woken)
        await subscription.close()
        await put(broker, there)
        assert await stored_task(broker, member.spec) == member
        group = Group("default", "a | b", 2, NOW - 30.125, NOW)
        assert list(await aggregating(broker).groups("default", 9)) == [group]
        found = await aggregating(broker).members("default", "a | b", 9)
        assert [task.id for task in found] == [member.id, there.id]
        asked = [member.id, there.id]
        await aggregating(broker).aggregate("default", "a | b", asked, a_task(), now=NOW)
        assert await broker.count() == {"default": {State.PENDING: 1}}

    async def test_a_member_that_is_to_run_is_restored_so(self, broker: Broker) -> None:
        """One that an operator has run, or that was claimed, does not go back to its group."""
        task = a_stored_task(a_task(group="a"), attempts=1)
        await broker.restore([TaskSnapshot(task)], now=NOW)
        assert await stored_task(broker, task.spec) == task
        assert list(await aggregating(broker).groups("default", 9)) == []

    # - At most `limit`, those whose names come after `after` (by code points).

    async def test_groups_are_listed_page_by_page(self, broker: Broker) -> None:
        """In the order of their names, each once, whatever they are called."""
        await put(broker, *(a_task(group=name) for name in ODD), a_task(group="b", queue="b"))
        gatherer, found, after = aggregating(broker), list[str](), ""
        while page := await gatherer.groups("default", 5, after=after):
            assert len(page) <= 5
            found += [group.name for group in page]
            after = found[-1]
        assert found == sorted(ODD)
        assert list(await gatherer.groups("default", 0)) == []
        assert await listed(broker, queue="nowhere") == []

    async def test_pages_of_groups_and_members_may_be_large(self, broker: Broker) -> None:
        """A limit above what there is shows it all."""
        names = [f"{n:04}" for n in range(1_003)]
        await put(broker, *(a_task(group=name) for name in names))
        await put(broker, *(members := some_tasks(1_003, group="g")))
        gatherer = aggregating(broker)
        found = await gatherer.groups("default", 2_000)
        assert [group.name for group in found] == [*names, "g"]
        assert [task.id for task in await gatherer.members("default", "g", 2_000)] == [
            task.id for task in members
        ]
        assert found[-1].size == len(members)
        assert len(await gatherer.groups("default", 250)) == 250
        assert len(await gatherer.members("default", "g", 250)) == 250

    async def test_a_page_begins_after_any_name(self, broker: Broker) -> None:
        """One that is no group's, too."""
        await put(broker, *(a_task(group=name) for name in "bdf"))
        for after, found in (("a", "bdf"), ("b", "df"), ("c", "df"), ("b\u0301", "df"), ("f", "")):
            assert "".join(each.name for each in await listed(broker, after=after)) == found

    async def test_a_group_may_have_any_name(self, broker: Broker) -> None:
        """Its members are found by it, and become one, and none of another that is like it."""
        tasks = {name: a_task(group=name) for name in ODD}
        await put(broker, *tasks.values())
        for n, (name, task) in enumerate(tasks.items(), 1):
            assert (await stored_task(broker, task)).spec.group == name
            assert await waiting(broker, group=name) == [task.id]
            into = a_task()
            assert await merge(broker, [task], into, group=name) == Enqueued(into.id, State.PENDING)
            assert len(await listed(broker)) == len(ODD) - n

    # - Each with the number of its members, and when the first and the last of them were due.

    async def test_a_group_tells_its_size_and_its_span(self, broker: Broker) -> None:
        """Of those who wait in it now."""
        tasks = [a_task(group="g", due=NOW - n) for n in (0, 5, 3)]
        await put(broker, tasks[0])
        for n, task in enumerate(tasks[1:], 1):
            await put(broker, evolve(task, due=None), now=NOW + n)
        assert await listed(broker) == [Group("default", "g", 3, NOW, NOW + 2)]
        await execute_on(broker, tasks[0], Deleted())
        assert await listed(broker) == [Group("default", "g", 2, NOW + 1, NOW + 2)]
        await execute_on(broker, tasks[2], Deleted())
        assert await listed(broker) == [Group("default", "g", 1, NOW + 1, NOW + 1)]
        await execute_on(broker, tasks[1], Deleted())
        assert await listed(broker) == []

    async def test_members_come_in_the_order_of_their_moments(self, broker: Broker) -> None:
        """With all that was asked for."""
        tasks = [a_task(group="g", payload=b"%d" % n, priority=n) for n in range(5)]
        for n in (3, 1, 4, 0, 2):
            await put(broker, tasks[n], now=NOW + n)
        members = await aggregating(broker).members("default", "g", 4)
        assert [task.spec for task in members] == tasks[:4]
        assert await waiting(broker, group="other") == []
        assert await waiting(broker, queue="other") == []
        assert await listed(broker) == [Group("default", "g", 5, NOW, NOW + 4)]

    @pytest.mark.parametrize("asked", examples(Capability.GROUPS))
    async def test_a_member_comes_back_unchanged(
        self, broker: Broker, asked: dict[str, Any]
    ) -> None:
        """Shown as it was asked for, as a member and by itself, and handed out so."""
        task = await comes_back(broker, {**all_examples("due", "expires"), **asked})
        members = await aggregating(broker).members(task.queue, task.group or "", 1)
        assert [member.spec for member in members] == [task]
        await execute_on(broker, task, RunNow())
        await comes_out(broker, task)

    # - At most `limit`.

    async def test_members_are_bounded(self, broker: Broker) -> None:
        """As many as are asked for, and none for none."""
        await put(broker, *some_tasks(7, group="g"))
        for limit in (0, 1, 6):
            assert len(await aggregating(broker).members("default", "g", limit)) == limit

    @pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
    async def test_members_obey_orders(self, broker: Broker, order: Command) -> None:
        """The table has a row for them, and the group is without those who have left it."""
        member, other = a_task(group="g", unique_key="k"), a_task(group="g")
        await put(broker, member, other)
        state = advance(await stored_task(broker, member), order)
        assert await execute_on(broker, member, order) == Moved(state)
        assert (getattr(await find_task(broker, member), "state", State.GONE)) is state
        stays = [member.id] if state is State.AGGREGATING else []
        assert sorted(await waiting(broker)) == sorted([*stays, other.id])
        if state is State.GONE:
            assert await execute_on(broker, member, order) == Missing()

    @pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
    async def test_the_last_who_leaves_takes_the_group(
        self, broker: Broker, order: Command
    ) -> None:
        """A group is its members: an empty one is not listed."""
        await put(broker, member := a_task(group="g"))
        before = await stored_task(broker, member)
        await execute_on(broker, member, order)
        assert len(await listed(broker)) == (advance(before, order) is State.AGGREGATING)

    async def test_a_member_that_is_run_now_is_claimed(self, broker: Broker) -> None:
        """On its own, and the others of its group are not."""
        member, other = a_task(group="g"), a_task(group="g")
        await put(broker, member, other)
        assert await execute_on(broker, member, RunNow()) == Moved(State.PENDING)
        (claim,) = await take(broker)
        assert claim.task.spec == member
        await end(broker, claim, Rejected("no"))
        assert await waiting(broker) == [other.id]

    async def test_a_member_that_is_rescheduled_joins_again(self, broker: Broker) -> None:
        """At its new moment, and at the end if that is the latest."""
        member, other = a_task(group="g"), a_task(group="g")
        await put(broker, member)
        await put(broker, other, now=NOW + 1)
        await execute_on(broker, member, Rescheduled(NOW + 5))
        assert await waiting(broker) == [other.id]
        assert await broker.next_due(["default"]) == NOW + 5
        await take(broker, now=NOW + 5)
        assert await waiting(broker) == [other.id, member.id]

    async def test_a_task_has_its_key_when_it_joins_its_group(self, broker: Broker) -> None:
        """It lives, though nobody claims it."""
        if Capability.UNIQUE not in broker.capabilities:
            return
        await put(broker, first := a_task(group="g", unique_key="k", due=NOW + 1))
        await take(broker, now=NOW + 1)
        assert await waiting(broker) == [first.id]
        answers = await broker.enqueue([a_task(unique_key="k")], now=NOW + 2)
        assert list(answers) == [Duplicate(first.id, State.AGGREGATING)]

    async def test_a_member_that_is_changed_keeps_its_place(self, broker: Broker) -> None:
        """Its priority too is no matter of the group."""
        await put(broker, member := a_task(group="g"))
        await put(broker, other := a_task(group="g", priority=5), now=NOW + 1)
        await execute_on(broker, member, updated(priority=-9, payload=b"new"))
        await execute_on(broker, other, updated(priority=9))
        assert await waiting(broker) == [member.id, other.id]
        found = await stored_task(broker, member)
        assert (found.spec.payload, found.spec.priority, found.due) == (b"new", -9, NOW)
        assert await listed(broker) == [Group("default", "g", 2, NOW, NOW + 1)]

    async def test_a_new_group_is_heard(self, broker: Broker) -> None:
        """Who aggregates need not wait for a poll."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await put(broker, a_task(group="g"))
        assert await self.comes(notified)
        await subscription.close()

    async def test_a_group_that_a_claim_begins_is_heard(self, broker: Broker) -> None:
        """A delayed task that joins its group is news too."""
        await put(broker, a_task(group="g", due=NOW + 1))
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await take(broker, now=NOW + 1)
        assert await self.comes(notified)
        await subscription.close()

    async def test_groups_are_those_of_the_store(self, broker: Broker) -> None:
        """What waits by one broker becomes one by another, and once."""
        if Capability.SHARED not in broker.capabilities:
            return
        async with self.opened() as other:
            await put(broker, first := a_task(group="g"))
            await put(other, second := a_task(group="g"), now=NOW + 1)
            assert await waiting(broker) == await waiting(other) == [first.id, second.id]
            made = some_tasks(2)
            calls = [lambda: merge(broker, [first, second], made[0])]
            calls += [lambda: merge(other, [first, second], made[1])]
            answers = await self.together(calls)
            assert sum(isinstance(answer, Enqueued) for answer in answers) == 1
            assert await listed(broker) == await listed(other) == []

    async def test_groups_outlive_the_broker(self) -> None:
        """Who waited for the others waits for them in the next program."""
        async with self.opened() as broker:
            if Capability.DURABLE not in broker.capabilities:
                return
            await put(broker, first := a_task(group="g"), a_task(group="g", due=NOW + 9))
            before = [await listed(broker), await waiting(broker), await stored_task(broker, first)]
        async with self.opened() as broker:
            after = [await listed(broker), await waiting(broker), await stored_task(broker, first)]
            assert after == before
            await take(broker, now=NOW + 9)
            assert await listed(broker) == [Group("default", "g", 2, NOW, NOW + 9)]
