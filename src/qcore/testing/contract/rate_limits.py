"""Cases of `Limiting` for rates: how many tasks a queue may start in a time."""

from random import Random

import pytest

from qcore.domain.queue_limits import Rate, SetInFlight, SetRate
from qcore.domain.states import State
from qcore.domain.task import Demand
from qcore.domain.transitions import Failed, Released, Snoozed, Succeeded, Transition
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.concurrency_limits import ONE_A_DAY, PAUSED, RESUMED, kind_of, limit
from qcore.testing.contract.steps import a_claimed, end, ids, ids_of, put, sweep_all, take

TWO_A_SECOND = Rate(2, 1.0)
UNEVEN = (Rate(3, 1.0), Rate(7, 0.1), Rate(100, 60.0), Rate(1, 0.3), Rate(1_000, 3_600.0))
"""Their paces are no sums of powers of two."""


class RateCases(Cases):
    """So many at once, and so many in a time."""

    # - `SetRate(rate)`: tasks are handed out as `Rate` says, whoever claims them, from a bucket
    #   that is full now; the rate that holds already, set again, does not fill it. What is dead,
    #   "expired", takes nothing from it, and what comes back puts nothing into it. It is never
    #   emptier than empty: if an earlier claim's clock was ahead, the next one stores when a bucket
    #   that is empty now would be full.

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

    @pytest.mark.parametrize("rate", UNEVEN, ids=str)
    async def test_every_claim_has_as_many_as_the_rate_says(
        self, broker: Broker, rate: Rate
    ) -> None:
        """Over hundreds of claims, at any moments, of any size."""
        dice = Random(rate.count)  # noqa: S311  (test data keep no secrets)
        await limit(broker, SetRate(rate))
        now, full = NOW, NOW
        for n in range(200):
            now += dice.choice((0.0, rate.pace, dice.random() * rate.per, 2.5 * rate.pace))
            if n % 20 == 0:
                # never fewer than one claim after another may take
                await put(broker, *some_tasks(100), now=NOW)
            wanted = dice.choice((1, 2, 5))
            taken = min(wanted, rate.left(full, now))
            assert len(await take(broker, wanted, now=now)) == taken, f"claim {n}"
            full = rate.after(full, now, taken) if taken else full

    @pytest.mark.parametrize("rate", UNEVEN, ids=str)
    async def test_the_moment_that_is_told_is_the_very_moment(
        self, broker: Broker, rate: Rate
    ) -> None:
        """Who sleeps until then finds one to claim, and who comes before finds none."""
        await put(broker, *some_tasks(rate.count + 25))
        await limit(broker, SetRate(rate))
        assert len(await take(broker, 2_000)) == rate.count
        for _ in range(25):
            due = await broker.next_due(["default"])
            assert due is not None
            assert await take(broker, now=due - rate.pace / 4) == []
            assert len(await take(broker, now=due)) == 1

    async def test_all_who_claim_share_a_rate(self, broker: Broker) -> None:
        """A quota counts, and so does what room is left."""
        await put(broker, *some_tasks(9), *some_tasks(9, queue="b"))
        await limit(broker, SetRate(Rate(4, 1.0)))
        demand = Demand(8, {"default": 1, "b": 2})
        claims = await broker.claim(demand, now=NOW, until=NOW + LEASE)
        assert [claim.task.queue for claim in claims].count("default") == 4
        assert len(claims) == 8
        assert {c.task.queue for c in await take(broker, 9, "default", "b")} == {"b"}

    async def test_many_who_claim_at_once_share_a_rate(self, broker: Broker) -> None:
        """However they meet, no more are started than may be."""
        await put(broker, *some_tasks(20))
        await limit(broker, SetRate(Rate(7, 7.0)))
        shares = await self.together([lambda: take(broker, 3)] * 6)
        assert sum(map(len, shares)) == 7
        assert await broker.next_due(["default"]) == NOW + 1

    async def test_each_queue_has_a_bucket_of_its_own(self, broker: Broker) -> None:
        """What one has started is not taken from the other's."""
        await put(broker, *some_tasks(9), *some_tasks(9, queue="b"))
        await limit(broker, SetRate(TWO_A_SECOND))
        await limit(broker, SetRate(Rate(3, 1.5)), queue="b")
        claims = await take(broker, 18, "default", "b")
        assert sorted(claim.task.queue for claim in claims) == [*"bbb", *["default"] * 2]
        assert [await broker.next_due([queue]) for queue in ("default", "b")] == [NOW + 0.5] * 2

    async def test_the_same_rate_again_does_not_fill_it(self, broker: Broker) -> None:
        """A program may set it whenever it starts; another rate begins anew."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetRate(TWO_A_SECOND))
        assert len(await take(broker)) == 2
        await limit(broker, SetRate(Rate(2, 1)))
        await limit(broker, SetInFlight(9))
        assert await take(broker) == []
        await limit(broker, SetRate(Rate(3, 1.0)))
        assert len(await take(broker)) == 3

    async def test_a_rate_that_was_lifted_begins_anew(self, broker: Broker) -> None:
        """What ran without one is not made up for, nor what ran before."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetRate(TWO_A_SECOND))
        assert len(await take(broker)) == 2
        await limit(broker, SetRate(None))
        assert len(await take(broker, 3)) == 3
        await limit(broker, SetRate(TWO_A_SECOND))
        assert len(await take(broker)) == 2

    async def test_a_clock_that_was_a_day_ahead_costs_one_period(self, broker: Broker) -> None:
        """A bucket is never emptier than empty: once the clock is mended it fills as ever."""
        await put(broker, *some_tasks(20))
        await limit(broker, SetRate(Rate(4, 2.0)))
        assert len(await take(broker, now=NOW + 86_400)) == 4
        assert await take(broker, now=NOW) == []
        assert await broker.next_due(["default"]) == NOW + 0.5
        assert len(await take(broker, now=NOW + 2)) == 4

    async def test_a_pause_stops_no_clock(self, broker: Broker) -> None:
        """The bucket fills meanwhile, and is no fuller than full."""
        await put(broker, *some_tasks(9))
        await limit(broker, SetRate(TWO_A_SECOND))
        assert len(await take(broker)) == 2
        await limit(broker, PAUSED)
        assert await take(broker, now=NOW + 0.5) == []
        await limit(broker, RESUMED, now=NOW + 0.5)
        assert len(await take(broker, now=NOW + 0.5)) == 1
        assert len(await take(broker, now=NOW + 9)) == 2

    async def test_what_expired_takes_nothing(self, broker: Broker) -> None:
        """A start is a start; where none can start the bucket stays as full as it was."""
        await put(broker, *some_tasks(3, expires=NOW + 1), *some_tasks(4))
        await limit(broker, SetRate(TWO_A_SECOND))
        assert len(await take(broker, now=NOW + 1)) == 2
        assert await take(broker, now=NOW + 1.25) == []
        assert len(await take(broker, now=NOW + 1.5)) == 1

    async def test_a_claim_that_finds_nothing_takes_nothing(self, broker: Broker) -> None:
        """However many look in vain, the next burst is whole."""
        await limit(broker, SetRate(Rate(4, 4.0)))
        for n in range(9):
            assert await take(broker, now=NOW + n / 4) == []
        await put(broker, *some_tasks(9))
        assert len(await take(broker, now=NOW + 2.25)) == 4

    @pytest.mark.parametrize(
        "outcome", [Released(), Snoozed(NOW), Failed("no", NOW), Succeeded()], ids=kind_of
    )
    async def test_what_comes_back_puts_nothing_back(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """A start is a start."""
        await limit(broker, ONE_A_DAY)
        claim = await a_claimed(broker)
        await put(broker, a_task())
        await end(broker, claim, outcome)
        assert await take(broker) == []
        assert len(await take(broker, now=NOW + 86_400)) == 1

    async def test_a_worker_that_is_lost_puts_nothing_back(self, broker: Broker) -> None:
        """Its task waits for the next start as any other."""
        await limit(broker, ONE_A_DAY)
        await a_claimed(broker)
        await sweep_all(broker, now=NOW + LEASE)
        assert await take(broker, now=NOW + LEASE) == []
        assert (await broker.count())["default"] == {State.PENDING: 1}

    async def test_a_rate_keeps_the_order(self, broker: Broker) -> None:
        """By priority, then by age."""
        tasks = [a_task(), a_task(priority=5), a_task(), a_task(priority=5)]
        await put(broker, *tasks)
        await limit(broker, SetRate(Rate(1, 1.0)))
        found = [i for n in range(4) for i in ids(await take(broker, now=NOW + n))]
        assert found == ids_of([tasks[1], tasks[3], tasks[0], tasks[2]])

    async def test_a_rate_and_how_many_run_hold_together(self, broker: Broker) -> None:
        """The narrower of the two at each moment; what the other keeps takes nothing."""
        await put(broker, *some_tasks(20))
        await limit(broker, SetRate(Rate(4, 4.0)))
        await limit(broker, SetInFlight(3))
        claims = await take(broker)
        assert len(claims) == 3
        for claim in claims:
            await end(broker, claim, Succeeded())
        # one was left of the first four
        assert len(await take(broker)) == 1
        assert len(await take(broker, now=NOW + 1)) == 1
        assert len(await take(broker, now=NOW + 9)) == 1
        assert await take(broker, now=NOW + 99) == []
