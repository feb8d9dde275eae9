"""Cases of `save_details` and `details`."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import pytest

from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.new_task import NewTask
from qcore.domain.run_details import AttemptError, Details, DetailsSaved, DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import Claim, Lease
from qcore.domain.transitions import (
    Cancelled,
    Crashed,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take_one,
)

HALF: Final = Progress(NOW, 0.5, "half of it")
WHOLE: Final = Progress(NOW + 1, 1.0)
Way: TypeAlias = Callable[[Broker, Claim], Awaitable[object]]


async def jot(broker: Broker, claim: Claim, **notes: Progress | bytes) -> DetailsSaved | LeaseLost:
    """Make a note of one run."""
    progress, saved = notes.get("progress"), notes.get("saved")
    assert not isinstance(progress, bytes)
    assert not isinstance(saved, Progress)
    (answer,) = await broker.save_details([DetailsUpdate(claim.lease, progress, saved)])
    return answer


async def learn(broker: Broker, task: NewTask) -> Details:
    """Return what is kept of a task that must be stored."""
    (details,) = await broker.details(task.queue, [task.id])
    assert details is not None, f"{task.id} is gone"
    return details


class SaveDetailsCases(Cases):
    """What runs say of themselves."""

    # - Each answer is at its update's place: `DetailsSaved`, or `LeaseLost`.

    async def test_each_note_is_answered_at_its_place(self, broker: Broker) -> None:
        """Good notes and late ones come in any order, of tasks of several queues."""
        one, two = await a_claimed(broker), await a_claimed(broker, a_task(queue="b"))
        stale = Lease("default", one.task.id, one.lease.token + 1, NOW)
        notes = [
            DetailsUpdate(stale, HALF),
            DetailsUpdate(two.lease, WHOLE),
            DetailsUpdate(one.lease, HALF, b"part"),
        ]
        answers = await broker.save_details(notes)
        assert list(answers) == [LeaseLost(), DetailsSaved(), DetailsSaved()]
        assert await learn(broker, one.task.spec) == Details((), HALF, b"part")
        assert await learn(broker, two.task.spec) == Details((), WHOLE)
        assert list(await broker.save_details([])) == []

    # - An update counts as a verdict would: with the current token of a task that is active.

    async def test_a_stale_workers_note_changes_nothing(self, broker: Broker) -> None:
        """Who was taken for lost can neither report progress nor save anything."""
        task = a_task()
        stale = await a_claimed(broker, task)
        await sweep_all(broker, now=NOW + LEASE)
        assert await jot(broker, stale, saved=b"late") == LeaseLost()
        claim = await take_one(broker, now=NOW + LEASE)
        assert await jot(broker, stale, progress=HALF) == LeaseLost()
        assert await jot(broker, claim, progress=WHOLE) == DetailsSaved()
        assert (await learn(broker, task)).progress == WHOLE

    async def test_a_stale_worker_writes_over_nothing(self, broker: Broker) -> None:
        """What the run after it has saved is what the run after that will find."""
        stale = await a_claimed(broker)
        await jot(broker, stale, progress=HALF, saved=b"old")
        await sweep_all(broker, now=NOW + LEASE)
        assert await jot(broker, stale, saved=b"late") == LeaseLost()
        assert (await learn(broker, stale.task.spec)).saved == b"old"
        claim = await take_one(broker, now=NOW + LEASE)
        await jot(broker, claim, progress=WHOLE, saved=b"new")
        assert await jot(broker, stale, progress=HALF, saved=b"late") == LeaseLost()
        details = await learn(broker, claim.task.spec)
        assert (details.progress, details.saved) == (WHOLE, b"new")

    @pytest.mark.parametrize("state", [State.RETRY, State.COMPLETED, State.DEAD], ids=str)
    async def test_a_run_that_has_ended_notes_nothing(self, broker: Broker, state: State) -> None:
        """A lease that a verdict has ended is over for notes too."""
        task = a_task(retention=60)
        claim = await a_claimed(broker, task)
        outcomes: dict[State, Transition] = {
            State.RETRY: Failed("no", again_at=NOW + 9),
            State.COMPLETED: Succeeded(b"1", "a/b"),
            State.DEAD: Cancelled(),
        }
        assert await end(broker, claim, outcomes[state]) == Settled(state)
        assert await jot(broker, claim, progress=HALF, saved=b"late") == LeaseLost()
        details = await learn(broker, task)
        assert (details.progress, details.saved) == (None, None)

    async def test_a_note_on_a_task_that_is_gone_brings_nothing_back(self, broker: Broker) -> None:
        """There is no trace of it, nor of the note."""
        claim = await a_claimed(broker)
        await end(broker, claim, Succeeded())
        assert await jot(broker, claim, saved=b"late") == LeaseLost()
        await nothing_is_left(broker, claim.task.spec)

    # - Progress takes the place of earlier progress, and saved work that of earlier work; what an
    #   update does not have stays as it is.

    async def test_a_note_replaces_what_it_has_and_leaves_the_rest(self, broker: Broker) -> None:
        """Progress and saved work are kept apart."""
        claim = await a_claimed(broker)
        task = claim.task.spec
        await jot(broker, claim, saved=b"\0\xff")
        await jot(broker, claim, progress=HALF)
        assert await learn(broker, task) == Details((), HALF, b"\0\xff")
        await jot(broker, claim, progress=WHOLE)
        await jot(broker, claim, saved=b"")
        assert await learn(broker, task) == Details((), WHOLE, b"")

    async def test_a_note_leaves_the_task_as_it_is(self, broker: Broker) -> None:
        """It shows the same, and its lease is good."""
        claim = await a_claimed(broker)
        before = await stored_task(broker, claim.task.spec)
        await jot(broker, claim, progress=HALF, saved=b"x" * 100_000)
        assert await stored_task(broker, claim.task.spec) == before
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)

    @pytest.mark.parametrize("fraction", [0.0, 1e-9, 1.0])
    async def test_no_progress_is_progress(self, broker: Broker, fraction: float) -> None:
        """A run that has only begun says so: 0.0 is not the same as nothing said."""
        claim = await a_claimed(broker)
        await jot(broker, claim, progress=WHOLE)
        said = Progress(NOW, fraction, "")
        await jot(broker, claim, progress=said)
        assert (await learn(broker, claim.task.spec)).progress == said

    async def test_messages_may_be_any_text(self, broker: Broker) -> None:
        """What a run says comes back as it was said."""
        claim = await a_claimed(broker)
        said = Progress(NOW + 0.125, 1 / 3, "½ \0 \n 'é' \"🦆\"")
        await jot(broker, claim, progress=said)
        assert (await learn(broker, claim.task.spec)).progress == said


async def _fails(broker: Broker, claim: Claim) -> None:
    await end(broker, claim, Failed("no", again_at=NOW))


async def _snoozes(broker: Broker, claim: Claim) -> None:
    await end(broker, claim, Snoozed(NOW))


async def _is_released(broker: Broker, claim: Claim) -> None:
    await end(broker, claim, Released())


async def _crashes(broker: Broker, _: Claim) -> None:
    await sweep_all(broker, now=NOW + LEASE)


async def _is_run_again(broker: Broker, claim: Claim) -> None:
    await end(broker, claim, Rejected("no"))
    await execute_on(broker, claim.task.spec, RunNow())


WAYS: Final[tuple[Way, ...]] = (_fails, _snoozes, _is_released, _crashes, _is_run_again)


class DetailCases(Cases):
    """What is kept of runs."""

    # - Each answer is at its id's place, None for a task that is not stored in this queue.

    async def test_each_task_is_answered_at_its_place(self, broker: Broker) -> None:
        """A task of which nothing is kept has empty details; one that is not there has none."""
        claim = await a_claimed(broker)
        await put(broker, plain := a_task())
        await jot(broker, claim, saved=b"1")
        asked = ["nobody", plain.id, claim.task.id, plain.id]
        details = [None, Details(), Details(saved=b"1"), Details()]
        assert list(await broker.details("default", asked)) == details
        assert list(await broker.details("elsewhere", asked)) == [None] * 4

    # - The last ten errors, the oldest first: each with its moment, its attempt, and the worker,
    #   the traceback and the version that the verdict named. A lease that ran out is one of them.

    async def test_the_last_ten_errors_are_kept(self, broker: Broker) -> None:
        """Of twelve failures the first two are forgotten."""
        await put(broker, task := a_task())
        for n in range(1, 13):
            claim = await take_one(broker, now=NOW + n)
            failed = Failed(
                f"no {n}", NOW + n, burns=n > 3, worker="w", traceback=f"at {n}", version=f"1.{n}"
            )
            await end(broker, claim, failed, now=NOW + n)
        expected = [
            AttemptError(NOW + n, n, f"no {n}", "w", f"at {n}", f"1.{n}") for n in range(3, 13)
        ]
        assert (await learn(broker, task)).errors == tuple(expected)

    @pytest.mark.parametrize(
        "outcome",
        [
            Exhausted("for good", worker="w", traceback="there"),
            Rejected("no", worker="w", version="1.4 ✓"),
            Crashed("killed", worker="w"),
            Failed("no", again_at=NOW + 9),
        ],
        ids=lambda outcome: type(outcome).__name__,
    )
    async def test_whatever_went_wrong_is_kept(
        self, broker: Broker, outcome: Exhausted | Rejected | Crashed | Failed
    ) -> None:
        """A verdict that something went wrong says when, which attempt, who and where."""
        claim = await a_claimed(broker)
        await end(broker, claim, outcome, now=NOW + 2)
        about = outcome.worker, outcome.traceback, outcome.version
        fault = AttemptError(NOW + 2, 1, outcome.error, *about)
        assert await learn(broker, claim.task.spec) == Details((fault,))

    async def test_a_lease_that_ran_out_is_an_error(self, broker: Broker) -> None:
        """A lost worker cannot say anything; the history does."""
        claim = await a_claimed(broker, a_task(max_crashes=2))
        for n in (1, 2):
            await sweep_all(broker, now=NOW + n * LEASE)
            if n == 1:
                await take_one(broker, now=NOW, until=NOW + LEASE)
        errors = [AttemptError(NOW + n * LEASE, n, Crashed().error) for n in (1, 2)]
        assert (await learn(broker, claim.task.spec)).errors == tuple(errors)
        assert (await stored_task(broker, claim.task.spec)).state is State.DEAD

    @pytest.mark.parametrize("outcome", [Snoozed(NOW), Released(), Cancelled()], ids=str)
    async def test_what_is_no_error_adds_none(self, broker: Broker, outcome: Transition) -> None:
        """Putting a task off, giving it back and cancelling it are nobody's mistake."""
        claim = await a_claimed(broker)
        await end(broker, claim, outcome)
        assert await learn(broker, claim.task.spec) == Details()

    async def test_a_success_keeps_the_history(self, broker: Broker) -> None:
        """What went wrong before can be seen while the task is kept."""
        claim = await a_claimed(broker, a_task(retention=60))
        await end(broker, claim, Failed("no", again_at=NOW))
        await end(broker, await take_one(broker), Succeeded())
        assert await learn(broker, claim.task.spec) == Details((AttemptError(NOW, 1, "no"),))

    # - The last progress and the last saved work, whatever became of the run.

    async def test_an_empty_text_is_not_none(self, broker: Broker) -> None:
        """Nor are blanks cut off: the history shows what the verdict said."""
        outcomes = (
            Failed("", NOW, worker="", traceback=""),
            Failed(" no\n", NOW, worker=" w ", traceback=" at\n"),
        )
        claim = await a_claimed(broker)
        for outcome in outcomes:
            await end(broker, claim, outcome)
            assert (await stored_task(broker, claim.task.spec)).error == outcome.error
            claim = await take_one(broker)
        assert (await learn(broker, claim.task.spec)).errors == tuple(
            AttemptError(NOW, n, each.error, each.worker, each.traceback)
            for n, each in enumerate(outcomes, 1)
        )

    async def test_to_save_details_leaves_the_lease_as_it_is(self, broker: Broker) -> None:
        """It neither renews it nor ends it."""
        claim = await a_claimed(broker)
        await jot(broker, claim, progress=HALF, saved=b"so far")
        assert (await sweep_all(broker, now=claim.lease.until - 0.001)).crashed == 0
        assert (await sweep_all(broker, now=claim.lease.until)).crashed == 1

    async def test_of_two_updates_of_a_run_in_a_batch_the_later_counts(
        self, broker: Broker
    ) -> None:
        """Field by field: what the later one does not have, the earlier one has written."""
        claim = await a_claimed(broker)
        updates = [
            DetailsUpdate(claim.lease, WHOLE, b"first"),
            DetailsUpdate(claim.lease, saved=b"second"),
            DetailsUpdate(claim.lease, HALF),
        ]
        assert list(await broker.save_details(updates)) == [DetailsSaved()] * 3
        assert await learn(broker, claim.task.spec) == Details((), HALF, b"second")

    async def test_saved_work_outlives_every_crash(self, broker: Broker) -> None:
        """Each run finds what the one before it saved, and a reader what the last one did."""
        claim = await a_claimed(broker, a_task(max_crashes=4))
        for n in range(1, 5):
            await jot(broker, claim, saved=b"%d" % n)
            await sweep_all(broker, now=NOW + n * LEASE)
            assert (await learn(broker, claim.task.spec)).saved == b"%d" % n
            if n < 4:
                claim = await take_one(broker, now=NOW, until=NOW + (n + 1) * LEASE)
                assert (await learn(broker, claim.task.spec)).saved == b"%d" % n
        assert (await stored_task(broker, claim.task.spec)).state is State.DEAD

    @pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
    async def test_the_next_attempt_finds_what_was_saved(self, broker: Broker, way: Way) -> None:
        """However a run ends that another follows, it has not lost what it had done."""
        task = a_task()
        claim = await a_claimed(broker, task)
        await jot(broker, claim, progress=HALF, saved=b"so far")
        await way(broker, claim)
        details = await learn(broker, task)
        assert (details.progress, details.saved) == (HALF, b"so far")
        again = await take_one(broker, now=NOW + LEASE)
        await jot(broker, again, progress=WHOLE)
        details = await learn(broker, task)
        assert (details.progress, details.saved) == (WHOLE, b"so far")

    # - All of it is kept until the task is gone, or another takes its id.

    async def test_a_new_task_of_the_id_begins_with_nothing(self, broker: Broker) -> None:
        """What is kept was the other's."""
        claim = await a_claimed(broker, a_task(id="same"))
        await jot(broker, claim, progress=HALF, saved=b"old")
        await end(broker, claim, Exhausted("no"))
        await put(broker, new := a_task(id="same"))
        assert await learn(broker, new) == Details()

    @pytest.mark.parametrize("outcome", [Succeeded(), Rejected("no")], ids=str)
    async def test_nothing_is_kept_of_a_task_that_is_gone(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """A task of its id that comes later, and is claimed, finds nothing."""
        task = a_task(id="same")
        claim = await a_claimed(broker, task)
        await end(broker, claim, Failed("no", again_at=NOW))
        claim = await take_one(broker)
        await jot(broker, claim, progress=HALF, saved=b"old")
        await end(broker, claim, outcome)
        await execute_on(broker, task, Deleted())
        await nothing_is_left(broker, task)
        assert list(await broker.details("default", ["same"])) == [None]
        await a_claimed(broker, task)
        assert await learn(broker, task) == Details()
