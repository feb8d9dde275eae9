"""Cases of `Consumer.settle`: the effect of each verdict."""

import pytest

from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.states import State
from qcore.domain.task import Verdict
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
from qcore.testing.builders import NOW, a_lease, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    ids,
    ids_of,
    nothing_is_left,
    put,
    stored_task,
    take,
    take_one,
)


class SettleCases(Cases):
    """Verdicts that count."""

    # - Each answer is at its verdict's place: `Settled` with the task's new state, or
    #   `LeaseLost`.

    async def test_each_verdict_is_answered_at_its_place(self, broker: Broker) -> None:
        """Answers of every kind come in the order of the verdicts, over several queues."""
        await put(broker, *some_tasks(2, queue="a"), *some_tasks(2, queue="b"))
        leases = [claim.lease for claim in await take(broker, 4, "a", "b")]
        answers = await broker.settle(
            [
                Verdict(leases[3], Failed("no", again_at=NOW + 5)),
                Verdict(a_lease(queue="a"), Succeeded()),
                Verdict(leases[0], Succeeded()),
                Verdict(a_lease(queue="nowhere"), Succeeded()),
                Verdict(leases[2], Released()),
                Verdict(leases[1], Rejected("never")),
            ],
            now=NOW,
        )
        assert list(answers) == [
            Settled(State.RETRY),
            LeaseLost(),
            Settled(State.GONE),
            LeaseLost(),
            Settled(State.PENDING),
            Settled(State.DEAD),
        ]

    async def test_no_verdicts_are_answered_with_nothing(self, broker: Broker) -> None:
        """Settling nothing is allowed."""
        assert list(await broker.settle([], now=NOW)) == []

    # - `Succeeded`: kept with its result for `retention` seconds from `now`, or gone.

    async def test_a_success_without_retention_leaves_nothing(self, broker: Broker) -> None:
        """Retention is zero unless asked for: a task that succeeded is gone, with its result."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Succeeded(b"1", "a/b")) == Settled(State.GONE)
        await nothing_is_left(broker, claim.task.spec)

    @pytest.mark.parametrize("retention", [0.001, 0.25, 1.0, 3_600.0])
    async def test_a_success_is_kept_for_its_retention(
        self, broker: Broker, retention: float
    ) -> None:
        """A completed task keeps its result, also for a part of a second."""
        claim = await a_claimed(broker, a_task(retention=retention))
        answer = await end(broker, claim, Succeeded(b"\x00\xff", "a/b"), now=NOW + 2)
        assert answer == Settled(State.COMPLETED)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.finished) == (State.COMPLETED, NOW + 2)
        assert (stored.result, stored.result_type) == (b"\x00\xff", "a/b")

    @pytest.mark.parametrize("result", [None, b""])
    async def test_nothing_and_an_empty_result_are_told_apart(
        self, broker: Broker, result: bytes | None
    ) -> None:
        """A task that kept no result has None, one whose result is empty has empty bytes."""
        claim = await a_claimed(broker, a_task(retention=60))
        await end(broker, claim, Succeeded(result, None if result is None else "a/b"))
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.result, stored.result_type) == (result, None if result is None else "a/b")

    async def test_a_success_clears_the_error_of_earlier_runs(self, broker: Broker) -> None:
        """A task that succeeded in the end shows its failures, and no error."""
        first = await a_claimed(broker, a_task(retention=60))
        await end(broker, first, Failed("no", again_at=NOW + 1))
        await end(broker, await take_one(broker, now=NOW + 1), Succeeded(), now=NOW + 2)
        stored = await stored_task(broker, first.task.spec)
        assert (stored.error, stored.failures, stored.attempts) == (None, 1, 2)

    # - `Failed`: one failure more if it `burns`, its error kept, due at `again_at`.

    async def test_a_failure_burns_a_retry(self, broker: Broker) -> None:
        """A failed task has one failure more, its error, and the moment of its next run."""
        claim = await a_claimed(broker)
        failed = Failed("ValueError: no", again_at=NOW + 7.125)
        assert await end(broker, claim, failed) == Settled(State.RETRY)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.due) == (State.RETRY, NOW + 7.125)
        assert (stored.failures, stored.error, stored.finished) == (1, "ValueError: no", None)

    async def test_a_failure_that_does_not_burn_is_not_counted(self, broker: Broker) -> None:
        """A failure that does not burn is retried as any, and leaves the budget alone."""
        claim = await a_claimed(broker)
        await end(broker, claim, Failed("busy", again_at=NOW + 7, burns=False))
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.failures, stored.error) == (State.RETRY, 0, "busy")

    async def test_a_retry_that_is_due_already_is_claimed_at_once(self, broker: Broker) -> None:
        """A failure may ask for its next run now."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Failed("no", again_at=NOW)) == Settled(State.RETRY)
        assert ids(await take(broker)) == [claim.task.id]

    async def test_failures_add_up(self, broker: Broker) -> None:
        """Each failure adds one, and the last error is the one kept."""
        claim = await a_claimed(broker)
        for n in range(1, 4):
            await end(broker, claim, Failed(f"error {n}", again_at=NOW))
            claim = await take_one(broker)
        assert (claim.task.failures, claim.task.attempts, claim.task.error) == (3, 4, "error 3")

    # - `Exhausted`: one failure more; archived with its error. `Rejected`: dead with its error.

    async def test_an_exhausted_task_is_archived(self, broker: Broker) -> None:
        """The last failure counts too, and the task is kept with it."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Exhausted("no"), now=NOW + 1) == Settled(State.ARCHIVED)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.finished) == (State.ARCHIVED, NOW + 1)
        assert (stored.failures, stored.error) == (1, "no")

    async def test_a_rejected_task_is_dead(self, broker: Broker) -> None:
        """A rejected task is kept with its error, and burned nothing."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Rejected("never"), now=NOW + 1) == Settled(State.DEAD)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.finished) == (State.DEAD, NOW + 1)
        assert (stored.failures, stored.error) == (0, "never")

    # - `Snoozed`: due at `again_at`. `Released`: pending ahead of its whole priority, as it was
    #   before it was claimed; several of them in the order of their tokens, however they are
    #   given back. Neither burns anything.

    async def test_a_snooze_burns_nothing(self, broker: Broker) -> None:
        """A snoozed task is scheduled for its moment, its budgets as they were."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Snoozed(NOW + 7.5)) == Settled(State.SCHEDULED)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.due) == (State.SCHEDULED, NOW + 7.5)
        assert (stored.failures, stored.crashes, stored.error) == (0, 0, None)

    async def test_a_release_burns_nothing(self, broker: Broker) -> None:
        """A released task is pending, its budgets as they were."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Released(), now=NOW + 1) == Settled(State.PENDING)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.due, stored.created) == (State.PENDING, NOW, NOW)
        assert (stored.failures, stored.crashes, stored.error) == (0, 0, None)

    async def test_released_tasks_go_to_the_head_in_their_old_order(self, broker: Broker) -> None:
        """However they are released, tasks come out again as if they had not been claimed."""
        tasks = some_tasks(6)
        await put(broker, *tasks)
        claims = await take(broker, 4)
        await broker.settle([Verdict(claims[n].lease, Released()) for n in (2, 0)], now=NOW)
        await end(broker, claims[3], Released())
        await end(broker, claims[1], Released())
        assert ids(await take(broker)) == ids_of(tasks)

    async def test_a_released_task_stays_behind_higher_priorities(self, broker: Broker) -> None:
        """The head is that of its own priority: higher ones still come first."""
        low = await a_claimed(broker, a_task(priority=-1))
        await put(broker, same := a_task(priority=-1), high := a_task())
        await end(broker, low, Released())
        assert ids(await take(broker)) == [high.id, low.task.id, same.id]

    async def test_a_release_is_an_attempt_all_the_same(self, broker: Broker) -> None:
        """It began, so the attempts go on counting: neither given back, nor counted once more."""
        claim = await a_claimed(broker)
        for attempt in (1, 2, 3):
            assert claim.task.attempts == attempt
            await end(broker, claim, Released())
            assert (await stored_task(broker, claim.task.spec)).attempts == attempt
            claim = await take_one(broker)

    # - `Snoozed(unhandled=True)` sets `unhandled_since` to `now` if it is not set; every other
    #   verdict clears it.

    async def test_a_task_without_a_handler_remembers_since_when(self, broker: Broker) -> None:
        """The first worker without a handler starts the clock, those after it do not."""
        claim = await a_claimed(broker)
        await end(broker, claim, Snoozed(NOW + 1, unhandled=True), now=NOW + 0.5)
        assert (await stored_task(broker, claim.task.spec)).unhandled_since == NOW + 0.5
        again = await take_one(broker, now=NOW + 1)
        assert again.task.unhandled_since == NOW + 0.5
        await end(broker, again, Snoozed(NOW + 9, unhandled=True), now=NOW + 2)
        assert (await stored_task(broker, claim.task.spec)).unhandled_since == NOW + 0.5

    @pytest.mark.parametrize(
        "outcome",
        [
            Failed("no", NOW + 9),
            Exhausted("no"),
            Rejected("no"),
            Snoozed(NOW + 9),
            Released(),
            Crashed(),
            Cancelled(),
            Succeeded(),
        ],
        ids=lambda outcome: type(outcome).__name__,
    )
    async def test_any_other_verdict_forgets_that_there_was_no_handler(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """A worker that could tell what became of the task had a handler for it."""
        claim = await a_claimed(broker, a_task(retention=60))
        await end(broker, claim, Snoozed(NOW, unhandled=True))
        await end(broker, await take_one(broker), outcome)
        assert (await stored_task(broker, claim.task.spec)).unhandled_since is None

    # - `Crashed`: one crash more, and pending again at its old place, or dead at `max_crashes`.

    async def test_a_crash_burns_a_budget_of_its_own(self, broker: Broker) -> None:
        """A crash is not a failure: it is counted apart, and the task is pending."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Crashed("gone")) == Settled(State.PENDING)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.state, stored.crashes, stored.failures) == (State.PENDING, 1, 0)
        assert stored.error == "gone"

    async def test_a_crashed_task_goes_back_to_its_old_place(self, broker: Broker) -> None:
        """A task whose worker was lost comes before those that came after it."""
        tasks = some_tasks(4)
        await put(broker, *tasks)
        claims = await take(broker, 2)
        await end(broker, claims[1], Crashed())
        await end(broker, claims[0], Crashed())
        assert ids(await take(broker)) == ids_of(tasks)

    @pytest.mark.parametrize("most", [1, 2, 3])
    async def test_the_last_crash_kills(self, broker: Broker, most: int) -> None:
        """The crash that reaches `max_crashes` leaves the task dead, with the reason."""
        task = a_task(max_crashes=most)
        await put(broker, task)
        for _ in range(most - 1):
            assert await end(broker, await take_one(broker), Crashed()) == Settled(State.PENDING)
        last = await take_one(broker)
        assert await end(broker, last, Crashed("poison"), now=NOW + 1) == Settled(State.DEAD)
        stored = await stored_task(broker, task)
        assert (stored.crashes, stored.error, stored.finished) == (most, "poison", NOW + 1)

    # - `Cancelled`: dead with its reason. `Revoked`: gone.

    async def test_a_cancelled_task_is_dead_with_the_reason(self, broker: Broker) -> None:
        """A task cancelled while it ran is kept, and says why."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Cancelled("not wanted")) == Settled(State.DEAD)
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.error, stored.finished, stored.failures) == ("not wanted", NOW, 0)

    async def test_a_revoked_task_leaves_nothing(self, broker: Broker) -> None:
        """A revoked task is gone, whatever its retention."""
        claim = await a_claimed(broker, a_task(retention=60))
        assert await end(broker, claim, Revoked()) == Settled(State.GONE)
        await nothing_is_left(broker, claim.task.spec)

    async def test_an_error_may_be_any_text(self, broker: Broker) -> None:
        """Errors keep their lines, quotes and scripts."""
        error = "Zeile 1\n\t\"2\" 'drei' %s :x \\0 ${y} \U0001f600\r\n" * 20
        claim = await a_claimed(broker)
        await end(broker, claim, Rejected(error))
        assert (await stored_task(broker, claim.task.spec)).error == error
