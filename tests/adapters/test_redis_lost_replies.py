import pytest

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import CLAIM, ENQUEUE, EXTEND, RESTORE, TRANSITION
from qcore.domain.answers import Conflict, Enqueued, LeaseLost, Moved, Restored, Settled
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Command,
    Deleted,
    Failed,
    Released,
    RunNow,
    Succeeded,
)
from qcore.domain.transitions import Transition as Outcome
from qcore.testing.builders import LEASE, NOW, a_stored_task, a_task, some_tasks
from qcore.testing.contract.base import step
from qcore.testing.contract.restoring import DETAILS
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    ids,
    ids_of,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from tests.adapters.redis_kit import CutReplies, asks, pauses

__all__ = ["pauses"]

PATIENCE = 30.0


class TestLostReplies(CutReplies):
    """A reply that was cut after the work was done is asked for again; the work is done once."""

    async def test_an_enqueue_is_made_once(self, broker: RedisBroker) -> None:
        """Every task of the batch is enqueued, none conflicts with itself."""
        await put(broker, before := a_task())
        tasks = some_tasks(600)
        cut = self.cut(ENQUEUE)
        await put(broker, *tasks)
        assert cut.wait(PATIENCE)
        assert ids(await take(broker, 700)) == [before.id, *ids_of(tasks)]

    async def test_what_was_refused_is_refused_again(self, broker: RedisBroker) -> None:
        """A conflict is answered as a conflict, the others as enqueued."""
        await put(broker, known := a_task())
        cut = self.cut(ENQUEUE)
        answers = await broker.enqueue([fresh := a_task(), known], now=NOW)
        assert cut.wait(PATIENCE)
        assert list(answers) == [
            Enqueued(fresh.id, State.PENDING),
            Conflict(known.id, State.PENDING),
        ]

    async def test_a_queue_is_made_once(self, broker: RedisBroker) -> None:
        """The first tasks of a queue are enqueued, whichever of its making's replies was cut."""
        for n, asked in enumerate((asks(ENQUEUE), lambda request: b"SADD" in request)):
            cut = self.proxy.cut_reply(asked)
            await put(broker, a_task(queue=f"new-{n}"))
            assert cut.wait(PATIENCE)
        assert await broker.count() == {f"new-{n}": {State.PENDING: 1} for n in range(2)}

    async def test_a_task_that_has_run_meanwhile_is_not_enqueued_again(
        self, broker: RedisBroker
    ) -> None:
        """It was done and is gone before its producer asked again."""
        await put(broker, a_task())
        cut = self.cut(ENQUEUE, lambda other: step(run(other)))
        await put(broker, *some_tasks(3))
        assert cut.wait(PATIENCE)
        assert await broker.count() == {}

    async def test_enqueues_to_several_queues_are_made_once_each(self, broker: RedisBroker) -> None:
        """Of the calls that were on their way together, some were answered."""
        await put(broker, *(a_task(queue=queue) for queue in "abc"))
        cut = self.proxy.cut_reply(lambda request: b"{b}" in request)
        await put(broker, *(a_task(queue=queue) for queue in "abc"))
        assert cut.wait(PATIENCE)
        assert await broker.count() == {queue: {State.PENDING: 2} for queue in "abc"}

    async def test_a_restore_is_made_once(self, broker: RedisBroker) -> None:
        """What was stored is answered as restored, and what was in the way as before."""
        await put(broker, known := a_task())
        tasks = [TaskSnapshot(a_stored_task(each), DETAILS) for each in (*some_tasks(300), known)]
        cut = self.cut(RESTORE)
        answers = await broker.restore(tasks, now=NOW)
        assert cut.wait(PATIENCE)
        assert [type(each) for each in answers] == [*[Restored] * 300, Conflict]
        assert await broker.count() == {"default": {State.PENDING: 301}}

    async def test_a_claim_is_made_once(self, broker: RedisBroker) -> None:
        """What was handed out to nobody is handed out to who asks again."""
        await put(broker, *(tasks := some_tasks(600, priority=1)))
        cut = self.cut(CLAIM)
        claims = await take(broker, 500)
        assert cut.wait(PATIENCE)
        assert ids(claims) == ids_of(tasks[:500])
        assert [claim.task.attempts for claim in claims] == [1] * 500
        first = claims[0].lease.token
        assert [claim.lease.token for claim in claims] == list(range(first, first + 500))
        assert await broker.count() == {"default": {State.PENDING: 100, State.ACTIVE: 500}}
        answers = await broker.settle([Verdict(c.lease, Succeeded()) for c in claims], now=NOW)
        assert set(answers) == {Settled(State.GONE)}

    async def test_a_claim_that_took_all_there_was_is_made_once(self, broker: RedisBroker) -> None:
        """The queues are empty when it is asked for again."""
        tasks = [a_task(id="1|2", queue="a"), a_task(id="é", queue="b")]
        await put(broker, *tasks)
        cut = self.cut(CLAIM)
        assert ids(await take(broker, 10, "a", "b")) == ids_of(tasks)
        assert cut.wait(PATIENCE)

    async def test_a_claim_whose_lease_ran_out_meanwhile_is_not_handed_out(
        self, broker: RedisBroker
    ) -> None:
        """The task was taken back, and another worker has it."""
        await put(broker, *(tasks := some_tasks(2)))
        late = NOW + LEASE

        async def take_over(other: RedisBroker) -> None:
            await sweep_all(other, now=late)
            await take_one(other, now=late)

        cut = self.cut(CLAIM, lambda other: step(take_over(other)))
        assert await take(broker) == []
        assert cut.wait(PATIENCE)
        assert await broker.count() == {"default": {State.PENDING: 1, State.ACTIVE: 1}}
        assert ids(await take(broker)) == [tasks[1].id]

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [
            (Succeeded(), State.GONE),
            (Succeeded(b"42"), State.COMPLETED),
            (Failed("no", NOW + 1), State.RETRY),
            (Released(), State.PENDING),
        ],
        ids=lambda value: type(value).__name__ if not isinstance(value, State) else str(value),
    )
    async def test_a_verdict_counts_once(
        self, broker: RedisBroker, outcome: Outcome, state: State
    ) -> None:
        """It is settled, and no lease is said to be lost."""
        retention = 60.0 if state is State.COMPLETED else 0.0
        claim = await a_claimed(broker, a_task(retention=retention))
        cut = self.cut(TRANSITION)
        assert await end(broker, claim, outcome) == Settled(state)
        assert cut.wait(PATIENCE)
        assert await end(broker, claim, outcome) == LeaseLost()
        assert await broker.count() == ({} if state is State.GONE else {"default": {state: 1}})

    async def test_a_verdict_counted_though_the_task_has_gone_on(self, broker: RedisBroker) -> None:
        """It failed, and ran again elsewhere before its first worker asked again."""
        claim = await a_claimed(broker)
        cut = self.cut(TRANSITION, lambda other: step(run(other, now=NOW + 1)))
        assert await end(broker, claim, Failed("no", NOW + 1)) == Settled(State.RETRY)
        assert cut.wait(PATIENCE)
        assert await broker.count() == {}

    async def test_a_lease_is_renewed(self, broker: RedisBroker) -> None:
        """It is not said to be lost."""
        claim = await a_claimed(broker)
        cut = self.cut(EXTEND)
        (lease,) = await broker.extend([claim.lease], until=NOW + 90)
        assert cut.wait(PATIENCE)
        assert not isinstance(lease, LeaseLost)
        assert (await sweep_all(broker, now=NOW + 89)).crashed == 0

    @pytest.mark.parametrize(
        ("order", "state"),
        [
            (RunNow(), State.PENDING),
            (Archived(), State.ARCHIVED),
            (Cancelled(), State.DEAD),
            (Deleted(), State.GONE),
        ],
        ids=lambda value: type(value).__name__ if not isinstance(value, State) else str(value),
    )
    async def test_an_order_is_carried_out_once(
        self, broker: RedisBroker, order: Command, state: State
    ) -> None:
        """It is answered with the move, not with what there is after it."""
        await put(broker, task := a_task(due=NOW + 60))
        cut = self.cut(TRANSITION)
        assert await execute_on(broker, task, order) == Moved(state)
        assert cut.wait(PATIENCE)
        assert await broker.count() == ({} if state is State.GONE else {"default": {state: 1}})

    async def test_a_place_that_was_reserved_for_nobody_is_no_harm(
        self, broker: RedisBroker
    ) -> None:
        """The reply to the reservation was cut: the task is last all the same."""
        await put(broker, task := a_task(due=NOW + 60), *(others := some_tasks(2)))
        cut = self.proxy.cut_reply(lambda request: b"HINCRBY" in request)
        assert await execute_on(broker, task, RunNow()) == Moved(State.PENDING)
        assert cut.wait(PATIENCE)
        assert ids(await take(broker)) == [*ids_of(others), task.id]

    async def test_a_crash_is_counted_once(self, broker: RedisBroker) -> None:
        """A sweep that asks again takes nobody's task back twice."""
        claim = await a_claimed(broker)
        cut = self.cut(TRANSITION)
        assert (await sweep_all(broker, now=NOW + LEASE)).crashed == 1
        assert cut.wait(PATIENCE)
        assert (await stored_task(broker, claim.task.spec)).crashes == 1

    async def test_a_reply_that_comes_too_late_is_asked_for_again(self) -> None:
        """The work is done once, whether the server was slow or the way back."""
        self.url += "?timeout=1"
        async with self.opened() as broker:
            await put(broker, a_task())
            for call in (put(broker, a_task()), take(broker)):
                self.proxy.hold()
                self.pauses.meanwhile.append(self.proxy.release)
                await call
            assert await broker.count() == {"default": {State.ACTIVE: 2}}


class TestLostRepliesOfTheBlockingLink(TestLostReplies):
    """It is the same over the link that blocks."""

    blocking = True


async def run(broker: RedisBroker, now: float = NOW) -> None:
    """Run all there is to run."""
    verdicts = [Verdict(claim.lease, Succeeded()) for claim in await take(broker, now=now)]
    assert set(await broker.settle(verdicts, now=now)) == {Settled(State.GONE)}
