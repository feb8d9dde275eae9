"""What a worker does with its room, and when it waits or leaves."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

import pytest

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand, Verdict
from qcore.testing import a_task, some_tasks
from qcore.testing.contract.crash_isolation import put_crashed
from tests.app import process_handlers
from tests.app.kit import Lab, turn
from tests.contract.doubles import EdgeBroker


class TestRoom:
    async def test_a_queue_of_little_weight_has_all_threads_when_no_other_has_work(self) -> None:
        """One with a share of one in a hundred begins as many as there are threads, not one."""
        lab = Lab()
        go = threading.Event()

        @lab.task("slow", queue="slow")
        def slow(ctx: Context) -> None:
            assert go.wait(30)

        for _ in range(10):
            await slow.enqueue()
        async with lab.working(queues={"mail": 99, "slow": 1}, threads=4):
            await turn(500)
            began = len(lab.signals.started.seen)
            go.set()
            await lab.signals.settled.wait(10)
        assert began == 4

    @pytest.mark.parametrize(
        ("queues", "strict"), [(["a", "b", "c"], True), ({"a": 50, "b": 50, "c": 1}, False)]
    )
    async def test_a_queue_is_not_passed_over_for_empty_ones_that_need_threads(
        self, queues: Sequence[str] | Mapping[str, int], *, strict: bool
    ) -> None:
        """What empty queues were asked for in vain is room for the queue after them."""
        lab = Lab()

        @lab.task("a", queue="a")
        def in_thread(ctx: Context) -> None: ...

        @lab.task("b", queue="b")
        def in_thread_too(ctx: Context) -> None: ...

        @lab.task("c", queue="c")
        async def coroutine(ctx: Context) -> None: ...

        await coroutine.enqueue()
        async with lab.working(queues=queues, strict=strict, concurrency=16, threads=4):
            for _ in range(20):
                await turn(100)
                # four times as long as an idle worker sleeps
                lab.manual.advance(1.0)
            assert len(lab.signals.settled.seen) == 1

    async def test_room_that_several_queues_may_have_is_filled_once(self) -> None:
        """A queue that needs threads and one that needs none have no more than there is in all."""
        lab = Lab()
        go = threading.Event()
        gone = asyncio.Event()

        @lab.task("a", queue="a")
        def in_thread(ctx: Context) -> None:
            assert go.wait(30)

        @lab.task("b", queue="b")
        async def coroutine(ctx: Context) -> None:
            await gone.wait()

        for _ in range(20):
            await in_thread.enqueue()
            await coroutine.enqueue()
        async with lab.working(queues=["a", "b"], strict=True, concurrency=8, threads=2) as worker:
            await turn(500)
            running = worker.running
            go.set()
            gone.set()
            await lab.signals.settled.wait(40)
        assert running == 8


class Far(ForwardingBroker):
    """A broker whose answers to claims take until they are let through."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.way = asyncio.Event()
        self.way.set()
        self.asked = 0

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        self.asked += 1
        await self.way.wait()
        return claims


class SlowToSettle(ForwardingBroker):
    """A broker that takes its time to write verdicts."""

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        await turn(20)
        return await super().settle(verdicts, now=now)


class TestBurst:
    async def test_a_burst_does_what_its_last_task_asked_for(self) -> None:
        """Also if that was while the claim that found nothing was on its way."""
        lab = Lab(far := Far())
        go = asyncio.Event()

        @lab.task("first")
        async def first(ctx: Context) -> None:
            far.way.clear()
            await go.wait()
            await second.enqueue()

        @lab.task("second")
        async def second(ctx: Context) -> None: ...

        await first.enqueue()
        worker = lab.worker(burst=True)
        running = asyncio.create_task(worker.run())
        await lab.signals.started.next()
        await turn(50)
        # any reason to look again will do, while `first` runs
        worker.resume()
        await turn(50)
        assert far.asked == 2
        go.set()
        await turn(50)
        far.way.set()
        await running
        assert worker.executed == 2

    async def test_a_burst_runs_again_what_crashed(self) -> None:
        """A task whose process died is pending again, and is part of the burst."""
        lab = Lab(SlowToSettle(MemoryBroker()))
        lab.task("die", process=True, max_crashes=2)(process_handlers.leave)
        await lab.client.enqueue(a_task(name="die", max_crashes=2))
        worker = lab.worker(burst=True)
        await worker.run()
        assert await lab.inspector.totals() == {State.DEAD: 1}


class TestSecondClaim:
    """Where claims take long, what has run is claimed again beside one that is on its way."""

    def lab(self, *, waits: bool = True, takes: float = 0.0) -> Lab:
        """Return a lab whose first claim takes long, and each one after a task has run, too.

        `waits` says whether its handler waits for anything, `takes` how many seconds it runs.
        """
        lab = Lab(far := Far())
        far.way.clear()

        @lab.task("quick")
        async def quick(ctx: Context) -> None:
            far.way.clear()
            lab.manual.advance(takes)
            if waits:
                await asyncio.sleep(0)

        self.far = far
        return lab

    async def answer(self, lab: Lab) -> None:
        """Let the claims through that are on their way; those after them take long again."""
        await turn(50)
        lab.manual.advance(0.01)
        self.far.way.set()
        await turn(200)

    async def test_a_claim_that_takes_longer_than_what_runs_has_another_beside_it(self) -> None:
        """Each is of half of the concurrency, and together they are of no more than all of it."""
        lab = self.lab()
        await lab.client.enqueue_many(some_tasks(12, name="quick"))
        async with lab.working(concurrency=4) as worker:
            await self.answer(lab)
            executed, asked = worker.executed, self.far.asked
            assert executed in {2, 4}
            assert (await self.far.count())["default"][State.ACTIVE] == 4
            await self.answer(lab)
            assert worker.executed == executed + 4
            assert self.far.asked == asked + 2
            await self.answer(lab)
            await self.answer(lab)
            assert worker.executed == 12

    async def test_each_is_of_the_whole_concurrency_where_no_handler_waits(self) -> None:
        """What runs now will have ended when they are answered."""
        lab = self.lab(waits=False)
        await lab.client.enqueue_many(some_tasks(20, name="quick"))
        async with lab.working(concurrency=4) as worker:
            await self.answer(lab)
            executed = worker.executed
            assert (await self.far.count())["default"][State.ACTIVE] == 8
            await self.answer(lab)
            assert worker.executed == executed + 8

    async def test_they_are_halves_where_handlers_take_long(self) -> None:
        """What waited here for a handler that computes could run at another worker."""
        lab = self.lab(waits=False, takes=0.01)
        await lab.client.enqueue_many(some_tasks(20, name="quick"))
        async with lab.working(concurrency=4):
            for _ in range(3):
                await self.answer(lab)
                assert (await self.far.count())["default"][State.ACTIVE] == 4

    async def test_what_does_not_fit_after_all_is_given_back(self) -> None:
        """No more than the concurrency runs; the others are pending again, none burned."""
        lab = self.lab(waits=False)
        go = asyncio.Event()

        @lab.task("slow")
        async def slow(ctx: Context) -> None:
            self.far.way.clear()
            await go.wait()

        await lab.client.enqueue_many(some_tasks(8, name="quick"))
        await lab.client.enqueue_many(some_tasks(8, name="slow"))
        async with lab.working(concurrency=4) as worker:
            for _ in range(6):
                await self.answer(lab)
            assert (worker.executed, worker.running) == (8, 4)
            assert await lab.inspector.totals() == {State.ACTIVE: 4, State.PENDING: 4}
            page = await lab.inspector.browse("default", State.PENDING)
            assert {(task.failures, task.crashes) for task in page.tasks} == {(0, 0)}
            go.set()
            for _ in range(6):
                await self.answer(lab)
            assert worker.executed == 16

    async def test_a_broker_that_answers_soon_is_asked_once_at_a_time(self) -> None:
        """A second claim would cost more than it is of use."""
        lab = self.lab()
        await lab.client.enqueue_many(some_tasks(12, name="quick"))
        async with lab.working(concurrency=4) as worker:
            await turn(50)
            self.far.way.set()
            await turn(200)
            executed = worker.executed
            assert self.far.asked * 2 == executed + 2
            assert (await self.far.count())["default"][State.ACTIVE] == 2

    async def test_nothing_is_claimed_beside_a_claim_of_a_queue_that_had_no_more(self) -> None:
        """The last claim was not filled: another one would find nothing."""
        lab = self.lab()
        await lab.client.enqueue_many(some_tasks(3, name="quick"))
        async with lab.working(concurrency=8) as worker:
            await self.answer(lab)
            assert worker.executed == 3
            worker.resume()
            await turn(100)
            assert self.far.asked == 2

    async def test_a_burst_does_not_end_while_a_claim_is_on_its_way(self) -> None:
        """It runs all that there is, and leaves nothing claimed."""
        lab = self.lab()
        await lab.client.enqueue_many(some_tasks(11, name="quick"))
        worker = lab.worker(burst=True, concurrency=4)
        running = asyncio.create_task(worker.run())
        while not running.done():
            await self.answer(lab)
        await running
        assert worker.executed == 11
        assert await lab.inspector.totals() == {}

    async def test_who_stops_leaves_nothing_claimed(self) -> None:
        """Both claims are awaited: what they bring runs, or is given back."""
        lab = self.lab()
        await lab.client.enqueue_many(some_tasks(12, name="quick"))
        async with lab.working(concurrency=4) as worker:
            await self.answer(lab)
            assert (await self.far.count())["default"][State.ACTIVE] == 4
            worker.stop()
            await turn(50)
            self.far.way.set()
        assert await lab.inspector.totals() == {State.PENDING: 12 - worker.executed}

    async def test_nothing_else_is_started_beside_a_task_at_its_last_chance(self) -> None:
        """What a claim brings that was on its way already is given back."""
        lab = self.lab()
        go = asyncio.Event()

        @lab.task("fatal")
        async def fatal(ctx: Context) -> None:
            await go.wait()

        await put_crashed(self.far.inner, [a_task(name="fatal", max_crashes=3, priority=1)], 2)
        await lab.client.enqueue_many([a_task(name="quick", priority=2) for _ in range(4)])
        await lab.client.enqueue_many([a_task(name="quick") for _ in range(6)])
        async with lab.working(concurrency=4) as worker:
            await self.answer(lab)
            assert (await self.far.count())["default"][State.ACTIVE] == 3
            await self.answer(lab)
            assert (worker.executed, worker.running) == (4, 1)
            go.set()
            for _ in range(4):
                await self.answer(lab)
            assert worker.executed == 11

    @pytest.mark.parametrize("before", range(8, 13))
    async def test_nothing_is_started_beside_one_that_waited_for_a_place(self, before: int) -> None:
        """It waits for a turn of the loop where another claim has taken all places just before."""
        lab = self.lab(waits=False)
        go = asyncio.Event()
        beside: list[str] = []

        @lab.task("fatal")
        async def fatal(ctx: Context) -> None:
            self.far.way.clear()
            beside.append("fatal")
            await go.wait()
            beside.clear()

        @lab.task("other")
        async def other(ctx: Context) -> None:
            self.far.way.clear()
            beside.extend(["other"] * len(beside))

        await put_crashed(self.far.inner, [a_task(name="fatal", max_crashes=3, priority=1)], 2)
        await lab.client.enqueue_many(
            [a_task(name="other", priority=2) for _ in range(before)]
            + [a_task(name="other") for _ in range(12)]
        )
        async with lab.working(concurrency=4) as worker:
            for _ in range(12):
                await self.answer(lab)
            assert beside == ["fatal"]
            go.set()
            for _ in range(12):
                await self.answer(lab)
            assert worker.executed == before + 13


class LateNextDue(EdgeBroker):
    """A broker that takes until it is let through to say what is due next."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.way = asyncio.Event()
        self.asked = asyncio.Event()

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        self.asked.set()
        await self.way.wait()
        return await super().next_due(queues)


class TestSleep:
    async def test_what_is_held_back_behind_a_task_that_crashed_does_not_wait_for_long(
        self,
    ) -> None:
        """The claim before brought only the task in front of it, and nobody tells of more."""
        lab = Lab()

        @lab.task("task")
        async def task(ctx: Context) -> None: ...

        await put_crashed(lab.broker, [a_task(name="task", max_crashes=3, priority=1)], 2)
        await lab.client.enqueue_many([a_task(name="task", priority=2), a_task(name="task")])
        async with lab.working(concurrency=8) as worker:
            for _ in range(3):
                await turn(100)
                lab.manual.advance(1.0)
            assert worker.executed == 3

    async def test_what_another_worker_made_due_and_left_is_not_waited_for(self) -> None:
        """Who is just asking for the next moment due is told what came of the one before it."""
        lab = Lab(late := LateNextDue())
        go = asyncio.Event()

        @lab.task("slow")
        async def slow(ctx: Context) -> None:
            await go.wait()

        now = lab.clock.now() + 1.0
        await lab.client.enqueue_many(some_tasks(5, name="slow", due=now))
        async with lab.working(concurrency=4) as idle:
            await late.asked.wait()
            lab.manual.advance(1.0)
            claims = await late.claim(Demand(1, {"default": 1}), now=now, until=now + 30)
            assert len(claims) == 1
            late.way.set()
            await turn(300)
            running = idle.running
            go.set()
        assert running == 4
