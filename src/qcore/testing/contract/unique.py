"""`UniqueContract`: the contract of `Capability.UNIQUE`."""

from typing import Any

import pytest
from attrs import evolve

from qcore.domain.answers import Conflict, Duplicate, Enqueued, Moved
from qcore.domain.new_task import REPLACE, NewTask
from qcore.domain.run_details import Details
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, updated
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Deleted,
    Failed,
    Released,
    Rescheduled,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.ports import Broker, Capability
from qcore.testing.builders import LEASE, NOW, TaskOptions, a_task, some_tasks
from qcore.testing.contract.leaks import WAYS, Way
from qcore.testing.contract.restored_keys import RestoredKeyCases
from qcore.testing.contract.run_details import jot, learn
from qcore.testing.contract.states import ENDED, LATER, LIVE, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    find_task,
    ids,
    ids_of,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.successors import SuccessorCases
from qcore.testing.contract.task_examples import all_examples, comes_back, comes_out, examples

KEY = "the one"
WAITING = (State.SCHEDULED, State.PENDING, State.RETRY)
SOON = NOW + 10


def one(**options: object) -> NewTask:
    """Return a task with the key of all these cases."""
    given: TaskOptions = {"unique_key": KEY}
    given.update(options)  # type: ignore[typeddict-item]
    return a_task(**given)


async def ask(broker: Broker, task: NewTask, now: float = NOW) -> object:
    """Enqueue one task and return the answer."""
    (answer,) = await broker.enqueue([task], now=now)
    return answer


class UniqueContract(SuccessorCases, RestoredKeyCases):
    """Of tasks with one unique key, one at a time is in a queue."""

    @pytest.mark.parametrize("order", [Rescheduled(LATER), updated(payload=b"new")], ids=str)
    @pytest.mark.parametrize("state", WAITING)
    async def test_a_changed_task_keeps_its_key(
        self, broker: Broker, state: State, order: Rescheduled | Updated
    ) -> None:
        """For as long as it has it; and lets it go when it has ended."""
        first = await bring_to(broker, state, one(unique_for=600.0))
        assert isinstance(await execute_on(broker, first, order), Moved)
        found = await stored_task(broker, first)
        assert (found.spec.unique_key, found.spec.unique_for) == (KEY, 600.0)
        assert await ask(broker, one()) == Duplicate(first.id, found.state)
        await end(broker, await take_one(broker, now=LATER), Succeeded(), now=LATER)
        assert isinstance(await ask(broker, one()), Enqueued)

    # - A key that a live task has is answered with `Duplicate`, which names that task and its
    # state, and writes nothing; the others of the batch go in. An id that lives comes first: it
    # is a `Conflict`.

    @pytest.mark.parametrize("state", LIVE)
    async def test_a_duplicate_is_told_who_has_the_key(self, state: State, broker: Broker) -> None:
        """Wherever the first is, the second stays out, and is told its id and its state."""
        first = await bring_to(broker, state, one())
        before = await broker.count()
        second = one()
        assert await ask(broker, second) == Duplicate(first.id, state)
        assert await find_task(broker, second) is None
        assert await broker.count() == before

    async def test_the_others_of_a_batch_go_in(self, broker: Broker) -> None:
        """Each answer is at its task's place."""
        held = await bring_to(broker, State.ACTIVE, one())
        taken = await bring_to(broker, State.PENDING)
        plain, other = a_task(), one(unique_key="another")
        batch = [plain, one(), taken, other]
        assert await broker.enqueue(batch, now=NOW) == [
            Enqueued(plain.id, State.PENDING),
            Duplicate(held.id, State.ACTIVE),
            Conflict(taken.id, State.PENDING),
            Enqueued(other.id, State.PENDING),
        ]

    async def test_an_id_that_lives_comes_first(self, broker: Broker) -> None:
        """A conflict leaves the key to others, whoever has it."""
        taken = await bring_to(broker, State.PENDING)
        assert await ask(broker, one(id=taken.id)) == Conflict(taken.id, State.PENDING)
        first = one()
        assert await ask(broker, first) == Enqueued(first.id, State.PENDING)
        assert await ask(broker, one(id=taken.id)) == Conflict(taken.id, State.PENDING)
        assert await ask(broker, first) == Conflict(first.id, State.PENDING)

    @pytest.mark.parametrize("asked", examples(Capability.UNIQUE))
    async def test_what_was_asked_for_comes_back(
        self, broker: Broker, asked: dict[str, Any]
    ) -> None:
        """Stored unchanged, as every option is, and claimed so."""
        await comes_out(broker, await comes_back(broker, asked))

    async def test_a_key_does_not_get_in_the_way_of_other_options(self, broker: Broker) -> None:
        """With all others, and with few of them, in one batch."""
        asked = [
            one(unique_key="all", unique_for=0.25, on_duplicate=REPLACE, **all_examples("queue")),
            one(unique_key="✓ a|b {c} 1 2", unique_for=0.25, on_duplicate=REPLACE, priority=5),
            one(unique_key="x" * 256, unique_for=86_400, headers={"a": "b"}, retention=60),
            one(unique_key=" - "),
        ]
        await put(broker, *asked)
        assert [(await stored_task(broker, task)).spec for task in asked] == asked
        assert [claim.task.spec for claim in await take(broker)] == asked[1:]
        assert [claim.task.spec for claim in await take(broker, now=SOON + 60)] == asked[:1]

    # - A task has its `unique_key` from now until it has ended (completed, archived, dead or
    # gone, whichever way), through retries, snoozes and crashes; for `unique_for` seconds if
    # that is shorter. An ended one that is run again does not get it back.

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    @pytest.mark.parametrize(("retention", "unique_for"), [(0.0, None), (60.0, 1e6)])
    async def test_whichever_way_a_task_ends_its_key_is_free(
        self, way: Way, retention: float, unique_for: float | None
    ) -> None:
        """At once, and nothing is left of it in the end."""
        async with self.opened(RetentionPolicy(age=86_400.0)) as broker:
            first = one(retention=retention, expires=NOW + 600, unique_for=unique_for)
            await way(broker, first)
            second = one()
            assert await ask(broker, second, NOW + 700) == Enqueued(second.id, State.PENDING)
            await end(broker, await take_one(broker, now=NOW + 700), Succeeded(), now=NOW + 700)
            await sweep_all(broker, now=NOW + 100_000)
            await nothing_is_left(broker, first, second)

    @pytest.mark.parametrize("state", WAITING)
    @pytest.mark.parametrize("order", [Cancelled(), Archived(), Deleted()], ids=str)
    async def test_an_order_that_ends_a_task_frees_its_key(
        self, state: State, order: Cancelled | Archived | Deleted, broker: Broker
    ) -> None:
        """From wherever the task waits."""
        first = await bring_to(broker, state, one())
        await execute_on(broker, first, order)
        second = one()
        assert await ask(broker, second) == Enqueued(second.id, State.PENDING)

    async def test_many_at_once_free_their_keys(self, broker: Broker) -> None:
        """Deleted, cancelled or done by the hundred, none keeps its key."""
        for order in (Deleted(), Cancelled(), None):
            tasks = [one(unique_key=f"key {n}") for n in range(300)]
            await put(broker, *tasks)
            if order is not None:
                await broker.execute("default", ids_of(tasks), order, now=NOW)
            else:
                for claim in await take(broker, 300):
                    await end(broker, claim, Succeeded())
        await put(broker, *[one(unique_key=f"key {n}") for n in range(300)])

    @pytest.mark.parametrize(
        "event", [Failed("no", again_at=SOON), Snoozed(SOON), Released(), Crashed()], ids=str
    )
    async def test_a_task_that_will_run_again_has_its_key(
        self, event: Transition, broker: Broker
    ) -> None:
        """Through retries, snoozes, releases and crashes, until it is done."""
        first = one()
        settled = await end(broker, await a_claimed(broker, first), event)
        assert await ask(broker, one()) == Duplicate(first.id, settled.state)  # type: ignore[union-attr]
        claim = await take_one(broker, now=SOON)
        assert await ask(broker, one(), SOON) == Duplicate(first.id, State.ACTIVE)
        await end(broker, claim, Succeeded(), now=SOON)
        await put(broker, one(), now=SOON)

    async def test_a_worker_that_is_lost_does_not_lose_the_key(self, broker: Broker) -> None:
        """What is taken back from it is still the one."""
        first = await bring_to(broker, State.ACTIVE, one())
        await sweep_all(broker, now=NOW + LEASE)
        assert await ask(broker, one(), NOW + LEASE) == Duplicate(first.id, State.PENDING)

    @pytest.mark.parametrize("state", ENDED)
    async def test_a_task_that_is_run_again_does_not_get_its_key_back(
        self, state: State, broker: Broker
    ) -> None:
        """It may be another's by then, and how it ends changes nothing for that one."""
        first = await bring_to(broker, state, one())
        second = one()
        await put(broker, second)
        await execute_on(broker, first, RunNow())
        assert await ask(broker, one()) == Duplicate(second.id, State.PENDING)
        await execute_on(broker, first, Deleted())
        assert await ask(broker, one()) == Duplicate(second.id, State.PENDING)

    async def test_the_key_of_a_task_that_is_run_again_is_free(self, broker: Broker) -> None:
        """It is not had again even where nobody else has it by then."""
        for state in ENDED:
            first = await bring_to(broker, state, one(queue=state))
            await execute_on(broker, first, RunNow())
            second = one(queue=state)
            assert await ask(broker, second) == Enqueued(second.id, State.PENDING)

    @pytest.mark.parametrize("state", ENDED)
    async def test_an_ended_task_is_replaced_as_ever(self, state: State, broker: Broker) -> None:
        """Its id and its key are free, together or one by one."""
        first = await bring_to(broker, state, one())
        again = one(id=first.id)
        assert await ask(broker, again) == Enqueued(first.id, State.PENDING)
        assert await ask(broker, one()) == Duplicate(first.id, State.PENDING)
        assert await broker.count() == {"default": {State.PENDING: 1}}

    async def test_keys_that_look_alike_are_different(self, broker: Broker) -> None:
        """Case, blanks at either end and composition tell them apart, as they do ids."""
        keys = ["k", "K", "k ", " k", "k  ", "é", "e\u0301", "ss", "ß", "1", "1.0", "01"]
        keys += ["x" * 255 + "a", "x" * 255 + "b", "a" + "x" * 255, "b" + "x" * 255]
        tasks = [a_task(unique_key=key) for key in keys]
        await put(broker, *tasks)
        for task in tasks:
            again = a_task(unique_key=task.unique_key)
            assert await ask(broker, again) == Duplicate(task.id, State.PENDING)

    async def test_a_key_is_had_for_its_time(self, broker: Broker) -> None:
        """To the very moment; then others may come in, though the first is still there."""
        first = one(unique_for=10.5)
        await put(broker, first)
        assert await ask(broker, one(), NOW + 10.25) == Duplicate(first.id, State.PENDING)
        second = one()
        assert await ask(broker, second, NOW + 10.5) == Enqueued(second.id, State.PENDING)
        assert await ask(broker, one(), NOW + 11) == Duplicate(second.id, State.PENDING)

    # - With `on_duplicate="replace"`, a task that has the key and is not active is gone, and the
    # new one takes its place, even under the same id; one that is active stays.

    @pytest.mark.parametrize("state", WAITING)
    async def test_a_task_that_waits_is_replaced(self, state: State, broker: Broker) -> None:
        """So a task that is asked for again and again is run once, after the last time."""
        first = await bring_to(broker, state, one())
        second = one(on_duplicate=REPLACE, due=LATER)
        assert await ask(broker, second) == Enqueued(second.id, State.SCHEDULED)
        assert await find_task(broker, first) is None
        assert await broker.count() == {"default": {State.SCHEDULED: 1}}
        assert await broker.next_due(["default"]) == LATER
        third = one(on_duplicate=REPLACE)
        assert await ask(broker, third) == Enqueued(third.id, State.PENDING)
        await end(broker, await take_one(broker), Succeeded())
        await nothing_is_left(broker, first, second, third)

    async def test_a_task_that_runs_is_not_replaced(self, broker: Broker) -> None:
        """The new one stays out, and is told."""
        first = one()
        claim = await a_claimed(broker, first)
        assert await ask(broker, one(on_duplicate=REPLACE)) == Duplicate(first.id, State.ACTIVE)
        await put(broker, taken := a_task())
        answer = await ask(broker, one(id=taken.id, on_duplicate=REPLACE))
        assert answer == Conflict(taken.id, State.PENDING)
        await end(broker, claim, Succeeded())

    async def test_a_task_is_replaced_under_its_own_id(self, broker: Broker) -> None:
        """An explicit id with a key is replaced by the same one, if that is what was asked for."""
        first = await bring_to(broker, State.SCHEDULED, one())
        again = evolve(first, payload=b"2", on_duplicate=REPLACE, due=LATER + 1)
        assert await ask(broker, again) == Enqueued(first.id, State.SCHEDULED)
        assert (await stored_task(broker, first)).spec == again
        assert await broker.count() == {"default": {State.SCHEDULED: 1}}
        assert await broker.next_due(["default"]) == LATER + 1

    async def test_a_task_that_is_replaced_leaves_no_notes(self, broker: Broker) -> None:
        """What its runs said and what went wrong was its own, though the id is the same."""
        claim = await a_claimed(broker, one())
        await jot(broker, claim, saved=b"so far")
        await end(broker, claim, Failed("no", again_at=LATER))
        again = one(id=claim.task.id, on_duplicate=REPLACE)
        assert await ask(broker, again) == Enqueued(again.id, State.PENDING)
        assert await learn(broker, again) == Details()
        await end(broker, await take_one(broker), Succeeded())
        await nothing_is_left(broker, again)

    async def test_another_s_id_is_not_replaced(self, broker: Broker) -> None:
        """Neither by one that would replace the task that has the key."""
        first = await bring_to(broker, State.PENDING, one())
        taken = await bring_to(broker, State.SCHEDULED)
        answer = await ask(broker, one(id=taken.id, on_duplicate=REPLACE))
        assert answer == Conflict(taken.id, State.SCHEDULED)
        assert (await stored_task(broker, first)).state is State.PENDING

    async def test_a_batch_replaces_itself(self, broker: Broker) -> None:
        """The last of it is what is left."""
        batch = [one(on_duplicate=REPLACE, payload=b"%d" % n) for n in range(5)]
        answers = await broker.enqueue(batch, now=NOW)
        assert answers == [Enqueued(task.id, State.PENDING) for task in batch]
        assert await broker.count() == {"default": {State.PENDING: 1}}
        assert ids(await take(broker)) == [batch[-1].id]

    async def test_a_task_with_an_expiry_is_replaced_whole(self, broker: Broker) -> None:
        """Neither its expiry nor its crashes are left for a later sweep to find."""
        first = one(expires=NOW + 60, priority=7)
        await end(broker, await a_claimed(broker, first), Crashed())
        second = one(on_duplicate=REPLACE, expires=NOW + 600)
        await put(broker, second)
        await sweep_all(broker, now=NOW + 100)
        assert ids_of(await browse_all(broker, State.PENDING)) == [second.id]
        claim = await take_one(broker, now=NOW + 100)
        assert (claim.task.attempts, claim.task.crashes) == (1, 0)

    async def test_of_many_at_once_one_goes_in(self, broker: Broker) -> None:
        """The others are told which."""
        tasks = [one() for _ in range(20)]
        answers = await self.together([lambda task=task: ask(broker, task) for task in tasks])  # type: ignore[misc]
        [winner] = [answer for answer in answers if isinstance(answer, Enqueued)]
        assert answers.count(Duplicate(winner.id, State.PENDING)) == 19
        await put(broker, *some_tasks(3))

    # - When the time of a key is over and another task has it, that is the other's: how the first
    # ends changes nothing.

    @pytest.mark.parametrize("state", LIVE)
    @pytest.mark.parametrize("order", [Cancelled(), Deleted(), None], ids=str)
    async def test_a_key_that_is_another_s_is_not_let_go(
        self, state: State, order: Cancelled | Deleted | None, broker: Broker
    ) -> None:
        """The first came too late to end: what it does concerns its own key alone."""
        first = await bring_to(broker, state, one(unique_for=5))
        second = one(queue="default", priority=-1)
        await put(broker, second, now=NOW + 5)
        if order is not None:
            await execute_on(broker, first, order, now=NOW + 6)
        else:
            await sweep_all(broker, now=NOW + 6)
        assert await ask(broker, one(), NOW + 6) == Duplicate(second.id, State.PENDING)
        await execute_on(broker, second, Deleted(), now=NOW + 7)
        await put(broker, one(), now=NOW + 7)

    async def test_a_key_that_lapsed_is_free_for_good_when_its_task_ends(
        self, broker: Broker
    ) -> None:
        """Nobody else took it meanwhile, and nothing of it is left."""
        first = one(unique_for=5)
        claim = await a_claimed(broker, first)
        await end(broker, claim, Succeeded(), now=NOW + 6)
        await nothing_is_left(broker, first)
        await put(broker, second := one(), now=NOW + 6)
        await execute_on(broker, second, Deleted(), now=NOW + 6)
        await nothing_is_left(broker, first, second)

    # - The same key may be had in two queues. Within a batch the first has it.

    async def test_within_a_batch_the_first_has_it(self, broker: Broker) -> None:
        """As if one had come after the other."""
        first, second, third = one(due=LATER), one(), one(unique_key="another")
        assert await broker.enqueue([first, second, third, one()], now=NOW) == [
            Enqueued(first.id, State.SCHEDULED),
            Duplicate(first.id, State.SCHEDULED),
            Enqueued(third.id, State.PENDING),
            Duplicate(first.id, State.SCHEDULED),
        ]
        assert ids(await take(broker)) == [third.id]

    async def test_a_large_batch_of_duplicates(self, broker: Broker) -> None:
        """However a broker divides a batch, one goes in for each key."""
        batch = [one(unique_key=f"key {n % 7}") for n in range(700)]
        answers = await broker.enqueue(batch, now=NOW)
        assert [type(answer) for answer in answers] == [Enqueued] * 7 + [Duplicate] * 693
        assert [answer.id for answer in answers] == [batch[n % 7].id for n in range(700)]
        assert ids(await take(broker, 1_000)) == ids_of(batch[:7])

    async def test_a_key_may_be_had_in_two_queues(self, broker: Broker) -> None:
        """Each queue has keys of its own."""
        first, second = one(queue="a"), one(queue="b")
        await put(broker, first, second)
        answers = await broker.enqueue([one(queue="b"), one(queue="a")], now=NOW)
        assert answers == [
            Duplicate(second.id, State.PENDING),
            Duplicate(first.id, State.PENDING),
        ]
