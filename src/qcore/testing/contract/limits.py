"""`LimitsContract`: the contract of `Limiting`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from threading import Event as Notified

import pytest

from qcore.domain.queue_limits import LimitChange, Limits, Rate, SetInFlight, SetRate
from qcore.domain.states import State
from qcore.domain.transitions import (
    Cancelled,
    Exhausted,
    Failed,
    Rejected,
    Revoked,
    Succeeded,
    Transition,
)
from qcore.ports import Broker, Capability
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import step
from qcore.testing.contract.concurrency_limits import (
    ONE_A_DAY,
    PAUSED,
    RESUMED,
    InFlightCases,
    PauseCases,
    holds,
    kind_of,
    limit,
)
from qcore.testing.contract.rate_limits import TWO_A_SECOND, RateCases
from qcore.testing.contract.steps import (
    end,
    execute_on,
    ids,
    nothing_is_left,
    on_work,
    put,
    sweep_all,
    take,
)
from qcore.testing.contract.threads import twin_of
from qcore.testing.optional_ports import limiting


class LimitsContract(PauseCases, InFlightCases, RateCases):
    """Inherit it with `Capability.LIMITS`: limits of queues."""

    # - The answer is what holds then, the other limits as they were; `limits` tells the same.

    async def test_limits_are_set_one_by_one(self, broker: Broker) -> None:
        """Each leaves the others as they were, and the queues beside it."""
        assert await limit(broker, SetRate(TWO_A_SECOND)) == Limits(TWO_A_SECOND)
        assert await limit(broker, SetInFlight(5)) == Limits(TWO_A_SECOND, 5)
        whole = Limits(TWO_A_SECOND, 5, is_paused=True)
        assert await limit(broker, PAUSED) == whole
        assert await holds(broker) == [whole]
        assert await limit(broker, SetRate(None)) == Limits(None, 5, is_paused=True)
        assert await limit(broker, RESUMED) == Limits(None, 5)
        assert await limit(broker, SetInFlight(None)) == Limits()

    @pytest.mark.parametrize(
        "rate", [Rate(100, 60.0), Rate(1, 86_400.0), Rate(7, 0.1), Rate(1_000_000_000, 86_400.0)]
    )
    async def test_a_rate_comes_back_as_it_was_set(self, broker: Broker, rate: Rate) -> None:
        """To the last digit."""
        await limit(broker, SetRate(rate))
        await limit(broker, SetInFlight(1_000_000_000))
        assert await holds(broker) == [Limits(rate, 1_000_000_000)]

    async def test_limits_of_many_queues_are_told_at_once(self, broker: Broker) -> None:
        """Each at its queue's place, also one that is asked for twice."""
        names = [f"queue-{n}" for n in range(303)]
        for n in (0, 150, 302):
            await limit(broker, SetInFlight(n + 1), queue=names[n])
        found = await holds(broker, *names, names[150])
        expected = [Limits(None, n + 1) if n in {0, 150, 302} else Limits() for n in range(303)]
        assert found == [*expected, Limits(None, 151)]

    async def test_tokens_grow_though_limits_change(self, broker: Broker) -> None:
        """A limit is set beside whatever else is kept of a queue."""
        await put(broker, *some_tasks(2))
        (first,) = await take(broker, 1)
        await limit(broker, PAUSED)
        await limit(broker, RESUMED)
        (second,) = await take(broker, 1)
        assert second.lease.token > first.lease.token

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

    async def test_a_bucket_outlasts_the_tasks(self, broker: Broker) -> None:
        """What was started is not forgotten when the last of them is gone."""
        await limit(broker, ONE_A_DAY)
        await put(broker, a_task())
        await end(broker, (await take(broker))[0], Succeeded())
        await put(broker, a_task())
        assert await take(broker, now=NOW + 86_399) == []
        assert len(await take(broker, now=NOW + 86_400)) == 1

    async def test_a_queue_of_limits_alone_is_no_queue_of_tasks(self, broker: Broker) -> None:
        """It is not counted, has nothing due, and is listed empty."""
        for rule in (ONE_A_DAY, SetInFlight(1), PAUSED):
            await limit(broker, rule, queue="new")
            await nothing_is_left(broker, a_task(queue="new"))
        assert await sweep_all(broker, "new") == await sweep_all(broker, "other")
        for lifted in (SetRate(None), SetInFlight(None), RESUMED):
            await limit(broker, lifted, queue="new")
        assert await holds(broker, "new") == [Limits()]

    async def test_a_limit_that_was_lifted_holds_nothing_back(self, broker: Broker) -> None:
        """All that waits is handed out at once."""
        await put(broker, *some_tasks(9))
        for rule in (ONE_A_DAY, SetInFlight(1), PAUSED):
            await limit(broker, rule)
        for lifted in (SetRate(None), SetInFlight(None), RESUMED):
            assert await take(broker) == []
            await limit(broker, lifted)
        assert len(await take(broker)) == 9

    # - Each answer is at its queue's place; `Limits()` for one that is unknown.

    async def test_each_queue_is_answered_at_its_place(self, broker: Broker) -> None:
        """Those that nothing limits are in between."""
        await limit(broker, SetInFlight(1), queue="a")
        await limit(broker, PAUSED, queue="c")
        paused = Limits(is_paused=True)
        found = await holds(broker, "c", "b", "a", "c")
        assert found == [paused, Limits(), Limits(None, 1), paused]

    # - Sorted by name, each once; also those without tasks, and none whose limits were lifted.

    async def test_the_queues_with_limits_are_listed(self, broker: Broker) -> None:
        """Whether they have tasks or not, by any limit, and as long as one holds."""
        assert list(await limiting(broker).limited_queues()) == []
        await put(broker, a_task(queue="c"), a_task(queue="d"))
        for queue, rule in (("c", PAUSED), ("b", SetInFlight(1)), ("a", SetRate(TWO_A_SECOND))):
            await limit(broker, rule, queue=queue)
        await limit(broker, PAUSED, queue="a")
        assert list(await limiting(broker).limited_queues()) == ["a", "b", "c"]
        await limit(broker, SetInFlight(None), queue="b")
        await limit(broker, SetRate(None), queue="a")
        assert list(await limiting(broker).limited_queues()) == ["a", "c"]
        for queue in ("a", "c"):
            await limit(broker, RESUMED, queue=queue)
        assert list(await limiting(broker).limited_queues()) == []

    # - Where nothing but its rate keeps a queue's pending tasks, the moment at which the next may
    #   start counts too (with `Capability.LIMITS`).

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
        await limit(broker, PAUSED)
        assert await broker.next_due(["default"]) is None

    async def test_a_limit_hides_nothing_that_is_due(self, broker: Broker) -> None:
        """What waits in a paused queue becomes pending in its time, and somebody has to do it."""
        await put(broker, a_task(due=NOW + 5), *some_tasks(2))
        for rule in (SetInFlight(1), ONE_A_DAY, PAUSED):
            await limit(broker, rule)
            await take(broker)
            assert await broker.next_due(["default"]) == NOW + 5

    async def test_the_next_start_of_several_queues_is_the_earliest(self, broker: Broker) -> None:
        """Of those that are asked for."""
        for queue, pace in (("a", 4.0), ("b", 2.0), ("c", 1.0)):
            await put(broker, *some_tasks(2, queue=queue))
            await limit(broker, SetRate(Rate(1, pace)), queue=queue)
        await take(broker, 9, "a", "b", "c")
        assert await broker.next_due(["a", "b"]) == NOW + 2
        assert await broker.next_due(["a", "c", "b"]) == NOW + 1

    # - So it is when something begins to wait in a group that was empty, and when a task that was
    #   active, or a limit that was set, no longer keeps a queue from handing out what it has.

    @pytest.mark.parametrize(
        ("before", "rule"),
        [
            (PAUSED, RESUMED),
            (SetInFlight(1), SetInFlight(2)),
            (SetInFlight(1), SetInFlight(None)),
            (ONE_A_DAY, SetRate(Rate(1, 60.0))),
            (ONE_A_DAY, SetRate(None)),
        ],
    )
    async def test_a_rule_that_lets_more_go_is_heard(
        self, broker: Broker, before: LimitChange, rule: LimitChange
    ) -> None:
        """A worker that sleeps need not wait for a poll."""
        await put(broker, *some_tasks(3))
        await limit(broker, before)
        await take(broker, 1)
        async with self.hears(broker):
            await limit(broker, rule)

    @pytest.mark.parametrize(
        "outcome",
        [Succeeded(), Rejected("no"), Exhausted("no"), Failed("no", NOW + 1e6), Revoked()],
        ids=kind_of,
    )
    async def test_an_end_that_makes_room_is_heard(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """Where as many were active as may be."""
        await put(broker, *some_tasks(3))
        await limit(broker, SetInFlight(1))
        (claim,) = await take(broker)
        async with self.hears(broker):
            await end(broker, claim, outcome)

    async def test_an_order_that_makes_room_is_heard(self, broker: Broker) -> None:
        """Who cancels what runs lets another begin."""
        await put(broker, *some_tasks(3))
        await limit(broker, SetInFlight(1))
        (claim,) = await take(broker)
        async with self.hears(broker):
            await execute_on(broker, claim.task.spec, Cancelled())

    @pytest.mark.parametrize("crashes", [1, 3])
    async def test_a_crash_that_makes_room_is_heard(self, broker: Broker, crashes: int) -> None:
        """Whether the task is dead of it, or waits again."""
        await put(broker, *some_tasks(3, max_crashes=crashes))
        await limit(broker, SetInFlight(1))
        await take(broker)
        async with self.hears(broker):
            await sweep_all(broker, now=NOW + LEASE)

    @asynccontextmanager
    async def hears(self, broker: Broker) -> AsyncGenerator[None, None]:
        """Fail unless who listens hears of what is done meanwhile."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        yield
        assert await self.comes(notified)
        await subscription.close()

    async def test_the_twin_goes_by_the_same_limits(self, broker: Broker) -> None:
        """They are the queue's, not the broker's."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetInFlight(1))
        with twin_of(broker) as twin:
            assert len(step(take(twin))) == 1
            assert await take(broker) == []
            step(limit(twin, SetInFlight(2)))
            step(limit(twin, SetRate(Rate(1, 60.0))))
            assert await holds(broker) == step(holds(twin)) == [Limits(Rate(1, 60.0), 2)]
            assert len(await take(broker)) == 1

    async def test_all_brokers_on_a_store_go_by_the_same_limits(self, broker: Broker) -> None:
        """What one has started the other does not start, whoever set the limit."""
        if Capability.SHARED not in broker.capabilities:
            return
        async with self.opened() as other:
            await put(broker, *some_tasks(20))
            # both know the queue already, as one without limits
            claims = [*await take(broker, 1), *await take(other, 1)]
            await limit(broker, SetRate(Rate(4, 4.0)))
            assert len(await take(other, 3)) == 3
            assert len(await take(broker)) == 1
            assert await take(other, now=NOW + 0.5) == []
            assert await other.next_due(["default"]) == NOW + 1
            await limit(other, SetInFlight(6))
            assert await holds(broker) == [Limits(Rate(4, 4.0), 6)]
            assert await take(broker, now=NOW + 1) == []
            await end(other, claims[0], Succeeded())
            assert ids(await take(broker, now=NOW + 1)) != []
            await limit(other, PAUSED)
            assert await take(broker, now=NOW + 9) == []

    async def test_a_rule_set_at_one_broker_is_heard_at_the_other(self, broker: Broker) -> None:
        """Who resumes a queue may be an operator's program, and those who sleep its workers."""
        if Capability.SHARED not in broker.capabilities:
            return
        async with self.opened() as other:
            await put(broker, *some_tasks(3))
            await limit(broker, PAUSED)
            async with self.hears(other):
                await limit(broker, RESUMED)
            await limit(broker, SetInFlight(1))
            (claim,) = await take(other)
            async with self.hears(other):
                await end(broker, claim, Succeeded())

    async def test_limits_outlive_the_broker(self) -> None:
        """What was set, and how full the bucket was, holds for the next program."""
        async with self.opened() as broker:
            if Capability.DURABLE not in broker.capabilities:
                return
            await put(broker, *some_tasks(9))
            await limit(broker, SetRate(Rate(2, 4.0)))
            await limit(broker, SetInFlight(3))
            await limit(broker, PAUSED, queue="b")
            assert len(await take(broker)) == 2
        async with self.opened() as broker:
            found = await holds(broker, "default", "b")
            assert found == [Limits(Rate(2, 4.0), 3), Limits(is_paused=True)]
            assert await take(broker, now=NOW + 1.5) == []
            assert await broker.next_due(["default"]) == NOW + 2
            assert len(await take(broker, now=NOW + 4)) == 1
            assert (await broker.count())["default"][State.ACTIVE] == 3
