"""Cases of `Producer.enqueue`."""

from contextlib import suppress
from typing import Any, cast

import pytest
from attrs import evolve

from qcore.domain.answers import Conflict, Enqueued
from qcore.domain.new_task import KEEP
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, updated
from qcore.domain.transitions import Deleted, Failed, Rejected, Rescheduled, RunNow
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import ENDED, LIVE, REACHABLE, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    find_task,
    ids,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.task_examples import all_examples, comes_back, comes_out, examples


class EnqueueCases(Cases):
    """Tasks go in."""

    async def test_a_broker_declares_its_capabilities(self, broker: Broker) -> None:
        """Capabilities are a frozen set of `Capability`."""
        assert isinstance(broker.capabilities, frozenset)
        assert all(isinstance(capability, Capability) for capability in broker.capabilities)

    # - Each answer is at its task's place: `Enqueued` with its state, `Duplicate` or `Conflict`.

    async def test_each_enqueue_is_answered_at_its_place(self, broker: Broker) -> None:
        """Answers of every kind come in the order of the tasks."""
        held = await bring_to(broker, State.ACTIVE)
        first, waits, last = a_task(), a_task(due=NOW + 9), a_task(queue="other")
        answers = await broker.enqueue([first, held, waits, last], now=NOW)
        assert list(answers) == [
            Enqueued(first.id, State.PENDING),
            Conflict(held.id, State.ACTIVE),
            Enqueued(waits.id, State.SCHEDULED),
            Enqueued(last.id, State.PENDING),
        ]

    # - A task due after `now` is scheduled; any other is pending, due now, or aggregating if it
    #   has a group.

    async def test_a_task_due_a_millisecond_from_now_is_scheduled(self, broker: Broker) -> None:
        """A task due after now waits for its moment."""
        task = a_task(due=NOW + 0.001)
        assert list(await broker.enqueue([task], now=NOW)) == [Enqueued(task.id, State.SCHEDULED)]
        stored = await stored_task(broker, task)
        assert (stored.state, stored.due) == (State.SCHEDULED, NOW + 0.001)

    @pytest.mark.parametrize("due", [None, NOW, NOW - 0.001, NOW - 86_400, 0.0])
    async def test_a_task_not_due_later_is_pending_and_due_now(
        self, broker: Broker, due: float | None
    ) -> None:
        """A task without a moment, or whose moment has come or passed, is due now."""
        task = a_task(due=due)
        assert list(await broker.enqueue([task], now=NOW)) == [Enqueued(task.id, State.PENDING)]
        stored = await stored_task(broker, task)
        assert (stored.state, stored.due) == (State.PENDING, NOW)

    # - Everything asked for is stored and comes back unchanged: payload, headers, every option.

    async def test_what_is_changed_after_it_was_asked_for_is_not_stored(
        self, broker: Broker
    ) -> None:
        """What was checked is what is stored, and what a worker does with its copy stays there."""
        headers = {"as": "asked"}
        asked, twin = some_tasks(2, headers=headers)
        headers["changed"] = "before"
        await put(broker, asked, twin)
        headers["changed"] = "after"
        change = updated(headers=(new := {"as": "updated"}))
        new["changed"] = "after"
        for expected in ({"as": "asked"}, {"as": "updated"}):
            claim = await take_one(broker)
            [shown] = await broker.get("default", [asked.id])
            assert shown is not None
            for spec in (claim.task.spec, shown.spec, asked):
                # what a broker gives may be a copy, or refuse to be changed
                with suppress(TypeError):
                    cast("dict[str, str]", spec.headers)["changed"] = "by a worker"
            await end(broker, claim, Failed("no", again_at=NOW + 1))
            assert (await stored_task(broker, asked)).spec.headers == expected
            assert (await stored_task(broker, twin)).spec.headers == {"as": "asked"}
            await execute_on(broker, asked, change)
            await execute_on(broker, asked, RunNow())
            await execute_on(broker, twin, Rescheduled(NOW + 9))

    @pytest.mark.parametrize("asked", examples())
    async def test_an_option_comes_back_unchanged(
        self, broker: Broker, asked: dict[str, Any]
    ) -> None:
        """What was asked for by one option is what `get` and `claim` show."""
        await comes_out(broker, await comes_back(broker, asked))

    async def test_all_options_together_come_back_unchanged(self, broker: Broker) -> None:
        """Options do not get in each other's way."""
        await comes_out(broker, await comes_back(broker, all_examples()))

    @pytest.mark.parametrize("state", REACHABLE)
    async def test_what_was_asked_for_outlives_every_move(
        self, broker: Broker, state: State
    ) -> None:
        """All options of a task are as they were, whatever became of it."""
        task = await bring_to(broker, state, a_task(**all_examples("due", "expires")))
        assert (await stored_task(broker, task)).spec == task

    @pytest.mark.parametrize("option", ["timeout", "backoff", "deadline", "expires"])
    async def test_none_comes_back_as_none(self, broker: Broker, option: str) -> None:
        """An option that is None is not turned into zero, or into its default."""
        nothing: dict[str, Any] = {option: None}
        task = a_task(**nothing)
        await put(broker, task)
        assert getattr((await stored_task(broker, task)).spec, option) is None

    @pytest.mark.parametrize("fraction", [0.0001, 0.000_25, 0.123_456, 0.999_999, 1 / 3, 1e-7])
    async def test_moments_keep_their_fractions(self, broker: Broker, fraction: float) -> None:
        """A moment with parts below a millisecond is the same float when it comes back."""
        task = a_task(due=NOW + 5 + fraction, deadline=NOW + 6 + fraction, retention=fraction)
        await put(broker, task, now=NOW + fraction)
        stored = await stored_task(broker, task)
        assert stored.spec == task
        assert (stored.created, stored.due) == (NOW + fraction, NOW + 5 + fraction)

    async def test_a_new_task_has_no_past(self, broker: Broker) -> None:
        """Nothing has happened to a task that has just been stored."""
        task = a_task()
        await put(broker, task)
        stored = await stored_task(broker, task)
        assert stored.created == NOW
        assert (stored.attempts, stored.failures, stored.crashes) == (0, 0, 0)
        assert (stored.error, stored.finished, stored.unhandled_since) == (None, None, None)
        assert (stored.result, stored.result_type) == (None, None)

    # - An id that lives in the same queue is a `Conflict` that names its state, and writes
    #   nothing; the others of the batch go in.

    @pytest.mark.parametrize("state", LIVE)
    async def test_the_id_of_a_live_task_is_a_conflict(self, broker: Broker, state: State) -> None:
        """A live task keeps its id, the answer names its state, and the task is as it was."""
        held = await bring_to(broker, state)
        before = await stored_task(broker, held)
        again = evolve(held, payload=b'{"other": 1}', priority=9, due=NOW + 99, headers={"a": "b"})
        assert list(await broker.enqueue([again], now=NOW + 1)) == [Conflict(held.id, state)]
        assert await stored_task(broker, held) == before
        assert await broker.count() == {held.queue: {state: 1}}

    async def test_a_conflict_does_not_keep_the_others_out(self, broker: Broker) -> None:
        """The tasks before and after a conflicting one go in."""
        held = await bring_to(broker, State.PENDING)
        before, after = a_task(), a_task()
        await broker.enqueue([before, held, after], now=NOW)
        assert ids(await take(broker)) == [held.id, before.id, after.id]

    # - The same id twice in one batch: the first goes in, the second conflicts with it.

    async def test_an_id_twice_in_a_batch_conflicts_with_itself(self, broker: Broker) -> None:
        """Of two tasks with one id in one batch the first is stored."""
        first = a_task(payload=b"1", due=NOW + 5)
        second = evolve(first, payload=b"2")
        answers = await broker.enqueue([first, second], now=NOW)
        assert list(answers) == [
            Enqueued(first.id, State.SCHEDULED),
            Conflict(first.id, State.SCHEDULED),
        ]
        assert (await stored_task(broker, first)).spec.payload == b"1"
        assert await broker.count() == {first.queue: {State.SCHEDULED: 1}}

    async def test_an_ended_id_twice_in_a_batch_is_replaced_once(self, broker: Broker) -> None:
        """The first of two replaces what has ended, the second conflicts with the first."""
        old = await bring_to(broker, State.DEAD)
        first, second = evolve(old, payload=b"1"), evolve(old, payload=b"2")
        answers = await broker.enqueue([first, second], now=NOW)
        assert list(answers) == [Enqueued(old.id, State.PENDING), Conflict(old.id, State.PENDING)]
        assert (await stored_task(broker, old)).spec.payload == b"1"

    # - An id that has ended (completed, archived, dead) is replaced, with nothing left of it.

    @pytest.mark.parametrize("state", ENDED)
    async def test_an_ended_task_is_replaced(self, broker: Broker, state: State) -> None:
        """A new task takes the id of an ended one, and nothing of that one is left."""
        old = await bring_to(broker, state, a_task(payload=b"old", headers={"old": "1"}))
        new = a_task(id=old.id, payload=b"new")
        await put(broker, new, now=NOW + 1)
        stored = await stored_task(broker, new)
        assert stored.spec == new
        assert (stored.created, stored.finished, stored.error) == (NOW + 1, None, None)
        assert (stored.attempts, stored.failures, stored.result) == (0, 0, None)
        assert await broker.count() == {new.queue: {State.PENDING: 1}}

    # - With `on_conflict="keep"` it stays instead, and is a `Conflict` that names its state.

    @pytest.mark.parametrize("state", ENDED)
    async def test_an_ended_task_is_kept(self, broker: Broker, state: State) -> None:
        """Whoever asks again with the same id learns what became of the first; others go in."""
        old = await bring_to(broker, state, a_task(payload=b"old"))
        before = await stored_task(broker, old)
        again, other = a_task(id=old.id, on_conflict=KEEP), a_task(on_conflict=KEEP)
        later = a_task(id=old.id, on_conflict=KEEP, due=NOW + 60)
        assert await broker.enqueue([again, other, later], now=NOW + 1) == [
            Conflict(old.id, state),
            Enqueued(other.id, State.PENDING),
            Conflict(old.id, state),
        ]
        assert await stored_task(broker, old) == before

    async def test_an_id_is_kept_whatever_a_unique_key_says(self, broker: Broker) -> None:
        """The id comes first, as it does where the task lives; the key stays free."""
        if Capability.UNIQUE not in broker.capabilities:
            return
        old = await bring_to(broker, State.DEAD)
        again = a_task(id=old.id, on_conflict=KEEP, unique_key="k")
        assert await broker.enqueue([again], now=NOW) == [Conflict(old.id, State.DEAD)]
        await put(broker, a_task(unique_key="k", on_conflict=KEEP))

    @pytest.mark.parametrize("state", ENDED)
    async def test_a_replaced_task_is_not_trimmed_in_the_old_ones_time(self, state: State) -> None:
        """When an ended task would have been trimmed, the task that replaced it stays."""
        async with self.opened(RetentionPolicy(age=10.0)) as broker:
            old = await bring_to(broker, state)
            await put(broker, a_task(id=old.id))
            swept = await sweep_all(broker, now=NOW + 1_000_000)
            assert swept.trimmed == 0
            assert (await stored_task(broker, old)).state is State.PENDING

    async def test_a_replacement_queues_up_behind_the_others(self, broker: Broker) -> None:
        """A task that replaces an ended one is as new as any: first in, first out."""
        old = await bring_to(broker, State.DEAD)
        other = a_task()
        await put(broker, other)
        await put(broker, a_task(id=old.id))
        assert ids(await take(broker)) == [other.id, old.id]

    async def test_a_deleted_id_is_free(self, broker: Broker) -> None:
        """The id of a task that is gone may be used again."""
        task = a_task()
        await put(broker, task)
        await execute_on(broker, task, Deleted())
        await put(broker, task)
        assert ids(await take(broker)) == [task.id]

    # - The same id may live in two queues.

    async def test_an_id_may_live_in_two_queues(self, broker: Broker) -> None:
        """Tasks of one id in two queues are two tasks."""
        here, there = a_task(id="same", payload=b"1"), a_task(id="same", queue="b", payload=b"2")
        await put(broker, here, there)
        claim = await take_one(broker, "b")
        assert claim.task.spec == there
        await end(broker, claim, Rejected("only here"))
        assert (await stored_task(broker, here)).state is State.PENDING
        assert (await stored_task(broker, there)).state is State.DEAD

    # - An empty batch is answered with no answers.

    async def test_an_empty_batch_is_answered_with_nothing(self, broker: Broker) -> None:
        """Enqueueing nothing is allowed and leaves nothing."""
        assert list(await broker.enqueue([], now=NOW)) == []
        await nothing_is_left(broker)

    async def test_a_batch_may_be_any_sequence(self, broker: Broker) -> None:
        """A tuple is as good as a list."""
        tasks = tuple(some_tasks(3))
        assert len(await broker.enqueue(tasks, now=NOW)) == 3

    async def test_enqueueing_does_not_disturb_a_claimed_task(self, broker: Broker) -> None:
        """A conflict with an active task takes nothing from its worker."""
        claim = await a_claimed(broker)
        await broker.enqueue([claim.task.spec], now=NOW)
        await end(broker, claim, Rejected("the lease was still good"))
        found = await find_task(broker, claim.task.spec)
        assert found is not None
        assert found.error == "the lease was still good"
