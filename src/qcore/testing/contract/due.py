"""Cases of `Consumer.claim` for moments: due, expired, to the millisecond."""

import pytest

from qcore.domain.states import State
from qcore.domain.transitions import Failed, Snoozed
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    ids,
    ids_of,
    put,
    stored_task,
    take,
)


class DueCases(Cases):
    """Moments come."""

    # - Scheduled and retrying tasks of these queues whose moment is `now` or earlier become
    #   pending first (at most 1,000 a queue a call), in the order of their moments; none earlier
    #   than its moment, to the millisecond.

    async def test_a_scheduled_task_is_claimed_at_its_moment(self, broker: Broker) -> None:
        """A task is due at its moment, not after it."""
        await put(broker, task := a_task(due=NOW + 10.001))
        assert ids(await take(broker, now=NOW + 10.001)) == [task.id]

    @pytest.mark.parametrize("delay", [0.001, 0.002, 0.5, 0.999, 1.0, 1.001, 59.999, 86_400.001])
    async def test_a_scheduled_task_is_never_a_millisecond_early(
        self, broker: Broker, delay: float
    ) -> None:
        """A millisecond before its moment a task cannot be claimed; nothing rounds it away."""
        await put(broker, task := a_task(due=NOW + delay))
        assert await take(broker, now=NOW + delay - 0.001) == []
        assert (await stored_task(broker, task)).state is State.SCHEDULED
        assert ids(await take(broker, now=NOW + delay)) == [task.id]

    @pytest.mark.parametrize("outcome", [Failed("no", NOW + 0.25), Snoozed(NOW + 0.25)])
    async def test_a_task_put_off_is_never_a_millisecond_early(
        self, broker: Broker, outcome: Failed | Snoozed
    ) -> None:
        """A retry and a snooze are as exact as a schedule."""
        claim = await a_claimed(broker)
        await end(broker, claim, outcome)
        assert await take(broker, now=NOW + 0.249) == []
        assert ids(await take(broker, now=NOW + 0.25)) == [claim.task.id]

    async def test_due_tasks_come_in_the_order_of_their_moments(self, broker: Broker) -> None:
        """Within one priority the task that was due first is claimed first."""
        last, first, second = a_task(due=NOW + 3), a_task(due=NOW + 1), a_task(due=NOW + 2)
        await put(broker, last, first, second)
        assert ids(await take(broker, now=NOW + 9)) == ids_of([first, second, last])

    async def test_retrying_and_scheduled_tasks_share_one_order(self, broker: Broker) -> None:
        """A retry due before a scheduled task comes before it."""
        claim = await a_claimed(broker)
        await put(broker, early := a_task(due=NOW + 1), late := a_task(due=NOW + 3))
        await end(broker, claim, Failed("no", again_at=NOW + 2))
        assert ids(await take(broker, now=NOW + 9)) == [early.id, claim.task.id, late.id]

    async def test_due_tasks_go_behind_those_already_pending(self, broker: Broker) -> None:
        """First in the queue, first out: a task whose moment comes queues up."""
        await put(broker, due := a_task(due=NOW + 1), waiting := a_task())
        assert ids(await take(broker, now=NOW + 1)) == [waiting.id, due.id]

    async def test_what_is_due_becomes_pending_without_room(self, broker: Broker) -> None:
        """A worker that has no room finds what has come due before it has."""
        await put(broker, task := a_task(due=NOW + 1))
        assert await take(broker, 0, now=NOW + 1) == []
        assert (await stored_task(broker, task)).state is State.PENDING
        assert await broker.next_due(["default"]) is None

    async def test_due_tasks_keep_their_priority(self, broker: Broker) -> None:
        """A due task of high priority overtakes pending ones of a lower."""
        await put(broker, low := a_task(), high := a_task(due=NOW + 1, priority=5))
        assert ids(await take(broker, now=NOW + 1)) == [high.id, low.id]

    async def test_due_tasks_become_pending_even_if_there_is_no_room_for_them(
        self, broker: Broker
    ) -> None:
        """Every due task of the queues is pending after a claim, also those not handed out."""
        await put(broker, high := a_task(priority=1), low := a_task(due=NOW + 1))
        assert ids(await take(broker, 1, now=NOW + 1)) == [high.id]
        stored = await stored_task(broker, low)
        assert (stored.state, stored.due) == (State.PENDING, NOW + 1)

    async def test_moments_of_other_queues_are_left_alone(self, broker: Broker) -> None:
        """A claim makes nothing pending in a queue that it does not name."""
        await put(broker, other := a_task(queue="other", due=NOW + 1))
        await take(broker, now=NOW + 9)
        assert (await stored_task(broker, other)).state is State.SCHEDULED

    async def test_a_claim_makes_at_most_a_thousand_tasks_of_a_queue_pending(
        self, broker: Broker
    ) -> None:
        """A flood of due tasks is let in a thousand at a time, the earliest first."""
        tasks = [a_task(due=NOW + 1 + n / 1_000) for n in range(1_500)]
        await put(broker, *tasks)
        assert ids(await take(broker, 2_000, now=NOW + 60)) == ids_of(tasks[:1_000])
        assert ids(await take(broker, 2_000, now=NOW + 60)) == ids_of(tasks[1_000:])
