"""Cases of `Consumer.claim`: quotas, order, leases."""

from random import Random

import pytest

from qcore.domain.states import State
from qcore.domain.task import Demand, token_floor
from qcore.domain.transitions import Crashed, Failed, Released, Snoozed, Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_demand, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    ids,
    ids_of,
    put,
    stored_task,
    take,
    take_one,
)


class DemandCases(Cases):
    """How many, and from where."""

    # - At most `demand.limit` in all, and that many if so many are to be had.

    async def test_no_more_is_claimed_than_asked_for(self, broker: Broker) -> None:
        """The limit holds over all queues."""
        await put(broker, *some_tasks(5, queue="a"), *some_tasks(5, queue="b"))
        assert len(await take(broker, 7, "a", "b")) == 7
        assert len(await take(broker, 7, "a", "b")) == 3

    async def test_the_last_task_is_claimed_too(self, broker: Broker) -> None:
        """A demand beyond what there is gets all there is."""
        await put(broker, *(tasks := some_tasks(3)))
        assert ids(await take(broker, 100)) == ids_of(tasks)
        assert await take(broker, 100) == []

    # - Each queue's quota first; what room is left from the queues in the order given.

    @pytest.mark.parametrize(
        ("quotas", "limit", "expected"),
        [
            ({"a": 2, "b": 1}, 3, {"a": 2, "b": 1}),
            ({"a": 1, "b": 2}, 3, {"a": 1, "b": 2}),
            ({"a": 1, "b": 1}, 4, {"a": 3, "b": 1}),
            ({"b": 1, "a": 1}, 4, {"b": 3, "a": 1}),
            ({"a": 0, "b": 0}, 3, {"a": 3}),
            ({"a": 0, "b": 0}, 7, {"a": 5, "b": 2}),
            ({"a": 0, "b": 2}, 4, {"a": 2, "b": 2}),
            ({"a": 9, "b": 1}, 10, {"a": 5, "b": 5}),
            ({"empty": 4, "a": 1, "b": 1}, 6, {"a": 5, "b": 1}),
            ({"b": 3}, 4, {"b": 4}),
        ],
    )
    async def test_quotas_come_first_and_then_the_queues_in_order(
        self, broker: Broker, quotas: dict[str, int], limit: int, expected: dict[str, int]
    ) -> None:
        """Five tasks wait in each of two queues; so many of each are claimed."""
        await put(broker, *some_tasks(5, queue="a"), *some_tasks(5, queue="b"))
        claims = await broker.claim(Demand(limit, quotas), now=NOW, until=NOW + 30)
        queues = [claim.task.queue for claim in claims]
        assert {queue: queues.count(queue) for queue in set(queues)} == expected

    # - Within a queue the higher priority first, within one priority first in, first out.

    async def test_within_one_priority_the_first_in_is_the_first_out(self, broker: Broker) -> None:
        """Tasks of one batch and of several come out in the order they went in."""
        tasks = some_tasks(10)
        await put(broker, *tasks[:5])
        for task in tasks[5:]:
            await put(broker, task)
        assert ids(await take(broker)) == ids_of(tasks)

    async def test_the_order_of_ids_does_not_matter(self, broker: Broker) -> None:
        """First in, first out, also where ids sort the other way round."""
        tasks = [a_task(id=name) for name in ("z", "10", "9", "B", "a", "é", "A")]
        await put(broker, *tasks)
        assert ids(await take(broker)) == ids_of(tasks)

    async def test_enqueueing_earlier_by_the_clock_does_not_jump_the_queue(
        self, broker: Broker
    ) -> None:
        """First in is first by arrival: a producer whose clock is behind gains nothing."""
        await put(broker, first := a_task(), now=NOW)
        await put(broker, second := a_task(), now=NOW - 3_600)
        assert ids(await take(broker)) == [first.id, second.id]

    async def test_a_higher_priority_comes_first(self, broker: Broker) -> None:
        """Priorities from the lowest to the highest are kept apart, whatever came first."""
        tasks = [a_task(priority=p) for p in (-1000, -1, 0, 1, 999, 1000)]
        await put(broker, *tasks)
        assert ids(await take(broker)) == ids_of(tasks[::-1])

    @pytest.mark.parametrize("batch", [7, 1_000])
    async def test_a_thousand_random_priorities_come_in_exact_order(
        self, broker: Broker, batch: int
    ) -> None:
        """The order is that of a stable sort by priority, however much is claimed at a time."""
        dice = Random(batch)  # noqa: S311  (test data keep no secrets)
        tasks = [a_task(priority=dice.randint(-1000, 1000)) for _ in range(1_000)]
        await put(broker, *tasks)
        claimed: list[str] = []
        while some := await take(broker, batch):
            claimed += ids(some)
        assert claimed == ids_of(sorted(tasks, key=lambda task: -task.priority))

    # - Only the queues named.

    async def test_other_queues_are_left_alone(self, broker: Broker) -> None:
        """A claim from one queue takes nothing from another, whose name may be much like it."""
        tasks = [a_task(queue=queue) for queue in ("mail", "mail2", "mai", "MAIL", "mail:x")]
        await put(broker, *tasks)
        assert ids(await take(broker, 100, "mail")) == [tasks[0].id]

    # - A limit of zero or an unknown queue is answered with no claims; what is due becomes
    #   pending all the same.

    async def test_a_limit_of_zero_claims_nothing(self, broker: Broker) -> None:
        """No room is answered with no claims, and the task stays."""
        await put(broker, task := a_task())
        assert await take(broker, 0) == []
        assert (await stored_task(broker, task)).state is State.PENDING

    async def test_an_unknown_queue_has_nothing_to_claim(self, broker: Broker) -> None:
        """A queue that never had a task is an empty one, and does not come into being."""
        assert await take(broker, 5, "nowhere") == []
        assert await broker.count() == {}

    async def test_an_unknown_queue_does_not_keep_the_others_from_serving(
        self, broker: Broker
    ) -> None:
        """The tasks of a known queue are claimed beside an unknown one."""
        await put(broker, task := a_task(queue="a"))
        claims = await broker.claim(a_demand(5, nowhere=4, a=1), now=NOW, until=NOW + 30)
        assert ids(claims) == [task.id]

    async def test_a_demand_without_queues_claims_nothing(self, broker: Broker) -> None:
        """No queue is no task."""
        await put(broker, a_task())
        assert await broker.claim(Demand(5, {}), now=NOW, until=NOW + 30) == []


class HandOutCases(Cases):
    """What is handed out."""

    # - A task whose `expires` is `now` or earlier is not handed out: it is dead, "expired".

    async def test_a_task_that_has_run_expires_at_a_claim_too(self, broker: Broker) -> None:
        """Given back or put off, it does not start again when it has expired."""
        for outcome in (Released(), Failed("no", NOW), Snoozed(NOW), Crashed()):
            claim = await a_claimed(broker, a_task(expires=NOW + 5.125, queue="a"))
            await end(broker, claim, outcome)
            assert await take(broker, 1, "a", now=NOW + 5.125) == []
            assert (await stored_task(broker, claim.task.spec)).state is State.DEAD

    async def test_a_task_is_claimed_a_millisecond_before_it_expires(self, broker: Broker) -> None:
        """A task is good until it expires."""
        await put(broker, task := a_task(expires=NOW + 0.5))
        assert ids(await take(broker, now=NOW + 0.499)) == [task.id]

    async def test_an_expired_task_is_not_claimed(self, broker: Broker) -> None:
        """A task that has not started when it expires is dead, and says why."""
        await put(broker, task := a_task(expires=NOW + 0.5))
        assert await take(broker, now=NOW + 0.5) == []
        stored = await stored_task(broker, task)
        assert (stored.state, stored.error) == (State.DEAD, "expired")
        assert (stored.finished, stored.attempts) == (NOW + 0.5, 0)

    @pytest.mark.parametrize("fraction", [0.001, 0.123, 0.999])
    async def test_it_expires_to_the_millisecond(self, broker: Broker, fraction: float) -> None:
        """Neither a claim nor a sweep ends it a millisecond early or late."""
        await put(broker, task := a_task(expires=NOW + fraction))
        early, late = NOW + fraction - 0.001, NOW + fraction
        assert (await broker.sweep(["default"], 10, now=early)).expired == 0
        await end(broker, await take_one(broker, now=early), Released(), now=early)
        assert (await broker.sweep(["default"], 10, now=late)).expired == 1
        assert (await stored_task(broker, task)).finished == late

    async def test_an_expired_task_takes_no_room(self, broker: Broker) -> None:
        """Where expired tasks stand first, as many others are claimed as there is room for."""
        stale, good = some_tasks(5, expires=NOW + 1, priority=1), some_tasks(3)
        await put(broker, *stale, *good)
        assert ids(await take(broker, 3, now=NOW + 1)) == ids_of(good)

    async def test_a_task_that_expired_while_it_was_scheduled_is_not_claimed(
        self, broker: Broker
    ) -> None:
        """A task whose moment comes when it has expired already is dead."""
        await put(broker, task := a_task(due=NOW + 1, expires=NOW + 2))
        assert await take(broker, now=NOW + 2) == []
        assert (await stored_task(broker, task)).error == "expired"

    async def test_a_task_that_started_in_time_does_not_expire(self, broker: Broker) -> None:
        """Once claimed, a task may run past the moment it had to start by."""
        claim = await a_claimed(broker, a_task(expires=NOW + 1, retention=60))
        await broker.sweep(["default"], 10, now=NOW + 2)
        await end(broker, claim, Succeeded(), now=NOW + 3)
        assert (await stored_task(broker, claim.task.spec)).state is State.COMPLETED

    # - Each claim shows the task as active, this attempt counted, and a lease that ends at
    #   `until` with a token greater than any that its queue has given before, even to a task
    #   long gone; and greater than the microseconds of `now` (`token_floor`), so that tokens grow
    #   where a store was restored from a copy.

    async def test_a_claim_shows_the_task_as_active(self, broker: Broker) -> None:
        """The task of a claim is active, with this attempt counted, as `get` shows it."""
        await put(broker, task := a_task())
        claim = await take_one(broker, now=NOW + 1)
        assert claim.task.spec == task
        assert (claim.task.state, claim.task.attempts) == (State.ACTIVE, 1)
        assert (claim.task.created, claim.task.due) == (NOW, NOW)
        assert await stored_task(broker, task) == claim.task

    async def test_a_claim_shows_the_tasks_past(self, broker: Broker) -> None:
        """A worker sees failures, error and attempts of the runs before."""
        first = await a_claimed(broker)
        await end(broker, first, Failed("it was full", again_at=NOW + 5))
        again = (await take_one(broker, now=NOW + 5)).task
        assert (again.attempts, again.failures, again.error) == (2, 1, "it was full")
        assert (again.created, again.due) == (NOW, NOW + 5)

    async def test_a_lease_ends_when_it_was_asked_to(self, broker: Broker) -> None:
        """A lease names its task and its queue, and its end to the last digit."""
        await put(broker, task := a_task(queue="mail"))
        lease = (await take_one(broker, "mail", until=NOW + 12.3456)).lease
        assert (lease.queue, lease.id, lease.until) == ("mail", task.id, NOW + 12.3456)

    async def test_tokens_grow_within_a_batch_and_from_batch_to_batch(self, broker: Broker) -> None:
        """No token is given twice, and each is greater than the last."""
        await put(broker, *some_tasks(9))
        tokens = [c.lease.token for size in (4, 1, 4) for c in await take(broker, size)]
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 9
        assert all(type(token) is int for token in tokens)

    async def test_the_token_of_a_task_grows_from_run_to_run(self, broker: Broker) -> None:
        """Each run of one task has a greater token than the run before."""
        claim = await a_claimed(broker)
        for n in range(1, 5):
            await end(broker, claim, Failed("no", again_at=NOW + n))
            again = await take_one(broker, now=NOW + n)
            assert again.lease.token > claim.lease.token
            claim = again

    async def test_tokens_grow_though_all_tasks_are_long_gone(self, broker: Broker) -> None:
        """A task of the same id in a queue that was empty gets a greater token all the same."""
        task = a_task()
        old = await a_claimed(broker, task)
        await end(broker, old, Succeeded())
        assert await broker.count() == {}
        new = await a_claimed(broker, task)
        assert new.lease.token > old.lease.token

    async def test_tokens_are_greater_than_the_time(self, broker: Broker) -> None:
        """A store that has forgotten its last tokens gives greater ones than those."""
        for queue, now in (("a", NOW), ("b", NOW + 86_400), ("b", NOW + 86_400)):
            await put(broker, a_task(queue=queue))
            token = (await take_one(broker, queue, now=now)).lease.token
            assert token > token_floor(now), f"token {token}, claimed at {now}"

    # - A task is handed out once, however many claim at the same time.

    async def test_a_claimed_task_is_not_handed_out_again(self, broker: Broker) -> None:
        """While a lease is held, and also when it has run out, no other claim gets the task."""
        await a_claimed(broker)
        assert await take(broker) == []
        assert await take(broker, now=NOW + 86_400) == []

    async def test_claims_made_together_hand_each_task_out_once(self, broker: Broker) -> None:
        """Of claims that are made at the same time none gets what another got."""
        tasks = some_tasks(60)
        await put(broker, *tasks)
        batches = await self.together([lambda: take(broker, 10)] * 8)
        claimed = [task for batch in batches for task in ids(batch)]
        assert sorted(claimed) == sorted(ids_of(tasks))
