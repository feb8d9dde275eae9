"""What `Consumer.next_due` and `Notifier.subscribe` promise, to one who waits for work."""

from threading import Event as Notified
from typing import Final, TypeAlias

import pytest

from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.transitions import Archived, Cancelled, Deleted, Failed, Released, RunNow, Snoozed
from qcore.ports import (
    Broker,
    EntriesChanged,
    LeaseEnded,
    Notification,
    TasksChanged,
    WorkAvailable,
)
from qcore.testing.builders import LEASE, NOW, a_stored_task, a_task, some_tasks
from qcore.testing.contract.base import Cases, step
from qcore.testing.contract.states import LATER, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    ids,
    on_work,
    put,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.threads import twin_of

Kind: TypeAlias = type[WorkAvailable] | type[LeaseEnded] | type[TasksChanged] | type[EntriesChanged]

KINDS: Final[tuple[Kind, ...]] = (WorkAvailable, LeaseEnded, TasksChanged)


class Told:
    """What was told of leases: each by its queue and its token."""

    def __init__(self) -> None:
        self.notified: set[tuple[str, int]] = set()
        self._awaited: dict[tuple[str, int], Notified] = {}

    def __call__(self, notification: Notification) -> None:
        """Take note of a lease that has ended."""
        assert isinstance(notification, LeaseEnded)
        lease = notification.queue, notification.token
        self.notified.add(lease)
        self.of(*lease).set()

    def of(self, queue: str, token: int) -> Notified:
        """Return what is set when that lease has ended."""
        return self._awaited.setdefault((queue, token), Notified())


class Kept:
    """Which kinds of notifications came to one who asked for some of them."""

    def __init__(self, *kinds: Kind) -> None:
        self.kinds = kinds
        self.of = {kind: Notified() for kind in (*KINDS, EntriesChanged)}

    def __call__(self, notification: Notification) -> None:
        self.of[type(notification)].set()

    def forget(self) -> None:
        """Forget what came so far, as after a connection."""
        for notified in self.of.values():
            notified.clear()

    @property
    def told(self) -> set[Kind]:
        """Return the kinds that came."""
        return {kind for kind, notified in self.of.items() if notified.is_set()}


class NextDueCases(Cases):
    """When there will be work."""

    # - None when there is none, or when all that there are wait for the end of another task (they
    #   are due at `LAST_MOMENT`). The moment may have passed already.

    async def test_an_empty_broker_has_nothing_due(self, broker: Broker) -> None:
        """No queues, unknown queues: nothing will be due."""
        assert await broker.next_due([]) is None
        assert await broker.next_due(["nowhere"]) is None

    @pytest.mark.parametrize(
        "state", [State.PENDING, State.ACTIVE, State.COMPLETED, State.ARCHIVED, State.DEAD]
    )
    async def test_only_what_waits_for_its_moment_is_due(
        self, broker: Broker, state: State
    ) -> None:
        """A task that is neither scheduled nor retrying has no moment to wait for."""
        await bring_to(broker, state)
        assert await broker.next_due(["default"]) is None

    @pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRY])
    async def test_what_waits_is_due_at_its_moment(self, broker: Broker, state: State) -> None:
        """Scheduled and retrying tasks are due at their moments."""
        await bring_to(broker, state)
        assert await broker.next_due(["default"]) == LATER

    async def test_the_earliest_of_all_queues_named_counts(self, broker: Broker) -> None:
        """The next moment is the least, of the queues asked for alone."""
        for queue, seconds in (("a", 5.125), ("a", 3.25), ("b", 2.5), ("c", 1.0)):
            await put(broker, a_task(queue=queue, due=NOW + seconds))
        assert await broker.next_due(["a"]) == NOW + 3.25
        assert await broker.next_due(["a", "b", "nowhere"]) == NOW + 2.5

    async def test_the_next_moment_may_be_past(self, broker: Broker) -> None:
        """A task whose moment has passed and that no claim has made pending still says when."""
        claim = await a_claimed(broker)
        await end(broker, claim, Failed("no", again_at=NOW - 5))
        assert await broker.next_due(["default"]) == NOW - 5

    async def test_a_moment_that_came_is_not_next_any_more(self, broker: Broker) -> None:
        """Once pending, a task has no moment; the one after it is next."""
        await put(broker, a_task(due=NOW + 1), a_task(due=NOW + 2))
        await take(broker, now=NOW + 1)
        assert await broker.next_due(["default"]) == NOW + 2


class SubscribeCases(Cases):
    """Wake-ups."""

    # - When an enqueue, a claim, a settle, a sweep, a restore or an operator's command gives one
    #   of these queues something pending where there was nothing, or an earlier moment at which
    #   something is due, `notify` is called with `WorkAvailable`: in the same process at once,
    #   from another process within the broker's own delay. What a claim gives is what it makes
    #   pending and leaves.

    @pytest.mark.parametrize(
        "task",
        [
            a_stored_task(),
            a_stored_task(attempts=1, state=State.ACTIVE),
            a_stored_task(state=State.SCHEDULED, due=NOW + 60),
            a_stored_task(state=State.RETRY, due=NOW + 60, failures=1),
        ],
        ids=lambda task: task.state,
    )
    async def test_what_is_restored_is_heard(self, broker: Broker, task: Task) -> None:
        """Who listens hears of all that is to be run, at once or later."""
        woken = Notified()
        subscription = await on_work(broker, ["default"], woken.set)
        await broker.restore([TaskSnapshot(task)], now=NOW)
        assert await self.comes(woken)
        await subscription.close()

    @pytest.mark.parametrize("due", [None, NOW + 60])
    async def test_an_enqueue_is_heard(self, broker: Broker, due: float | None) -> None:
        """Who listens hears of pending tasks, and of scheduled ones, whose moment may be next."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await put(broker, a_task(due=due))
        assert await self.comes(notified)
        await subscription.close()

    @pytest.mark.parametrize(
        "outcome",
        [Failed("no", NOW + 9), Snoozed(NOW + 9), Released()],
        ids=lambda outcome: type(outcome).__name__,
    )
    async def test_a_verdict_that_puts_a_task_back_is_heard(
        self, broker: Broker, outcome: Failed | Snoozed | Released
    ) -> None:
        """Retries, snoozes and releases wake whoever waits for work."""
        claim = await a_claimed(broker)
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await end(broker, claim, outcome)
        assert await self.comes(notified)
        await subscription.close()

    @pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRY])
    async def test_what_a_claim_makes_pending_and_leaves_is_heard(
        self, broker: Broker, state: State
    ) -> None:
        """Who has found nothing takes what another, who came when it was due, has no room for."""
        for _ in range(2):
            await bring_to(broker, state)
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await take_one(broker, now=LATER)
        assert await self.comes(notified)
        await subscription.close()

    async def test_what_a_claim_without_room_makes_pending_is_heard(self, broker: Broker) -> None:
        """It leaves all of it to others."""
        await bring_to(broker, State.SCHEDULED)
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await take(broker, 0, now=LATER)
        assert await self.comes(notified)
        await subscription.close()

    async def test_a_sweep_is_heard_in_each_of_its_queues(self, broker: Broker) -> None:
        """Whatever else it has swept."""
        await a_claimed(broker, a_task(queue="b"))
        notified = Notified()
        subscription = await on_work(broker, ["b"], notified.set)
        notified.clear()
        await sweep_all(broker, "a", "b", now=NOW + LEASE)
        assert await self.comes(notified)
        await subscription.close()

    async def test_a_sweep_that_takes_back_a_task_is_heard(self, broker: Broker) -> None:
        """A task whose worker was lost wakes the others."""
        await a_claimed(broker)
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await sweep_all(broker, now=NOW + LEASE)
        assert await self.comes(notified)
        await subscription.close()

    async def test_an_order_to_run_now_is_heard(self, broker: Broker) -> None:
        """An operator who wants a task to run does not wait for a poll."""
        task = await bring_to(broker, State.ARCHIVED)
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await execute_on(broker, task, RunNow())
        assert await self.comes(notified)
        await subscription.close()

    async def test_each_of_the_queues_is_heard(self, broker: Broker) -> None:
        """Who listens to several queues hears each."""
        notified = Notified()
        subscription = await on_work(broker, ["a", "b"], notified.set)
        for queue in ("b", "a"):
            notified.clear()
            await put(broker, a_task(queue=queue))
            assert await self.comes(notified)
        await subscription.close()

    async def test_all_who_listen_hear(self, broker: Broker) -> None:
        """Two who listen to one queue are both called."""
        one, two = Notified(), Notified()
        subscriptions = [
            await on_work(broker, ["default"], notified.set) for notified in (one, two)
        ]
        one.clear()
        two.clear()
        await put(broker, a_task())
        assert await self.comes(one)
        assert await self.comes(two)
        for subscription in subscriptions:
            await subscription.close()

    # - `WorkAvailable` may come from any thread, and once too often rather than once too few.

    async def test_what_the_blocking_twin_enqueues_is_heard(self, broker: Broker) -> None:
        """A client that blocks wakes a worker that awaits."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        with twin_of(broker) as twin:
            step(put(twin, a_task()))
            assert await self.comes(notified)
        await subscription.close()

    async def test_no_wake_up_is_lost_between_two_others(self, broker: Broker) -> None:
        """Each time that a worker has found its queue empty it hears of the next task."""
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        for _ in range(50):
            notified.clear()
            await put(broker, task := a_task())
            assert await self.comes(notified)
            assert ids(await take(broker)) == [task.id]
        await subscription.close()

    # - When a command ends the lease of an active task of these queues, `notify` is called with
    #   `LeaseEnded`, which has the queue and the lease's token: in the same process at once, from
    #   another process within the broker's own delay. It may come from any thread, of a lease that
    #   is somebody else's too, and after a disturbance not at all: then `extend` tells.

    async def test_a_lease_that_an_order_ends_is_told_of(self, broker: Broker) -> None:
        """By its queue and its token, of all those that were ended together."""
        claims = [await a_claimed(broker, a_task(queue=queue)) for queue in "aab"]
        told = Told()
        subscription = await broker.subscribe(["a", "b"], {LeaseEnded}, told)
        await broker.execute("a", [claim.task.id for claim in claims], Cancelled(), now=NOW)
        for claim in claims[:2]:
            assert await self.comes(told.of("a", claim.lease.token))
        await broker.execute("b", [claims[2].task.id], Cancelled(), now=NOW)
        assert await self.comes(told.of("b", claims[2].lease.token))
        await subscription.close()

    @pytest.mark.parametrize("order", [Cancelled(), Archived(), Deleted()], ids=str)
    async def test_an_order_to_a_task_that_waits_is_told_to_nobody(
        self, order: Cancelled | Archived | Deleted, broker: Broker
    ) -> None:
        """There is no lease to end; nor is there where the order was not allowed."""
        active = await a_claimed(broker)
        tasks = some_tasks(3)
        await put(broker, *tasks)
        told = Told()
        subscription = await broker.subscribe(["default"], {LeaseEnded}, told)
        await broker.execute("default", [task.id for task in tasks], order, now=NOW)
        await broker.execute("default", [active.task.id], Archived(), now=NOW)
        await broker.execute("default", [active.task.id], Cancelled(), now=NOW)
        # the only one, and the last, so that none can still be on its way
        assert await self.comes(told.of("default", active.lease.token))
        assert told.notified == {("default", active.lease.token)}
        await subscription.close()

    async def test_what_happens_in_other_queues_is_told_to_others(self, broker: Broker) -> None:
        """Who listens for some queues hears of their leases alone, and of none after the end."""
        claims = [await a_claimed(broker, a_task(queue=queue)) for queue in "abb"]
        told = Told()
        subscription = await broker.subscribe(["b"], {LeaseEnded}, told)
        for claim in claims[:2]:
            await broker.execute(claim.lease.queue, [claim.task.id], Cancelled(), now=NOW)
        assert await self.comes(told.of("b", claims[1].lease.token))
        await subscription.close()
        await broker.execute("b", [claims[2].task.id], Cancelled(), now=NOW)
        assert told.notified == {("b", claims[1].lease.token)}

    # - A notification of a kind that was not asked for is never given.

    async def test_each_is_told_of_the_kinds_that_it_asked_for(self, broker: Broker) -> None:
        """Of one kind, or of all of them with one subscription; and of no other."""
        claim = await a_claimed(broker)
        everybody = [Kept(kind) for kind in KINDS] + [Kept(*KINDS)]
        subscriptions = [
            await broker.subscribe(["default"], kept.kinds, kept) for kept in everybody
        ]
        for kept in everybody:
            kept.forget()
        await broker.execute("default", [claim.task.id], Cancelled(), now=NOW)
        await put(broker, a_task())
        for kept in everybody:
            assert [await self.comes(kept.of[kind]) for kind in kept.kinds] == [
                True for _ in kept.kinds
            ]
        for kept in everybody:
            assert kept.told == set(kept.kinds)
        for subscription in subscriptions:
            await subscription.close()

    # - After `close`, `notify` is not called again.

    async def test_a_closed_ear_hears_nothing(self, broker: Broker) -> None:
        """Who has stopped listening is left in peace, while others still hear."""
        late, notified = Notified(), Notified()
        closed = await on_work(broker, ["default"], late.set)
        subscription = await on_work(broker, ["default"], notified.set)
        await closed.close()
        late.clear()
        notified.clear()
        await put(broker, a_task())
        assert await self.comes(notified)
        assert not late.is_set()
        await subscription.close()
