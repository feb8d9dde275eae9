"""What a `Regulator` promises."""

from threading import Event as Heard
from typing import cast

import pytest

from qcore.domain.flow import Limits, Rate, Rule, SetInFlight, SetPaused, SetRate
from qcore.domain.lifecycle import (
    Cancelled,
    Event,
    Failed,
    Rejected,
    Released,
    Snoozed,
    State,
    Succeeded,
)
from qcore.domain.task import Demand, Settled
from qcore.ports import Broker, Regulator
from qcore.testing.build import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases, step
from qcore.testing.contract.moves import (
    a_claimed,
    end,
    ids,
    ids_of,
    nothing_is_left,
    put,
    take,
    tell,
    tidy,
)

TWO_A_SECOND = Rate(2, 1.0)


async def limit(broker: Broker, rule: Rule, *, queue: str = "default", now: float = NOW) -> Limits:
    """Set a limit of a queue."""
    return await cast("Regulator", broker).regulate(queue, rule, now=now)


async def holds(broker: Broker, *queues: str) -> list[Limits]:
    """Return what holds for queues."""
    return list(await cast("Regulator", broker).limits(queues or ["default"]))


class FlowContract(Cases):
    """Inherit it with `Capability.FLOW`: limits of queues."""

    # - The answer is what holds then, the other limits as they were; `limits` tells the same.

    async def test_limits_are_set_one_by_one(self, broker: Broker) -> None:
        """Each leaves the others as they were, and the queues beside it."""
        assert await limit(broker, SetRate(TWO_A_SECOND)) == Limits(TWO_A_SECOND)
        assert await limit(broker, SetInFlight(5)) == Limits(TWO_A_SECOND, 5)
        whole = Limits(TWO_A_SECOND, 5, is_paused=True)
        assert await limit(broker, SetPaused(is_paused=True)) == whole
        assert await holds(broker) == [whole]
        assert await limit(broker, SetRate(None)) == Limits(None, 5, is_paused=True)
        assert await limit(broker, SetPaused(is_paused=False)) == Limits(None, 5)
        assert await limit(broker, SetInFlight(None)) == Limits()

    @pytest.mark.parametrize("rate", [Rate(100, 60.0), Rate(1, 86_400.0), Rate(7, 0.1)])
    async def test_a_rate_comes_back_as_it_was_set(self, broker: Broker, rate: Rate) -> None:
        """To the last digit."""
        await limit(broker, SetRate(rate))
        assert await holds(broker) == [Limits(rate)]

    # - `SetPaused(True)`: nothing is handed out; what is due becomes pending all the same, and
    #   what is active goes on. `SetPaused(False)`: it is handed out again.

    async def test_a_paused_queue_hands_out_nothing(self, broker: Broker) -> None:
        """What runs is settled, what is due is pending, other queues go on."""
        claim = await a_claimed(broker)
        await put(broker, due := a_task(due=NOW + 1), other := a_task(queue="b"))
        await limit(broker, SetPaused(is_paused=True))
        assert ids(await take(broker, 9, "default", "b", now=NOW + 1)) == [other.id]
        counts = {State.PENDING: 1, State.ACTIVE: 1}
        assert (await broker.count())["default"] == counts
        assert await broker.next_due(["default"]) is None
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        await limit(broker, SetPaused(is_paused=False))
        assert ids(await take(broker, now=NOW + 1)) == [due.id]

    # - `SetInFlight(n)`: nothing is handed out that would make more than `n` tasks active.

    async def test_no_more_are_active_than_may_be(self, broker: Broker) -> None:
        """Whoever claims, and however often; each that ends makes room for one."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetInFlight(3))
        first = await take(broker, 2)
        assert (len(first), len(await take(broker))) == (2, 1)
        assert await take(broker) == []
        await end(broker, first[0], Succeeded())
        assert len(await take(broker)) == 1

    @pytest.mark.parametrize(
        "outcome",
        [Succeeded(), Failed("no", NOW + 9), Rejected("no"), Snoozed(NOW + 9), Released()],
        ids=str,
    )
    async def test_whatever_ends_makes_room(self, broker: Broker, outcome: Event) -> None:
        """Every verdict does."""
        claim = await a_claimed(broker)
        await put(broker, a_task())
        await limit(broker, SetInFlight(1))
        assert await take(broker) == []
        await end(broker, claim, outcome)
        assert len(await take(broker)) == 1

    async def test_a_crash_and_an_order_make_room(self, broker: Broker) -> None:
        """The task of a lost worker counts until its lease is over."""
        await put(broker, *some_tasks(4))
        await limit(broker, SetInFlight(1))
        (claim,) = await take(broker)
        assert await take(broker, now=NOW + LEASE) == []
        await tidy(broker, now=NOW + LEASE)
        (claim,) = await take(broker, now=NOW + LEASE)
        await tell(broker, claim.task.spec, Cancelled())
        assert len(await take(broker, now=NOW + LEASE)) == 1

    async def test_fewer_than_run_add_none(self, broker: Broker) -> None:
        """What runs goes on; none is added until there are fewer."""
        await put(broker, *some_tasks(5))
        claims = await take(broker, 3)
        await limit(broker, SetInFlight(2))
        for n, claim in enumerate(claims[:2]):
            assert await take(broker) == [], n
            await end(broker, claim, Succeeded())
        assert len(await take(broker)) == 1

    # - `SetRate(rate)`: tasks are handed out as `Rate` says, whoever claims them, from a bucket
    #   that is full now; the rate that holds already, set again, does not fill it. What is dead,
    #   "expired", takes nothing from it, and what comes back puts nothing into it.

    async def test_a_rate_is_a_burst_and_a_pace(self, broker: Broker) -> None:
        """As many as it says at once, and then one each time that one is due."""
        await put(broker, *some_tasks(20))
        await limit(broker, SetRate(Rate(4, 2.0)))
        assert len(await take(broker)) == 4
        for n in range(1, 6):
            start = NOW + n * 0.5
            assert await broker.next_due(["default"]) == start
            assert await take(broker, now=start - 0.001) == []
            assert len(await take(broker, now=start)) == 1
        # two seconds later it is full, and not fuller
        assert len(await take(broker, now=NOW + 60)) == 4

    async def test_all_who_claim_share_a_rate(self, broker: Broker) -> None:
        """A quota counts, and so does what room is left."""
        await put(broker, *some_tasks(9), *some_tasks(9, queue="b"))
        await limit(broker, SetRate(Rate(4, 1.0)))
        demand = Demand(8, {"default": 1, "b": 2})
        claims = await broker.claim(demand, now=NOW, until=NOW + LEASE)
        assert [claim.task.queue for claim in claims].count("default") == 4
        assert len(claims) == 8
        assert {c.task.queue for c in await take(broker, 9, "default", "b")} == {"b"}

    async def test_the_same_rate_again_does_not_fill_it(self, broker: Broker) -> None:
        """A program may set it whenever it starts; another rate begins anew."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetRate(TWO_A_SECOND))
        assert len(await take(broker)) == 2
        await limit(broker, SetRate(TWO_A_SECOND))
        await limit(broker, SetInFlight(9))
        assert await take(broker) == []
        await limit(broker, SetRate(Rate(3, 1.0)))
        assert len(await take(broker)) == 3

    async def test_expired_tasks_take_nothing_and_those_put_back_give_nothing(
        self, broker: Broker
    ) -> None:
        """A start is a start."""
        await put(broker, *some_tasks(3, expires=NOW + 1), *some_tasks(4))
        await limit(broker, SetRate(TWO_A_SECOND))
        claims = await take(broker, now=NOW + 1)
        assert len(claims) == 2
        for claim in claims:
            await end(broker, claim, Released(), now=NOW + 1)
        assert await take(broker, now=NOW + 1) == []

    async def test_a_rate_keeps_the_order(self, broker: Broker) -> None:
        """By priority, then by age."""
        tasks = [a_task(), a_task(priority=5), a_task(), a_task(priority=5)]
        await put(broker, *tasks)
        await limit(broker, SetRate(Rate(1, 1.0)))
        found = [i for n in range(4) for i in ids(await take(broker, now=NOW + n))]
        assert found == ids_of([tasks[1], tasks[3], tasks[0], tasks[2]])

    # - None lifts a limit. Limits last while the queue is empty; without any, nothing is left.

    async def test_limits_outlast_the_tasks(self, broker: Broker) -> None:
        """They are there before the first and after the last, until they are lifted."""
        await limit(broker, SetInFlight(1), queue="new")
        await put(broker, *(tasks := some_tasks(2, queue="new")))
        for _ in tasks:
            (claim,) = await take(broker, 9, "new")
            await end(broker, claim, Succeeded())
        assert await holds(broker, "new") == [Limits(None, 1)]
        await limit(broker, SetInFlight(None), queue="new")
        assert await holds(broker, "new") == [Limits()]
        await nothing_is_left(broker, *tasks)

    # - Each answer is at its queue's place; `Limits()` for one that is unknown.

    async def test_each_queue_is_answered_at_its_place(self, broker: Broker) -> None:
        """Those that nothing limits are in between."""
        await limit(broker, SetInFlight(1), queue="a")
        await limit(broker, SetPaused(is_paused=True), queue="c")
        paused = Limits(is_paused=True)
        assert await holds(broker, "c", "b", "a", "c") == [
            paused,
            Limits(),
            Limits(None, 1),
            paused,
        ]

    # - Where nothing but its rate keeps a queue's pending tasks, the moment at which the next may
    #   start counts too (with `Capability.FLOW`).

    async def test_the_next_start_is_a_moment_due(self, broker: Broker) -> None:
        """Beside those of waiting tasks; not of a queue that is empty, paused or full."""
        await limit(broker, SetRate(TWO_A_SECOND))
        assert await broker.next_due(["default"]) is None
        await put(broker, *some_tasks(3), a_task(due=NOW + 0.25))
        await take(broker)
        assert await broker.next_due(["default"]) == NOW + 0.25
        await take(broker, now=NOW + 0.25)
        assert await broker.next_due(["default"]) == NOW + 0.5
        await limit(broker, SetInFlight(2))
        assert await broker.next_due(["default"]) is None
        await limit(broker, SetInFlight(None))
        await limit(broker, SetPaused(is_paused=True))
        assert await broker.next_due(["default"]) is None

    # - So it is when something begins to wait in a group that was empty, and when a task that
    #   was active, or a rule that was set, no longer keeps a queue from handing out what it has.

    @pytest.mark.parametrize("rule", [SetPaused(is_paused=False), SetInFlight(2), SetRate(None)])
    async def test_a_rule_that_lets_more_go_is_heard(self, broker: Broker, rule: Rule) -> None:
        """A worker that sleeps need not wait for a poll."""
        before: dict[type, Rule] = {
            SetPaused: SetPaused(is_paused=True),
            SetInFlight: SetInFlight(1),
            SetRate: SetRate(Rate(1, 3_600.0)),
        }
        await put(broker, *some_tasks(3))
        await limit(broker, before[type(rule)])
        await take(broker, 1)
        heard = Heard()
        ear = await broker.listen(["default"], heard.set)
        heard.clear()
        await limit(broker, rule)
        assert await self.comes(heard)
        await ear.close()

    @pytest.mark.parametrize("outcome", [Succeeded(), Rejected("no")], ids=str)
    async def test_an_end_that_makes_room_is_heard(self, broker: Broker, outcome: Event) -> None:
        """Where as many were active as may be."""
        await put(broker, *some_tasks(3))
        await limit(broker, SetInFlight(1))
        (claim,) = await take(broker)
        heard = Heard()
        ear = await broker.listen(["default"], heard.set)
        heard.clear()
        await end(broker, claim, outcome)
        assert await self.comes(heard)
        await ear.close()

    async def test_the_twin_goes_by_the_same_limits(self, broker: Broker) -> None:
        """They are the queue's, not the broker's."""
        await put(broker, *some_tasks(3))
        await limit(broker, SetInFlight(1))
        twin = broker.blocking()
        if twin is not broker:
            step(twin.open())
        assert len(step(take(twin))) == 1
        assert await take(broker) == []
        if twin is not broker:
            step(twin.close())
