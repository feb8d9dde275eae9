"""Cases of `Limiting` for tasks in flight and for pauses."""

import pytest

from qcore.domain.answers import Settled
from qcore.domain.queue_limits import LimitChange, Limits, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.states import State
from qcore.domain.task import Demand
from qcore.domain.transitions import (
    Cancelled,
    Crashed,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Revoked,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    ids,
    put,
    stored_task,
    sweep_all,
    take,
)
from qcore.testing.optional_ports import limiting

ONE_A_DAY = SetRate(Rate(1, 86_400.0))
PAUSED = SetPaused(is_paused=True)
RESUMED = SetPaused(is_paused=False)
ENDS: tuple[Transition, ...] = (
    Succeeded(),
    Failed("no", NOW + 9),
    Exhausted("no"),
    Rejected("no"),
    Revoked(),
    Snoozed(NOW + 9),
    Released(),
    Crashed(),
    Cancelled(),
)
"""Every verdict there is."""


async def limit(
    broker: Broker, rule: LimitChange, *, queue: str = "default", now: float = NOW
) -> Limits:
    """Set a limit of a queue."""
    return await limiting(broker).set_limit(queue, rule, now=now)


async def holds(broker: Broker, *queues: str) -> list[Limits]:
    """Return what holds for queues."""
    return list(await limiting(broker).limits(queues or ["default"]))


def kind_of(each: object) -> str:
    """Return what to call a parameter of a case."""
    return type(each).__name__


class PauseCases(Cases):
    """Queues that are paused."""

    # - `SetPaused(True)`: nothing is handed out; what is due becomes pending all the same, and
    #   what is active goes on. `SetPaused(False)`: it is handed out again.

    async def test_a_paused_queue_hands_out_nothing(self, broker: Broker) -> None:
        """What runs is settled, what is due is pending, other queues go on."""
        claim = await a_claimed(broker)
        await put(broker, due := a_task(due=NOW + 1), other := a_task(queue="b"))
        await limit(broker, PAUSED)
        assert ids(await take(broker, 9, "default", "b", now=NOW + 1)) == [other.id]
        counts = {State.PENDING: 1, State.ACTIVE: 1}
        assert (await broker.count())["default"] == counts
        assert await broker.next_due(["default"]) is None
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        await limit(broker, RESUMED)
        assert ids(await take(broker, now=NOW + 1)) == [due.id]

    async def test_what_runs_in_a_paused_queue_is_not_lost(self, broker: Broker) -> None:
        """Its lease is renewed, and a retry of it is due in its time, and waits."""
        claim = await a_claimed(broker)
        await limit(broker, PAUSED)
        (lease,) = await broker.extend([claim.lease], until=NOW + 50)
        assert getattr(lease, "until", None) == NOW + 50
        await end(broker, claim, Failed("no", NOW + 60), now=NOW + 40)
        assert await broker.next_due(["default"]) == NOW + 60
        assert await take(broker, now=NOW + 60) == []
        assert (await stored_task(broker, claim.task.spec)).state is State.PENDING
        await limit(broker, RESUMED)
        (again,) = await take(broker, now=NOW + 60)
        assert again.task.attempts == 2

    async def test_a_paused_queue_is_swept(self, broker: Broker) -> None:
        """Lost workers are found, and what expires is dead."""
        await a_claimed(broker)
        await put(broker, late := a_task(expires=NOW + 1))
        await limit(broker, PAUSED)
        swept = await sweep_all(broker, now=NOW + LEASE)
        assert (swept.crashed, swept.expired) == (1, 1)
        assert (await stored_task(broker, late)).state is State.DEAD
        assert await take(broker, now=NOW + LEASE) == []

    async def test_to_pause_twice_is_to_pause_once(self, broker: Broker) -> None:
        """Who resumes need not know how often."""
        await put(broker, task := a_task())
        await limit(broker, PAUSED)
        assert await limit(broker, PAUSED) == Limits(is_paused=True)
        assert await limit(broker, RESUMED) == Limits()
        assert await limit(broker, RESUMED) == Limits()
        assert ids(await take(broker)) == [task.id]

    @pytest.mark.parametrize("rule", [PAUSED, SetInFlight(2), SetRate(Rate(2, 60.0))], ids=kind_of)
    async def test_what_one_queue_may_not_take_another_does(
        self, broker: Broker, rule: LimitChange
    ) -> None:
        """A claim is as large as it may be, though a limited queue has a quota of all of it."""
        await put(broker, *some_tasks(9), *some_tasks(9, queue="b"))
        await limit(broker, rule)
        demand = Demand(6, {"default": 6, "b": 0})
        claims = await broker.claim(demand, now=NOW, until=NOW + LEASE)
        limited = [claim for claim in claims if claim.task.queue == "default"]
        assert (len(claims), len(limited)) == (6, 0 if rule == PAUSED else 2)


class InFlightCases(Cases):
    """How many may be active."""

    # - `SetInFlight(n)`: nothing is handed out that would make more than `n` tasks active.

    async def test_what_is_due_becomes_pending_though_none_may_start(self, broker: Broker) -> None:
        """As where the queue is paused: the limit keeps tasks from being handed out alone."""
        await limit(broker, SetInFlight(1))
        await put(broker, a_task(), task := a_task(due=NOW + 1))
        assert len(await take(broker)) == 1
        assert await take(broker, now=NOW + 1) == []
        assert (await stored_task(broker, task)).state is State.PENDING

    async def test_no_more_are_active_than_may_be(self, broker: Broker) -> None:
        """Whoever claims, and however often; each that ends makes room for one."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetInFlight(3))
        first = await take(broker, 2)
        assert (len(first), len(await take(broker))) == (2, 1)
        assert await take(broker) == []
        await end(broker, first[0], Succeeded())
        assert len(await take(broker)) == 1

    @pytest.mark.parametrize("outcome", ENDS, ids=kind_of)
    async def test_whatever_ends_makes_room(self, broker: Broker, outcome: Transition) -> None:
        """Every verdict does, and for one alone."""
        claim = await a_claimed(broker)
        await put(broker, *some_tasks(2))
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
        await sweep_all(broker, now=NOW + LEASE)
        (claim,) = await take(broker, now=NOW + LEASE)
        await execute_on(broker, claim.task.spec, Cancelled())
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

    async def test_a_quota_and_the_room_left_are_limited_together(self, broker: Broker) -> None:
        """What a queue was given by its quota counts when the rest is given out."""
        await put(broker, *some_tasks(9), *some_tasks(1, queue="b"))
        await limit(broker, SetInFlight(3))
        demand = Demand(9, {"default": 2, "b": 2})
        claims = await broker.claim(demand, now=NOW, until=NOW + LEASE)
        assert sorted(claim.task.queue for claim in claims) == ["b", *["default"] * 3]

    async def test_many_who_claim_at_once_share_it(self, broker: Broker) -> None:
        """However they meet, no more are active than may be."""
        await put(broker, *some_tasks(20))
        await limit(broker, SetInFlight(7))
        shares = await self.together([lambda: take(broker, 3)] * 6)
        assert sum(map(len, shares)) == 7
        assert (await broker.count())["default"] == {State.ACTIVE: 7, State.PENDING: 13}

    async def test_the_expired_take_no_room(self, broker: Broker) -> None:
        """They end, and others run in their place."""
        await put(broker, *some_tasks(3, expires=NOW + 1, priority=9), *some_tasks(3))
        await limit(broker, SetInFlight(2))
        assert len(await take(broker, now=NOW + 1)) == 2
