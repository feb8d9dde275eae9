"""Cases of `Broker.open`, `close` and `blocking`, and of calls from several threads."""

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from functools import partial
from threading import Event as Notified
from typing import Any

import pytest

from qcore.domain.answers import Conflict, Enqueued, LeaseLost, Settled
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import Details, DetailsUpdate
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy, Verdict
from qcore.domain.transitions import Archived, Cancelled, Released, Succeeded
from qcore.ports import Broker, TasksChanged
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import DEFAULT_RETENTION, Cases, in_threads, step, stepped
from qcore.testing.contract.steps import (
    browse_all,
    ids,
    ids_of,
    put,
    take,
)


class OpenCases(Cases):
    """Opening, closing, blocking."""

    async def test_opening_twice_is_opening_once(self, broker: Broker) -> None:
        """A broker that is open stays as it is."""
        await put(broker, task := a_task())
        await broker.open()
        assert ids(await take(broker)) == [task.id]

    async def test_closing_twice_is_closing_once(self) -> None:
        """A broker may be closed by more than one who holds it."""
        async with self.opened() as broker:
            await put(broker, a_task())
            await broker.close()
            await broker.close()

    async def test_a_broker_may_be_closed_and_opened_again(self) -> None:
        """A broker that was closed serves again once it is opened."""
        async with self.opened() as broker:
            await broker.close()
            await broker.open()
            await put(broker, task := a_task())
            assert ids(await take(broker)) == [task.id]

    async def test_the_blocking_broker_never_suspends(self, broker: Broker) -> None:
        """Every call of `blocking()` ends on its first step."""
        with twin_of(broker) as twin:
            task, lost = a_task(retention=600), a_task()
            assert len(step(twin.enqueue([task, lost], now=NOW))) == 2
            claim, other = step(take(twin, 2))
            step(twin.extend([claim.lease, other.lease], until=NOW + 60))
            subscription = step(twin.subscribe(["default"], {TasksChanged}, lambda _: None))
            step(twin.save_details([DetailsUpdate(claim.lease, saved=b"so far")]))
            step(subscription.close())
            step(twin.settle([Verdict(claim.lease, Succeeded())], now=NOW))
            step(twin.sweep(["default"], 10, now=NOW + 60))
            step(twin.execute("default", [lost.id], Cancelled(), now=NOW))
            assert step(twin.next_due(["default"])) is None
            assert len(step(twin.get("default", [task.id, lost.id]))) == 2
            assert ids_of(step(twin.browse("default", State.COMPLETED, 5)).tasks) == [task.id]
            assert step(twin.details("default", [task.id])) == [Details(saved=b"so far")]
            assert step(twin.count()) == {"default": {State.COMPLETED: 1, State.DEAD: 1}}

    async def test_the_blocking_broker_is_on_the_same_store(self, broker: Broker) -> None:
        """What one of the two writes the other reads."""
        with twin_of(broker) as twin:
            await put(broker, here := a_task())
            step(put(twin, there := a_task()))
            assert ids(await take(broker)) == [here.id, there.id]
            assert step(twin.count()) == {"default": {State.ACTIVE: 2}}
        assert await broker.count() == {"default": {State.ACTIVE: 2}}

    async def test_the_blocking_broker_keeps_as_much_of_the_past(self) -> None:
        """Its retention is that of the broker which it comes of."""
        async with self.opened(RetentionPolicy(count=0)) as broker:
            await put(broker, task := a_task())
            await broker.execute("default", [task.id], Cancelled(), now=NOW)
            with twin_of(broker) as twin:
                assert step(twin.sweep(["default"], 10, now=NOW)).trimmed == 1


class ThreadCases(Cases):
    """Several threads."""

    # - A broker may be used from several threads, and `blocking()` from any.

    async def test_threads_hand_each_task_out_once(self, broker: Broker) -> None:
        """Threads that claim from one blocking broker share the tasks, none gets one twice."""
        tasks = some_tasks(200)
        await put(broker, *tasks)
        with twin_of(broker) as twin:
            shares = in_threads([partial(stepped, partial(drained, twin))] * 4)
            assert sorted(task for share in shares for task in share) == sorted(ids_of(tasks))
            assert await broker.count() == {}

    async def test_threads_may_open_it_at_once(self) -> None:
        """Of threads that all come first each finds it open, and all are on the one store."""
        twin = self.make_broker(DEFAULT_RETENTION).blocking()

        def begin() -> None:
            step(twin.open())
            step(put(twin, a_task()))

        try:
            in_threads([begin] * 8)
            assert step(twin.count()) == {"default": {State.PENDING: 8}}
        finally:
            step(twin.close())

    async def test_threads_lose_no_task_that_they_enqueue(self, broker: Broker) -> None:
        """All that several threads enqueue at the same time is there."""
        with twin_of(broker) as twin:
            batches = [some_tasks(25) for _ in range(8)]
            in_threads([partial(stepped, partial(put, twin, *batch)) for batch in batches])
            listed = ids_of(await browse_all(broker, State.PENDING))
            for batch in batches:
                mine = ids_of(batch)
                assert [task for task in listed if task in mine] == mine
            assert len(listed) == 200

    async def test_of_threads_that_enqueue_one_id_one_wins(self, broker: Broker) -> None:
        """Of several that enqueue one id at the same time all but one are told of a conflict."""
        with twin_of(broker) as twin:
            task = a_task()
            answers = in_threads([lambda: step(twin.enqueue([task], now=NOW))[0]] * 8)
            assert answers.count(Conflict(task.id, State.PENDING)) == 7
            assert await broker.count() == {"default": {State.PENDING: 1}}

    # - A call writes everything or nothing of what it has for a queue, up to 100 tasks. A larger
    #   batch, or one for several queues, may be cut between; then the call raises, and to make it
    #   again is safe: what was written is a `Conflict`, or its lease is lost.

    async def test_no_reader_sees_half_a_batch(self, broker: Broker) -> None:
        """While batches of a hundred go in, whoever counts sees whole batches."""
        with twin_of(broker) as twin:
            over = Notified()

            def write() -> None:
                try:
                    for _ in range(10):
                        step(put(twin, *some_tasks(100)))
                finally:
                    over.set()

            def count() -> set[int]:
                seen = {0}
                while not over.is_set():
                    seen.add(step(twin.count()).get("default", {}).get(State.PENDING, 0))
                return seen

            _, seen = in_threads([write, count])
            assert {number % 100 for number in seen or ()} == {0}
            assert await broker.count() == {"default": {State.PENDING: 1_000}}

    async def test_no_reader_sees_half_a_batch_of_verdicts_or_commands(
        self, broker: Broker
    ) -> None:
        """Of a hundred tasks all have moved, or none."""
        with twin_of(broker) as twin:
            over = Notified()

            def write() -> None:
                try:
                    for _ in range(5):
                        step(put(twin, *some_tasks(100)))
                        claims = step(take(twin, 100))
                        step(twin.settle([Verdict(c.lease, Released()) for c in claims], now=NOW))
                        step(twin.execute("default", ids(claims), Archived(), now=NOW))
                finally:
                    over.set()

            def count() -> set[int]:
                seen = {0}
                while not over.is_set():
                    states = step(twin.count()).get("default", {})
                    seen |= {states.get(s, 0) % 100 for s in (State.ACTIVE, State.ARCHIVED)}
                return seen

            _, seen = in_threads([write, count])
            assert seen == {0}
            assert await broker.count() == {"default": {State.ARCHIVED: 500}}

    @pytest.mark.parametrize("turns", range(5))
    async def test_a_call_that_is_cancelled_wrote_everything_or_nothing(
        self, broker: Broker, turns: int
    ) -> None:
        """A call abandoned half way leaves no half batch, and a broker that serves on."""
        tasks = some_tasks(100)
        call = broker.enqueue(tasks, now=NOW)
        if self.blocking:
            # it has no loop, and nothing to cancel it at: to begin it is to end it
            await call
        else:
            await _abandoned(call, after=turns)
        await put(broker, last := a_task())
        claimed = ids(await take(broker, 101))
        assert claimed in ([last.id], [*ids_of(tasks), last.id])

    async def test_a_call_that_is_made_again_writes_what_is_missing(self, broker: Broker) -> None:
        """Of a batch for several queues, some of it written before, all is there once."""
        tasks = [a_task(queue=queue) for queue in "abc" for _ in range(150)]
        await put(broker, *tasks[:200])
        answers = await broker.enqueue(tasks, now=NOW)
        assert list(answers) == [
            *(Conflict(task.id, State.PENDING) for task in tasks[:200]),
            *(Enqueued(task.id, State.PENDING) for task in tasks[200:]),
        ]
        assert await broker.count() == {queue: {State.PENDING: 150} for queue in "abc"}
        claims = await take(broker, 450, "a", "b", "c")
        verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
        await broker.settle(verdicts[:200], now=NOW)
        again = await broker.settle(verdicts, now=NOW)
        assert list(again) == [LeaseLost()] * 200 + [Settled(State.GONE)] * 250
        assert await broker.count() == {}


async def _abandoned(call: Coroutine[Any, Any, object], after: int) -> None:
    """Cancel a call after so many turns of the loop, and wait until it has ended."""
    task = asyncio.ensure_future(call)
    for _ in range(after):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextmanager
def twin_of(broker: Broker) -> Generator[Broker, None, None]:
    """Give the blocking broker over the same store, open until the block ends."""
    twin = broker.blocking()
    step(twin.open())
    try:
        yield twin
    finally:
        if twin is not broker:
            step(twin.close())


async def drained(broker: Broker) -> list[TaskId]:
    """Claim and settle until nothing is left; return the ids in the order of claiming."""
    claimed: list[TaskId] = []
    while claims := await take(broker, 7):
        claimed += ids(claims)
        await broker.settle([Verdict(claim.lease, Succeeded()) for claim in claims], now=NOW)
    return claimed
