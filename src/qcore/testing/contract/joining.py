"""Cases of `Aggregating` for tasks that join a group and leave it."""

from collections.abc import Sequence
from threading import Event as Notified

from qcore.domain.answers import Admission, Enqueued
from qcore.domain.groups import Group, Stale
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.transitions import Failed, Released, Snoozed, Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    ids,
    ids_of,
    on_work,
    put,
    stored_task,
    take,
)
from qcore.testing.optional_ports import aggregating


async def waiting(broker: Broker, *, queue: str = "default", group: str = "g") -> list[TaskId]:
    """Return the members of a group, in order."""
    members = await aggregating(broker).members(queue, group, 1_000)
    assert {task.state for task in members} <= {State.AGGREGATING}
    return [task.id for task in members]


async def merge(
    broker: Broker, tasks: Sequence[NewTask], into: NewTask, *, group: str = "g"
) -> Admission | Stale:
    """Put one task in the place of members."""
    gatherer = aggregating(broker)
    return await gatherer.aggregate(into.queue, group, ids_of(tasks), into, now=NOW)


async def listed(broker: Broker, *, queue: str = "default", after: str = "") -> list[Group]:
    """Return the groups of a queue."""
    return list(await aggregating(broker).groups(queue, 100, after=after))


class JoinCases(Cases):
    """Tasks of a group that are due."""

    # - A task due after `now` is scheduled; any other is pending, due now, or aggregating if it
    #   has a group.

    async def test_a_task_of_a_group_waits_in_it(self, broker: Broker) -> None:
        """Nobody claims it, and it is counted and listed where it is."""
        task = a_task(group="g")
        (answer,) = await broker.enqueue([task], now=NOW)
        assert answer == Enqueued(task.id, State.AGGREGATING)
        found = await stored_task(broker, task)
        assert (found.state, found.due, found.spec) == (State.AGGREGATING, NOW, task)
        assert await take(broker, now=NOW + 1e6) == []
        assert await broker.count() == {"default": {State.AGGREGATING: 1}}
        assert [each.id for each in await browse_all(broker, State.AGGREGATING)] == [task.id]

    async def test_a_delayed_task_joins_its_group_at_its_moment(self, broker: Broker) -> None:
        """And not before; its group is not lost on the way."""
        task = a_task(group="g", due=NOW + 9)
        await put(broker, task)
        assert await waiting(broker) == []
        await take(broker, now=NOW + 8.999)
        assert (await stored_task(broker, task)).state is State.SCHEDULED
        await take(broker, now=NOW + 100)
        assert await waiting(broker) == [task.id]
        assert await listed(broker) == [Group("default", "g", 1, NOW + 9, NOW + 9)]

    async def test_a_member_that_comes_late_has_its_own_place(self, broker: Broker) -> None:
        """Its moment counts, however late a claim came upon it."""
        await put(broker, early := a_task(group="g", due=NOW + 9))
        await put(broker, first := a_task(group="g"))
        await put(broker, last := a_task(group="g"), now=NOW + 50)
        await take(broker, now=NOW + 100)
        assert await waiting(broker) == [first.id, early.id, last.id]
        assert await listed(broker) == [Group("default", "g", 3, NOW, NOW + 50)]

    async def test_a_moment_that_has_passed_is_now(self, broker: Broker) -> None:
        """Nobody joins a group before it was enqueued."""
        await put(broker, a_task(group="g", due=NOW - 60))
        assert await listed(broker) == [Group("default", "g", 1, NOW, NOW)]

    async def test_one_batch_may_go_anywhere(self, broker: Broker) -> None:
        """Each task of it is where it belongs."""
        tasks = [a_task(), a_task(group="g"), a_task(group="h"), a_task(group="g", due=NOW + 1)]
        answers = await broker.enqueue(tasks, now=NOW)
        assert [getattr(answer, "state", None) for answer in answers] == [
            State.PENDING,
            State.AGGREGATING,
            State.AGGREGATING,
            State.SCHEDULED,
        ]
        counts = {State.PENDING: 1, State.AGGREGATING: 2, State.SCHEDULED: 1}
        assert await broker.count() == {"default": counts}

    async def test_what_follows_a_success_may_wait_in_a_group(self, broker: Broker) -> None:
        """It is enqueued as any other."""
        claim = await a_claimed(broker)
        notified = Notified()
        subscription = await on_work(broker, ["b"], notified.set)
        notified.clear()
        task = a_task(group="g", queue="b")
        await end(broker, claim, Succeeded(then=(task,)))
        assert await self.comes(notified)
        assert await waiting(broker, queue="b") == [task.id]
        await subscription.close()

    async def test_a_member_that_failed_joins_its_group_again(self, broker: Broker) -> None:
        """One that was run on its own, and is due again, waits with the others."""
        claim = await a_claimed(broker, a_task(group="g"))
        await put(broker, other := a_task(group="g"))
        await end(broker, claim, Failed("no", again_at=NOW + 5))
        assert await waiting(broker) == [other.id]
        await take(broker, now=NOW + 5)
        assert await waiting(broker) == [other.id, claim.task.id]

    async def test_a_member_that_is_put_off_joins_its_group_again(self, broker: Broker) -> None:
        """At the moment for which it was snoozed, as often as it is."""
        claim = await a_claimed(broker, a_task(group="g"))
        await end(broker, claim, Snoozed(NOW + 5))
        await take(broker, now=NOW + 5)
        assert await listed(broker) == [Group("default", "g", 1, NOW + 5, NOW + 5)]
        assert (await stored_task(broker, claim.task.spec)).attempts == 1

    async def test_a_member_that_is_given_back_runs_on_its_own(self, broker: Broker) -> None:
        """Who had it run at once need not order it again."""
        claim = await a_claimed(broker, a_task(group="g"))
        await end(broker, claim, Released())
        assert ids(await take(broker)) == [claim.task.id]
        assert await listed(broker) == []

    async def test_the_next_member_is_a_moment_due(self, broker: Broker) -> None:
        """Those who wait are not: nobody can claim them."""
        await put(broker, a_task(group="g"), a_task(group="g", due=NOW + 9))
        assert await broker.next_due(["default"]) == NOW + 9
        await take(broker, now=NOW + 9)
        assert await broker.next_due(["default"]) is None

    async def test_a_member_has_its_id_and_its_key(self, broker: Broker) -> None:
        """Nobody else takes either while it waits."""
        await put(broker, task := a_task(group="g"))
        (answer,) = await broker.enqueue([a_task(id=task.id)], now=NOW)
        assert getattr(answer, "state", None) is State.AGGREGATING
        assert await waiting(broker) == [task.id]
