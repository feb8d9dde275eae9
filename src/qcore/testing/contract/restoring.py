"""Cases of `Operator.restore`."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from attrs import evolve

from qcore.domain.answers import Conflict, Enqueued, Restored
from qcore.domain.audit import AuditRecord
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.run_details import AttemptError, Details, DetailsUpdate, Progress
from qcore.domain.snapshots import TaskSnapshot, in_queue
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, Task
from qcore.domain.transitions import Failed, RunNow, Succeeded
from qcore.ports import Broker, Capability
from qcore.testing.builders import LEASE, NOW, a_stored_task, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import ENDED, REACHABLE, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    find_task,
    ids,
    ids_of,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.task_examples import all_examples, examples
from qcore.testing.contract.unchanged import AFTERWARDS, seen, with_a_past

ELSEWHERE: Final = "elsewhere"
DETAILS: Final = Details(
    tuple(
        AttemptError(
            NOW - 60 + n, n, f"it failed: {n} ✓", "host:7", f" at {n}\n", "1.4" if n > 5 else None
        )
        for n in range(1, 11)
    ),
    Progress(NOW - 1.125, 0.25, "a quarter ✓"),
    b"\x00\xff so far",
    tuple(AuditRecord(NOW - 90 + n, "run", f"ann ✓ {n}", f"why {n}", "") for n in range(20)),
)


async def snapshot_of(broker: Broker, task: Any, queue: str = ELSEWHERE) -> TaskSnapshot:
    """Return a stored task as a snapshot that is to be restored in a queue."""
    shown, details = await seen(broker, task)
    return TaskSnapshot(in_queue(shown, queue), details)


async def restore(
    broker: Broker, *tasks: Task, now: float = NOW, details: Details = DETAILS
) -> None:
    """Restore tasks with the same details; fail unless each is `Restored`."""
    answers = await broker.restore([TaskSnapshot(task, details) for task in tasks], now=now)
    assert [type(answer) for answer in answers] == [Restored] * len(tasks), answers


def ended(state: State, **fields: Any) -> Task:
    """Return a task that has ended, a minute ago unless told otherwise."""
    fields.setdefault("finished", NOW - 60)
    spec = fields.pop("spec", None) or a_task(retention=3_600.0)
    return a_stored_task(spec, state=state, created=NOW - 600, **fields)


class RestoreCases(Cases):
    """A task is stored as it was."""

    # - Each answer is at its snapshot's place: `Restored` with its state, `Conflict` or
    #   `Duplicate`.

    async def test_each_restored_task_is_answered_at_its_place(self, broker: Broker) -> None:
        """Whatever its queue, and whatever the others are answered."""
        taken = await bring_to(broker, State.ARCHIVED)
        waiting, failed = a_stored_task(), ended(State.DEAD, spec=a_task(queue=ELSEWHERE))
        asked = [failed, a_stored_task(taken), waiting]
        assert await broker.restore([TaskSnapshot(task) for task in asked], now=NOW) == [
            Restored(failed.id, State.DEAD),
            Conflict(taken.id, State.ARCHIVED),
            Restored(waiting.id, State.PENDING),
        ]
        counts = {State.ARCHIVED: 1, State.PENDING: 1}
        assert await broker.count() == {"default": counts, ELSEWHERE: {State.DEAD: 1}}

    async def test_nothing_to_restore_is_answered_with_nothing(self, broker: Broker) -> None:
        """An empty batch changes nothing."""
        assert list(await broker.restore([], now=NOW)) == []
        assert await broker.count() == {}

    # - All that the snapshot shows comes back unchanged, whatever its state: what was asked for,
    #   moments, counts, error, result, and the details of its runs.

    @pytest.mark.parametrize("state", REACHABLE)
    async def test_a_task_with_a_past_is_restored_as_it_was(
        self, broker: Broker, state: State
    ) -> None:
        """In another queue it is what it was in the first, which stays as it is."""
        task = (await with_a_past(broker, state, "queue")).task.spec
        before = await seen(broker, task)
        snapshot = await snapshot_of(broker, task)
        await broker.restore([snapshot], now=AFTERWARDS)
        state = State.PENDING if state is State.ACTIVE else state
        restored = evolve(snapshot.task, state=state), snapshot.details
        assert await seen(broker, snapshot.task.spec) == restored
        assert await seen(broker, task) == before
        assert [each.id for each in await browse_all(broker, state, queue=ELSEWHERE)] == [task.id]

    @pytest.mark.parametrize("asked", examples())
    async def test_a_restored_option_comes_back_unchanged(
        self, broker: Broker, asked: Mapping[str, Any]
    ) -> None:
        """Every field of what was asked for, whatever its value."""
        task = a_stored_task(a_task(**asked), state=State.SCHEDULED, due=NOW + 60.125)
        await restore(broker, task)
        assert await seen(broker, task.spec) == (task, DETAILS)
        claim = await take_one(broker, task.queue, now=NOW + 61)
        assert claim.task == evolve(task, state=State.ACTIVE, attempts=1)

    async def test_a_restored_result_comes_back_unchanged(self, broker: Broker) -> None:
        """Its bytes and its type, of any size; nothing where there was none."""
        kept = [
            evolve(ended(State.COMPLETED), result=result, result_type=kind)
            for result, kind in ((b"\x00\xff" * 500_000, "a/b"), (b"", "c/d"), (None, None))
        ]
        await restore(broker, *kept)
        assert [await stored_task(broker, task.spec) for task in kept] == kept

    async def test_what_was_never_run_is_restored_without_details(self, broker: Broker) -> None:
        """As if it had just been enqueued, but for the moment."""
        task = a_stored_task(created=NOW - 60.125)
        await restore(broker, task, details=Details())
        assert await seen(broker, task.spec) == (task, Details())
        assert (await take_one(broker)).task == evolve(task, state=State.ACTIVE, attempts=1)

    async def test_a_restored_task_goes_on_where_it_was(self, broker: Broker) -> None:
        """Its next failure is added to those that it has had."""
        task = a_stored_task(attempts=10, failures=9, crashes=1, error="it failed: 10 ✓")
        await restore(broker, task)
        claim = await take_one(broker)
        assert (claim.task.attempts, claim.task.failures) == (11, 9)
        await end(broker, claim, Failed("again", NOW + 5))
        shown, details = await seen(broker, task.spec)
        assert (shown.failures, shown.crashes, shown.error) == (10, 1, "again")
        assert details.errors == (*DETAILS.errors[1:], AttemptError(NOW, 11, "again"))
        assert (details.progress, details.saved) == (DETAILS.progress, DETAILS.saved)

    # - One that was active is pending, and nobody has a lease of it: the attempt that was under
    #   way stays counted, and is neither a failure nor a crash.

    async def test_what_was_active_is_restored_as_pending(self, broker: Broker) -> None:
        """The lease of where it was does not fit here; who claims it begins the next attempt."""
        claim = await a_claimed(broker)
        snapshot = await snapshot_of(broker, claim.task.spec)
        assert await broker.restore([snapshot], now=NOW) == [Restored(claim.task.id, State.PENDING)]
        update = DetailsUpdate(evolve(claim.lease, queue=ELSEWHERE), saved=b"no")
        await broker.save_details([update])
        shown, details = await seen(broker, snapshot.task.spec)
        assert shown == evolve(snapshot.task, state=State.PENDING)
        assert (shown.attempts, shown.failures, shown.crashes) == (1, 0, 0)
        assert details == Details()
        assert (await take_one(broker, ELSEWHERE)).task.attempts == 2

    # - Pending ones come behind those pending of their priority, in the order given; all others
    #   are where their moments put them.

    async def test_restored_tasks_are_claimed_in_the_order_given(self, broker: Broker) -> None:
        """Behind those that wait already, whenever they were enqueued, but by their priority."""
        before, high = a_task(), a_task(priority=5)
        await put(broker, before)
        late = a_stored_task(created=NOW - 5)
        early = a_stored_task(created=NOW - 600)
        await restore(broker, late, a_stored_task(high), early)
        after = a_task()
        await put(broker, after)
        assert ids(await take(broker)) == [high.id, before.id, late.id, early.id, after.id]

    async def test_restored_tasks_are_due_in_the_order_of_their_moments(
        self, broker: Broker
    ) -> None:
        """To be retried or scheduled, beside those that were there."""
        third = a_task(due=NOW + 30)
        await put(broker, third)
        fourth = a_stored_task(state=State.RETRY, due=NOW + 40, failures=1)
        second = a_stored_task(state=State.SCHEDULED, due=NOW + 20)
        first = a_stored_task(state=State.RETRY, due=NOW - 10, failures=1)
        await restore(broker, fourth, second, first)
        assert await broker.next_due(["default"]) == NOW - 10
        claimed = ids(await take(broker, now=NOW + 60))
        assert claimed == [first.id, second.id, third.id, fourth.id]

    @pytest.mark.parametrize("state", ENDED)
    async def test_restored_tasks_that_have_ended_are_listed_by_when_they_did(
        self, broker: Broker, state: State
    ) -> None:
        """The latest first."""
        old, new = (ended(state, finished=NOW - seconds) for seconds in (90.125, 30))
        await restore(broker, old, new)
        assert ids_of(await browse_all(broker, state, limit=1)) == [new.id, old.id]

    # - Its moments hold: what is due is handed out by the next claim, what has passed its
    #   `expires` is not, and what was kept long enough is gone with the next sweep.

    async def test_a_restored_task_expires(self, broker: Broker) -> None:
        """Whether that has come already, or is still to come."""
        passed, coming = (
            a_stored_task(a_task(expires=NOW + seconds), created=NOW - 600) for seconds in (0, 9)
        )
        await restore(broker, passed, coming)
        assert ids(await take(broker, 1)) == [coming.id]
        await sweep_all(broker)
        assert (await stored_task(broker, passed.spec)).state is State.DEAD
        again = evolve(coming, spec=a_task(expires=NOW + 9))
        await restore(broker, again)
        assert (await sweep_all(broker, now=NOW + 9)).expired == 1
        assert (await stored_task(broker, again.spec)).error == "expired"

    async def test_a_restored_success_is_kept_for_the_rest_of_its_retention(
        self, broker: Broker
    ) -> None:
        """From when it ended, not from when it was restored."""
        gone, kept = (
            ended(State.COMPLETED, spec=a_task(retention=seconds)) for seconds in (59.5, 60.5)
        )
        await restore(broker, gone, kept)
        assert (await sweep_all(broker)).trimmed == 1
        assert await find_task(broker, gone.spec) is None
        assert await find_task(broker, kept.spec) is not None

    async def test_a_restored_failure_is_kept_as_long_as_others(self) -> None:
        """An archived or a dead task is trimmed by its age."""
        async with self.opened(RetentionPolicy(age=60.0)) as broker:
            await restore(broker, *(ended(s, finished=NOW - 61) for s in ENDED[1:]))
            await restore(broker, *(ended(s, finished=NOW - 59) for s in ENDED[1:]))
            assert (await sweep_all(broker)).trimmed == 2
            assert await broker.count() == {"default": {State.ARCHIVED: 1, State.DEAD: 1}}

    async def test_a_restored_task_takes_orders(self, broker: Broker) -> None:
        """It runs again, and ends, as any other."""
        task = ended(State.DEAD, error="no")
        await restore(broker, task)
        await execute_on(broker, task.spec, RunNow())
        claim = await take_one(broker)
        assert (claim.task.attempts, claim.task.error) == (1, None)
        await end(broker, claim, Succeeded(b"1"))
        assert (await stored_task(broker, task.spec)).result == b"1"

    async def test_many_tasks_are_restored_in_one_call(self, broker: Broker) -> None:
        """More than a store takes in one step, of several queues, with details."""
        tasks = [a_stored_task(each, attempts=1) for each in some_tasks(601)]
        others = [a_stored_task(each) for each in some_tasks(5, queue=ELSEWHERE)]
        await restore(broker, *tasks, *others)
        assert await broker.count() == {
            "default": {State.PENDING: 601},
            ELSEWHERE: {State.PENDING: 5},
        }
        assert ids(await take(broker, 1_000)) == ids_of(tasks)
        assert list(await broker.details("default", [tasks[0].id, tasks[-1].id])) == [DETAILS] * 2

    async def test_what_waits_for_no_one_is_restored_at_the_end_of_time(
        self, broker: Broker
    ) -> None:
        """A moment is a moment: only who has a unique key can be somebody's successor."""
        task = a_stored_task(state=State.SCHEDULED, due=LAST_MOMENT)
        await restore(broker, task)
        assert await stored_task(broker, task.spec) == task
        assert await broker.next_due(["default"]) is None

    async def test_all_options_at_once_are_restored(self, broker: Broker) -> None:
        """And a lease is given of it as of any other."""
        asked = all_examples("id", "due", "expires")
        if Capability.UNIQUE in broker.capabilities:
            asked.update(unique_key="k", unique_for=60.5)
        task = a_stored_task(a_task(**asked), attempts=2, unhandled_since=NOW - 9)
        await restore(broker, task)
        claim = await take_one(broker, task.queue, until=NOW + LEASE)
        assert claim.task == evolve(task, state=State.ACTIVE, attempts=3)

    async def test_a_restored_queue_takes_new_tasks(self, broker: Broker) -> None:
        """Nobody need have enqueued anything there before."""
        await restore(broker, ended(State.DEAD))
        task = a_task()
        assert await broker.enqueue([task], now=NOW) == [Enqueued(task.id, State.PENDING)]
        assert ids(await take(broker)) == [task.id]
