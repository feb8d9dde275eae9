"""What `on_duplicate="rerun"` promises: a task waits for the end of the one that has its key."""

from threading import Event
from typing import Final

import pytest

from qcore.domain.answers import Conflict, Duplicate, Enqueued, Moved
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import REJECT, REPLACE, RERUN, NewTask
from qcore.domain.states import State
from qcore.domain.task import Claim
from qcore.domain.transitions import (
    Cancelled,
    Crashed,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Rescheduled,
    Revoked,
    RunNow,
    Succeeded,
    Transition,
)
from qcore.ports import Broker
from qcore.testing.builders import NOW, TaskOptions, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import LATER
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    find_task,
    ids,
    nothing_is_left,
    on_work,
    put,
    stored_task,
    take,
    take_one,
)

ENDINGS: Final = (
    Succeeded(),
    Exhausted("no"),
    Rejected("no"),
    Revoked(),
    Cancelled(),
    Crashed(),
)


def rerun(**options: object) -> NewTask:
    """Return a task that waits for the end of the one that has its key."""
    given: TaskOptions = {"unique_key": "the one", "on_duplicate": RERUN, "max_crashes": 1}
    given.update(options)  # type: ignore[typeddict-item]
    return a_task(**given)


async def a_pair(broker: Broker, **options: object) -> tuple[Claim, NewTask]:
    """Return a task that runs, claimed, and its successor, with these options."""
    claim = await a_claimed(broker, rerun())
    second = rerun(**options)
    answers = await broker.enqueue([second], now=NOW)
    assert answers == [Enqueued(second.id, State.SCHEDULED)]
    return claim, second


class SuccessorCases(Cases):
    """A task that is asked for while another of its key runs is run once that has ended."""

    # - With `on_duplicate="rerun"` likewise; but where the task that has the key is active, the
    #   new one is its successor: scheduled, due at `LAST_MOMENT`, until the other has ended,
    #   whichever way. Then it has the key, and is due at the moment that was asked for. A key has
    #   one successor, the last one asked for: it takes the place of an earlier one, even under
    #   the same id, and is gone where the task that has the key is replaced. A task that has a
    #   successor has the key until it ends. One that is run now has the key at once, and is no
    #   successor any more; nor is one that has ended.

    @pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
    async def test_a_successor_runs_when_the_holder_has_ended(
        self, ending: Transition, broker: Broker
    ) -> None:
        """Whichever way that ends; until then it is scheduled for the last moment there is."""
        claim, second = await a_pair(broker, payload=b"the last")
        waiting = await stored_task(broker, second)
        assert (waiting.state, waiting.due) == (State.SCHEDULED, LAST_MOMENT)
        assert waiting.spec == second
        assert await broker.next_due(["default"]) is None
        assert await take(broker, now=NOW + 1) == []
        await end(broker, claim, ending, now=NOW + 1)
        again = await take_one(broker, now=NOW + 1)
        assert again.task.spec == second
        # and it has the key as the first had it
        third = rerun(on_duplicate=REJECT)
        assert await broker.enqueue([third], now=NOW) == [Duplicate(second.id, State.ACTIVE)]
        await end(broker, again, Revoked(), now=NOW + 1)
        await put(broker, third)

    async def test_a_command_that_ends_the_holder_starts_its_successor(
        self, broker: Broker
    ) -> None:
        """It need not be the worker's verdict."""
        claim, second = await a_pair(broker)
        assert await execute_on(broker, claim.task.spec, Cancelled()) == Moved(State.DEAD)
        assert ids(await take(broker)) == [second.id]

    async def test_a_successor_is_not_early(self, broker: Broker) -> None:
        """Its own moment counts, when that comes later than the end of the holder."""
        claim, second = await a_pair(broker, due=LATER)
        await end(broker, claim, Succeeded())
        assert await broker.next_due(["default"]) == LATER
        assert (await stored_task(broker, second)).due == LATER
        assert await take(broker, now=LATER - 0.001) == []
        assert ids(await take(broker, now=LATER)) == [second.id]

    async def test_who_waits_for_work_is_notified_of_a_successor(self, broker: Broker) -> None:
        """It became due by a verdict, not by an enqueue."""
        claim, second = await a_pair(broker)
        notified = Event()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await end(broker, claim, Succeeded())
        assert await self.comes(notified)
        await subscription.close()
        assert ids(await take(broker)) == [second.id]

    async def test_the_last_successor_is_the_one(self, broker: Broker) -> None:
        """Each takes the place of the one before it, in a batch, by itself, under its own id."""
        claim, first = await a_pair(broker)
        batch = [rerun(payload=b"%d" % n) for n in range(3)]
        assert await broker.enqueue(batch, now=NOW) == [
            Enqueued(task.id, State.SCHEDULED) for task in batch
        ]
        last = rerun(id=batch[-1].id, payload=b"last")
        assert await broker.enqueue([last], now=NOW) == [Enqueued(last.id, State.SCHEDULED)]
        assert [await find_task(broker, task) for task in (first, *batch[:2])] == [None] * 3
        assert await broker.count() == {"default": {State.ACTIVE: 1, State.SCHEDULED: 1}}
        await end(broker, claim, Succeeded())
        again = await take_one(broker)
        assert again.task.spec == last
        await end(broker, again, Succeeded())
        await nothing_is_left(broker, claim.task.spec, first, *batch)

    async def test_a_holder_that_is_to_run_again_keeps_its_successor_waiting(
        self, broker: Broker
    ) -> None:
        """It has not ended yet: its successor comes after its last run."""
        claim, second = await a_pair(broker)
        await end(broker, claim, Failed("no", again_at=LATER))
        assert (await stored_task(broker, second)).due == LAST_MOMENT
        again = await take_one(broker, now=LATER)
        assert again.task.id == claim.task.id
        await end(broker, again, Succeeded(), now=LATER)
        assert ids(await take(broker, now=LATER)) == [second.id]

    @pytest.mark.parametrize("how", [REPLACE, RERUN])
    async def test_a_holder_is_replaced_with_its_successor(self, how: str, broker: Broker) -> None:
        """While it waits for its next run, what is asked for last is all that is to be done."""
        claim, second = await a_pair(broker)
        await end(broker, claim, Failed("no", again_at=LATER))
        third = rerun(on_duplicate=how, id=second.id, payload=b"3")
        assert await broker.enqueue([third], now=NOW) == [Enqueued(third.id, State.PENDING)]
        assert await broker.count() == {"default": {State.PENDING: 1}}
        again = await take_one(broker)
        assert again.task.spec == third
        await end(broker, again, Succeeded())
        await nothing_is_left(broker, claim.task.spec, third)

    @pytest.mark.parametrize("how", [REJECT, REPLACE])
    async def test_others_stay_out_while_the_holder_runs(self, how: str, broker: Broker) -> None:
        """They are told of the task that runs, and its successor stays."""
        claim, second = await a_pair(broker)
        other = rerun(on_duplicate=how)
        assert await broker.enqueue([other], now=NOW) == [Duplicate(claim.task.id, State.ACTIVE)]
        same = rerun(id=claim.task.id)
        assert await broker.enqueue([same], now=NOW) == [Conflict(same.id, State.ACTIVE)]
        await end(broker, claim, Succeeded())
        assert ids(await take(broker)) == [second.id]

    async def test_a_holder_has_its_key_as_long_as_a_successor_waits(self, broker: Broker) -> None:
        """Its time may be over: two would run at once, if it lost the key while it runs."""
        claim = await a_claimed(broker, rerun(unique_for=5))
        second, third = rerun(), rerun(on_duplicate=REJECT)
        await put(broker, second)
        answers = await broker.enqueue([third], now=NOW + 6)
        assert answers == [Duplicate(claim.task.id, State.ACTIVE)]
        await end(broker, claim, Succeeded(), now=NOW + 7)
        assert ids(await take(broker, now=NOW + 7)) == [second.id]

    async def test_a_successor_has_the_key_for_its_own_time(self, broker: Broker) -> None:
        """Counted from when it was asked for, as that of any other."""
        claim, second = await a_pair(broker, unique_for=10.5)
        await end(broker, claim, Succeeded(), now=NOW + 1)
        third = rerun(on_duplicate=REJECT)
        answers = await broker.enqueue([third], now=NOW + 10.499)
        assert answers == [Duplicate(second.id, State.SCHEDULED)]
        answers = await broker.enqueue([third], now=NOW + 10.5)
        assert answers == [Enqueued(third.id, State.PENDING)]

    async def test_a_holder_that_is_kept_has_ended_too(self, broker: Broker) -> None:
        """Its result stays, and its successor starts."""
        claim = await a_claimed(broker, rerun(retention=60))
        await put(broker, second := rerun())
        await end(broker, claim, Succeeded(b"1", "a/b"))
        assert ids(await take(broker)) == [second.id]
        assert (await stored_task(broker, claim.task.spec)).state is State.COMPLETED

    async def test_a_successor_that_was_rescheduled_keeps_its_moment(self, broker: Broker) -> None:
        """What somebody asked for since counts, not what was asked for at first."""
        claim, second = await a_pair(broker)
        await execute_on(broker, second, Rescheduled(LATER))
        await end(broker, claim, Succeeded())
        assert (await stored_task(broker, second)).due == LATER

    async def test_keys_that_look_alike_have_successors_of_their_own(self, broker: Broker) -> None:
        """Each is started by the end of its own holder alone."""
        keys = ["k", "K", "k "]
        await put(broker, *(rerun(unique_key=key) for key in keys))
        claims = await take(broker)
        await put(broker, *(waiting := [rerun(unique_key=key) for key in keys]))
        for claim, task in zip(claims, waiting, strict=True):
            await end(broker, claim, Succeeded())
            assert ids(await take(broker)) == [task.id]

    @pytest.mark.parametrize("order", [Cancelled(), Deleted()], ids=str)
    async def test_a_successor_that_is_gone_is_not_started(
        self, order: Cancelled | Deleted, broker: Broker
    ) -> None:
        """The key is free when the holder ends."""
        claim, second = await a_pair(broker)
        await execute_on(broker, second, order)
        await end(broker, claim, Succeeded())
        assert await take(broker) == []
        await put(broker, rerun(on_duplicate=REJECT))

    async def test_a_successor_that_an_operator_runs_has_the_key_after_all(
        self, broker: Broker
    ) -> None:
        """It runs beside the holder, whose end is then nothing to it."""
        claim, second = await a_pair(broker)
        assert await execute_on(broker, second, RunNow()) == Moved(State.PENDING)
        again = await take_one(broker)
        await end(broker, claim, Succeeded())
        other = rerun(on_duplicate=REJECT)
        assert await broker.enqueue([other], now=NOW) == [Duplicate(second.id, State.ACTIVE)]
        await end(broker, again, Succeeded())
        await put(broker, other)
        assert ids(await take(broker)) == [other.id]

    async def test_a_task_that_is_run_now_is_as_it_was_asked_for(self, broker: Broker) -> None:
        """It does not get its key back, but what was asked for is shown all the same."""
        task = rerun(unique_for=9.5)
        await end(broker, await a_claimed(broker, task), Rejected("no"))
        assert await execute_on(broker, task, RunNow()) == Moved(State.PENDING)
        assert (await stored_task(broker, task)).spec == task
        assert (await take_one(broker)).task.spec == task

    async def test_a_task_without_a_holder_is_no_successor(self, broker: Broker) -> None:
        """It is enqueued as any other, and takes the place of one that waits."""
        first, second = rerun(), rerun()
        assert await broker.enqueue([first, second], now=NOW) == [
            Enqueued(first.id, State.PENDING),
            Enqueued(second.id, State.PENDING),
        ]
        assert await find_task(broker, first) is None
        await end(broker, await take_one(broker), Succeeded())
        await nothing_is_left(broker, first, second)
