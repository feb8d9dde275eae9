"""Cases of fencing: `settle` and `extend` with a lease that was lost change nothing."""

from collections.abc import Sequence
from functools import partial

import pytest
from attrs import evolve

from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.states import State
from qcore.domain.task import Claim, Lease, Verdict
from qcore.domain.transitions import (
    Cancelled,
    Crashed,
    Deleted,
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
from qcore.testing.contract.base import Cases, in_threads, step
from qcore.testing.contract.states import REACHABLE, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.threads import twin_of

OUTCOMES: tuple[Transition, ...] = (
    Succeeded(b"late", "a/b"),
    Failed("late", NOW + 99),
    Exhausted("late"),
    Rejected("late"),
    Revoked(),
    Snoozed(NOW + 99, unhandled=True),
    Released(),
    Crashed("late"),
    Cancelled("late"),
)
"""Every row of "active" in the table."""


async def taken_over(broker: Broker) -> tuple[Claim, Claim]:
    """Return the claim of a worker that was taken for lost, and that of the worker after it."""
    lost = await a_claimed(broker, a_task(retention=3_600))
    await sweep_all(broker, now=lost.lease.until)
    return lost, await take_one(broker, now=lost.lease.until + 1)


def _named(outcome: Transition) -> str:
    return type(outcome).__name__


class FenceCases(Cases):
    """Late verdicts."""

    # - A verdict counts only with the current token of a task that is active, and the lease's
    #   end does not matter so long as nobody has taken the task back; otherwise nothing changes.

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=_named)
    async def test_a_stale_workers_verdict_changes_nothing(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """A worker that lost its task cannot end the run of the one who has it now."""
        lost, held = await taken_over(broker)
        before = await stored_task(broker, held.task.spec)
        assert await end(broker, lost, outcome, now=NOW + 40) == LeaseLost()
        assert await stored_task(broker, held.task.spec) == before
        assert await end(broker, held, Succeeded(b"mine", "a/b"), now=NOW + 41) == Settled(
            State.COMPLETED
        )
        assert (await stored_task(broker, held.task.spec)).result == b"mine"

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=_named)
    async def test_a_verdict_on_a_task_taken_back_changes_nothing(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """A task that crashed and waits for its next worker is not its last worker's any more."""
        lost = await a_claimed(broker, a_task(retention=3_600))
        await sweep_all(broker, now=NOW + 30)
        before = await stored_task(broker, lost.task.spec)
        assert await end(broker, lost, outcome, now=NOW + 31) == LeaseLost()
        assert await stored_task(broker, lost.task.spec) == before
        assert before.state is State.PENDING

    @pytest.mark.parametrize("step", [-1, 1, 1_000, -1_000_000, 2**16, 2**32, -(2**16)])
    async def test_another_token_is_not_the_current_one(self, broker: Broker, step: int) -> None:
        """A token must be the very one, neither an older nor a greater one."""
        claim = await a_claimed(broker)
        other = evolve(claim.lease, token=claim.lease.token + step)
        assert list(await broker.settle([Verdict(other, Revoked())], now=NOW)) == [LeaseLost()]
        assert await stored_task(broker, claim.task.spec) == claim.task
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)

    @pytest.mark.parametrize("state", [s for s in REACHABLE if s is not State.ACTIVE])
    async def test_a_task_that_is_not_active_has_no_current_token(
        self, broker: Broker, state: State
    ) -> None:
        """No token, not even zero or the last one, counts for a task that nobody runs."""
        task = await bring_to(broker, state)
        before = await stored_task(broker, task)
        verdicts = [Verdict(a_lease(task.id, token=token), Revoked()) for token in range(-1, 4)]
        assert list(await broker.settle(verdicts, now=NOW)) == [LeaseLost()] * 5
        assert await stored_task(broker, task) == before

    async def test_a_verdict_counts_after_the_lease_ran_out(self, broker: Broker) -> None:
        """A worker that was slow is believed while nobody has taken the task back."""
        claim = await a_claimed(broker)
        assert await end(broker, claim, Succeeded(), now=NOW + 86_400) == Settled(State.GONE)
        await nothing_is_left(broker, claim.task.spec)

    async def test_a_verdict_on_a_task_that_is_gone_brings_nothing_back(
        self, broker: Broker
    ) -> None:
        """A late result writes no record that nobody owns."""
        claim = await a_claimed(broker, a_task(max_crashes=1, retention=60))
        await sweep_all(broker, now=NOW + 30)
        await execute_on(broker, claim.task.spec, Deleted(), now=NOW + 31)
        assert await end(broker, claim, Succeeded(b"late", "a/b"), now=NOW + 32) == LeaseLost()
        await nothing_is_left(broker, claim.task.spec)

    async def test_a_lease_does_not_count_for_a_new_task_of_the_same_id(
        self, broker: Broker
    ) -> None:
        """A lease on a task that ended is no lease on the task that took its id."""
        old = await a_claimed(broker)
        await end(broker, old, Revoked())
        new = await a_claimed(broker, old.task.spec)
        assert await end(broker, old, Revoked()) == LeaseLost()
        assert await stored_task(broker, new.task.spec) == new.task

    async def test_a_lease_of_another_queue_does_not_count(self, broker: Broker) -> None:
        """A lease is on a task of one queue, also where another has the same id and token."""
        await put(broker, a_task(id="same", queue="a"), a_task(id="same", queue="b"))
        here = await take_one(broker, "a")
        assert await end(broker, Claim(here.task, evolve(here.lease, queue="b")), Revoked()) == (
            LeaseLost()
        )
        assert await broker.count() == {"a": {State.ACTIVE: 1}, "b": {State.PENDING: 1}}

    # - The same verdict twice: the second is `LeaseLost`, and changes nothing.

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=_named)
    async def test_the_same_verdict_again_changes_nothing(
        self, broker: Broker, outcome: Transition
    ) -> None:
        """A worker that does not know whether its verdict arrived may send it again."""
        claim = await a_claimed(broker, a_task(retention=60))
        await end(broker, claim, outcome)
        before = await broker.get("default", [claim.task.id])
        counted = await broker.count()
        assert await end(broker, claim, outcome, now=NOW + 1) == LeaseLost()
        assert list(await broker.get("default", [claim.task.id])) == list(before)
        assert await broker.count() == counted

    async def test_of_two_verdicts_in_a_batch_the_first_counts(self, broker: Broker) -> None:
        """Also within one batch a lease ends once."""
        claim = await a_claimed(broker)
        verdicts = [Verdict(claim.lease, Rejected("first")), Verdict(claim.lease, Succeeded())]
        assert list(await broker.settle(verdicts, now=NOW)) == [Settled(State.DEAD), LeaseLost()]
        assert (await stored_task(broker, claim.task.spec)).error == "first"

    # - Of verdicts on one lease that several threads or processes settle at the same time, one is
    #   `Settled` and is what the store keeps; the others are `LeaseLost`.

    async def test_of_verdicts_settled_at_once_one_counts(self, broker: Broker) -> None:
        """Four threads settle the same twenty leases: each lease ends once, as its winner said."""
        with twin_of(broker) as twin:
            for _ in range(10):
                await put(broker, *some_tasks(20, retention=60))
                leases = [claim.lease for claim in await take(broker)]
                settled = in_threads([partial(_settled, twin, leases, b"%d" % n) for n in range(4)])
                stored = await broker.get("default", [lease.id for lease in leases])
                for task, *answers in zip(stored, *settled, strict=True):
                    assert task is not None
                    assert task.state is State.COMPLETED
                    expected: list[Settled | LeaseLost] = [LeaseLost()] * 4
                    expected[int(task.result or b"")] = Settled(State.COMPLETED)
                    assert answers == expected


def _settled(
    broker: Broker, leases: Sequence[Lease], result: bytes
) -> Sequence[Settled | LeaseLost]:
    """Settle leases with one result; return the answers."""
    verdicts = [Verdict(lease, Succeeded(result, "a/b")) for lease in leases]
    return step(broker.settle(verdicts, now=NOW))


class ExtendCases(Cases):
    """Leases go on."""

    # - Each answer is at its lease's place: the same lease, ending at `until`, or `LeaseLost`.

    async def test_each_extension_is_answered_at_its_place(self, broker: Broker) -> None:
        """Renewed and lost leases come in the order asked, over several queues."""
        await put(broker, a_task(queue="a"), a_task(queue="b"))
        first, second = [claim.lease for claim in await take(broker, 2, "a", "b")]
        asked = [second, a_lease("nobody"), first, a_lease(queue="nowhere")]
        answers = await broker.extend(asked, until=NOW + 40.5)
        assert list(answers) == [
            evolve(second, until=NOW + 40.5),
            LeaseLost(),
            evolve(first, until=NOW + 40.5),
            LeaseLost(),
        ]

    async def test_extending_nothing_is_answered_with_nothing(self, broker: Broker) -> None:
        """No lease, no answer."""
        assert list(await broker.extend([], until=NOW + 30)) == []

    async def test_an_extended_lease_is_not_swept_at_its_old_end(self, broker: Broker) -> None:
        """A renewed lease holds until its new end, and not a millisecond longer."""
        claim = await a_claimed(broker)
        await broker.extend([claim.lease], until=NOW + 40)
        assert (await sweep_all(broker, now=NOW + 39.999)).crashed == 0
        assert (await sweep_all(broker, now=NOW + 40)).crashed == 1

    async def test_an_extension_leaves_the_token_and_the_task_alone(self, broker: Broker) -> None:
        """The lease from before it was renewed still settles the task."""
        claim = await a_claimed(broker)
        await broker.extend([claim.lease], until=NOW + 40)
        assert await stored_task(broker, claim.task.spec) == claim.task
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)

    async def test_a_lease_ends_at_any_moment(self, broker: Broker) -> None:
        """Earlier than before, too, and to the millisecond."""
        claim = await a_claimed(broker)
        for until in (NOW + 40.123, NOW + 7.377):
            (renewed,) = await broker.extend([claim.lease], until=until)
            assert renewed == evolve(claim.lease, until=until)
        assert (await sweep_all(broker, now=NOW + 7.376)).crashed == 0
        assert (await sweep_all(broker, now=NOW + 7.377)).crashed == 1
        claim = await take_one(broker, until=NOW + 9.123)
        assert (await sweep_all(broker, now=NOW + 9.122)).crashed == 0
        assert (await sweep_all(broker, now=NOW + 9.123)).crashed == 1

    async def test_one_lease_is_renewed_without_the_others(self, broker: Broker) -> None:
        """The leases of one claim end apart."""
        await put(broker, *some_tasks(2))
        one, two = await take(broker, 2)
        await broker.extend([two.lease], until=NOW + 60)
        assert (await sweep_all(broker, now=NOW + 30)).crashed == 1
        assert (await stored_task(broker, one.task.spec)).state is State.PENDING
        assert (await stored_task(broker, two.task.spec)).state is State.ACTIVE

    # - A lease that has run out is renewed all the same while nobody has taken the task back.

    async def test_a_lease_that_ran_out_is_renewed(self, broker: Broker) -> None:
        """A heartbeat that came late saves the lease if no sweep came before it."""
        claim = await a_claimed(broker)
        answers = await broker.extend([claim.lease], until=NOW + 129)
        assert list(answers) == [evolve(claim.lease, until=NOW + 129)]
        assert (await sweep_all(broker, now=NOW + 100)).crashed == 0

    # - A lease with another token than the task's, or of a task not active, is lost.

    async def test_a_stale_lease_is_not_renewed(self, broker: Broker) -> None:
        """A worker that lost its task learns so, and does not hold the other's lease."""
        lost, held = await taken_over(broker)
        answers = await broker.extend([lost.lease], until=NOW + 9_999)
        assert list(answers) == [LeaseLost()]
        assert (await sweep_all(broker, now=held.lease.until)).crashed == 1

    @pytest.mark.parametrize("state", [s for s in REACHABLE if s is not State.ACTIVE])
    async def test_a_task_that_is_not_active_has_no_lease(
        self, broker: Broker, state: State
    ) -> None:
        """Nothing is renewed of a task that nobody runs, and it stays as it is."""
        task = await bring_to(broker, state)
        before = await stored_task(broker, task)
        leases: list[Lease] = [a_lease(task.id, token=token) for token in range(3)]
        answers = await broker.extend(leases, until=NOW + 30)
        assert list(answers) == [LeaseLost()] * 3
        assert await stored_task(broker, task) == before
