"""Cases of `Operator.remove_queue`."""

from qcore.domain.answers import Duplicate, LeaseLost, QueueNotEmpty, QueueRemoved
from qcore.domain.queue_limits import NO_LIMITS, SetInFlight
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.transitions import Deleted, Failed, Succeeded
from qcore.ports import Broker, Capability, limiting_of
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import REACHABLE, bring_to
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


class QueueRemovalCases(Cases):
    """Queues go."""

    # - One that has tasks, in whatever state, is answered with `QueueNotEmpty`, and stays as it
    #   is with its limits.

    async def test_a_queue_that_has_a_task_is_not_removed(self, broker: Broker) -> None:
        """Also one that has ended, as an operator may want to look at it."""
        limiting = limiting_of(broker)
        for state in REACHABLE:
            task = await bring_to(broker, state, a_task(queue=f"of-{state}"))
            if limiting is not None:
                await limiting.set_limit(task.queue, SetInFlight(7), now=NOW)
            before = await stored_task(broker, task)
            assert await broker.remove_queue(task.queue, now=NOW + 9) == QueueNotEmpty(1)
            assert await stored_task(broker, task) == before
            if limiting is not None:
                [limits] = await limiting.limits([task.queue])
                assert limits.in_flight == 7
        assert await broker.count() == {f"of-{state}": {state: 1} for state in REACHABLE}

    async def test_a_queue_that_is_not_removed_says_how_many_tasks_it_has(
        self, broker: Broker
    ) -> None:
        """Over all states."""
        await put(broker, *some_tasks(3), *some_tasks(2, due=NOW + 9))
        await take_one(broker)
        assert await broker.remove_queue("default", now=NOW) == QueueNotEmpty(5)

    # - Nothing is left of any other: no limit and no name. So it is answered with `QueueRemoved`,
    #   and so is a queue that never was.

    async def test_nothing_is_left_of_a_removed_queue(self, broker: Broker) -> None:
        """No limit, no unique key, no group and no detail is there for a queue of its name."""
        task = a_task()
        if Capability.UNIQUE in broker.capabilities:
            task = a_task(unique_key="a key")
        claim = await a_claimed(broker, task)
        await broker.save_details([DetailsUpdate(claim.lease, Progress(NOW, 0.5), b"so far")])
        await end(broker, claim, Failed("no", again_at=NOW + 60))
        await execute_on(broker, task, Deleted())
        limiting = limiting_of(broker)
        if limiting is not None:
            await limiting.set_limit("default", SetInFlight(1), now=NOW)
        assert await broker.remove_queue("default", now=NOW + 9) == QueueRemoved()
        await nothing_is_left(broker, task)
        assert await broker.count() == {}
        if limiting is not None:
            assert list(await limiting.limits(["default"])) == [NO_LIMITS]
        await put(broker, task, a_task(), now=NOW + 9)
        details = await broker.details("default", [task.id])
        assert [each and (each.errors, each.progress, each.saved) for each in details] == [
            ((), None, None)
        ]
        for _ in range(2):
            await take_one(broker, now=NOW + 9)

    async def test_a_queue_that_never_was_is_removed(self, broker: Broker) -> None:
        """Twice as well as once; and it is not made by that."""
        for _ in range(2):
            assert await broker.remove_queue("nowhere", now=NOW) == QueueRemoved()
        assert await broker.count() == {}

    async def test_other_queues_stay(self, broker: Broker) -> None:
        """Those whose names begin or end alike, or that have the same ids and keys."""
        is_unique = Capability.UNIQUE in broker.capabilities
        more = {"unique_key": "k"} if is_unique else {}
        for queue in ("mail", "mail:eu", "mai", "Mail"):
            await put(broker, a_task(id="same", queue=queue, **more))  # type: ignore[arg-type]
        await broker.execute("mail", ["same"], Deleted(), now=NOW)
        limiting = limiting_of(broker)
        if limiting is not None:
            await limiting.set_limit("mail:eu", SetInFlight(7), now=NOW)
            await limiting.set_limit("mails", SetInFlight(7), now=NOW)
        assert await broker.remove_queue("mail", now=NOW + 1) == QueueRemoved()
        if limiting is not None:
            found = await limiting.limits(["mail:eu", "mails"])
            assert [limits.in_flight for limits in found] == [7, 7]
        assert await broker.count() == {
            queue: {State.PENDING: 1} for queue in ("mail:eu", "mai", "Mail")
        }
        if is_unique:
            again = a_task(queue="mai", unique_key="k")
            assert list(await broker.enqueue([again], now=NOW)) == [
                Duplicate("same", State.PENDING)
            ]

    # - A later queue of that name begins anew, but its tokens are greater than any that the
    #   removed one has given.

    async def test_a_lease_of_a_removed_queue_does_not_fit_a_later_one(
        self, broker: Broker
    ) -> None:
        """Not even where it is made in the same microsecond, or a clock has been set back."""
        for n, later in enumerate((-60.0, 0.0, 1e-6, 60.0)):
            task = a_task(id="same", queue=f"queue-{n}")
            stale = await a_claimed(broker, task)
            await end(broker, stale, Succeeded())
            limiting = limiting_of(broker)
            if limiting is not None:
                await limiting.set_limit(task.queue, SetInFlight(7), now=NOW)
            assert await broker.remove_queue(task.queue, now=NOW + later) == QueueRemoved()
            if limiting is not None:
                assert list(await limiting.limits([task.queue])) == [NO_LIMITS]
            fresh = await a_claimed(broker, task, now=NOW + later)
            assert fresh.lease.token > stale.lease.token
            assert await end(broker, stale, Succeeded()) == LeaseLost()

    async def test_a_removed_queue_has_nothing_to_do(self, broker: Broker) -> None:
        """Workers that serve it go on, and find it empty until somebody enqueues."""
        await a_claimed(broker, task := a_task())
        await execute_on(broker, task, Deleted())
        await broker.sweep(["default"], 10, now=NOW + 1e6)
        [left] = await broker.get("default", [task.id])
        if left is not None:
            await execute_on(broker, task, Deleted())
        assert await broker.remove_queue("default", now=NOW + 9) == QueueRemoved()
        assert await broker.next_due(["default"]) is None
        swept = await sweep_all(broker, now=NOW + 9)
        assert (swept.crashed, swept.expired, swept.trimmed) == (0, 0, 0)
        await put(broker, task)
        assert (await take_one(broker)).task.id == task.id
