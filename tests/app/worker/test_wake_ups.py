"""A broker that tells of edges alone wakes whoever has room, and nobody's time need pass."""

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Unpack

import pytest

from qcore import Context, Snooze, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.worker.settings import WorkerOptions
from qcore.app.worker.worker import Worker
from qcore.domain.answers import Conflict, Enqueued, Settled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.ports import Broker
from qcore.testing import a_task, some_tasks
from tests.app.kit import Lab, turn
from tests.contract.doubles import EdgeBroker

LONG = 3_000
"""Turns of the loop after which what has not happened never will, unless time passes."""


class Wire(ForwardingBroker):
    """A way to a broker that takes some turns of the loop there, and some back."""

    def __init__(self, inner: Broker, dice: random.Random) -> None:
        super().__init__(inner)
        self.dice = dice

    async def lag(self) -> None:
        await turn(self.dice.randint(0, 3))

    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Sequence[Enqueued | Conflict]:
        await self.lag()
        answers = await super().enqueue(tasks, now=now)
        await self.lag()
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        await self.lag()
        claims = await super().claim(demand, now=now, until=until)
        await self.lag()
        return claims

    async def settle(self, verdicts: Sequence[Verdict], *, now: Moment) -> Sequence[Any]:
        await self.lag()
        answers: Sequence[Settled | object] = await super().settle(verdicts, now=now)
        await self.lag()
        return answers

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        await self.lag()
        due = await super().next_due(queues)
        await self.lag()
        return due


class Slow(EdgeBroker):
    """A broker whose answers to what a worker asks are on their way until they are let through."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.through = {"claim": asyncio.Event(), "next_due": asyncio.Event()}
        self.asked = {"claim": asyncio.Event(), "next_due": asyncio.Event()}

    async def hold(self, verb: str) -> None:
        self.asked[verb].set()
        await self.through[verb].wait()

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        await self.hold("claim")
        return claims

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        due = await super().next_due(queues)
        await self.hold("next_due")
        return due


class EdgeLab(Lab):
    """A queue whose broker tells of edges alone, with a task that is done when it may be."""

    def __init__(self, broker: Broker | None = None) -> None:
        super().__init__(broker or EdgeBroker(MemoryBroker()))
        self.go = asyncio.Event()

        async def wait(ctx: Context, **_: Any) -> None:
            await self.go.wait()

        self.route("", wait)

    @asynccontextmanager
    async def crew(
        self, number: int, **settings: Unpack[WorkerOptions]
    ) -> AsyncGenerator[list[Worker]]:
        """Have several workers at work within the block, all of them idle when it begins."""
        async with AsyncExitStack() as stack:
            entered = [self.working(**settings) for _ in range(number)]
            workers = [await stack.enter_async_context(each) for each in entered]
            await turn(50)
            yield workers

    async def left(self) -> dict[str, int]:
        """Let the loop turn until nothing more happens; return what is pending then."""
        await turn(LONG)
        counts = await self.inspector.counts()
        pending = {queue: states.get(State.PENDING, 0) for queue, states in counts.items()}
        return {queue: number for queue, number in pending.items() if number}


async def test_one_word_is_enough_for_all_that_comes_at_once() -> None:
    """The first of many tasks is heard of alone, and the workers take them all."""
    lab = EdgeLab()
    async with lab.crew(3, concurrency=4) as workers:
        for _ in range(12):
            await lab.client.enqueue(a_task())
        assert await lab.left() == {}
        assert [worker.running for worker in workers] == [4, 4, 4]


async def test_what_comes_while_nobody_has_room_is_taken_when_somebody_has() -> None:
    """Workers that were full when they were told look again as soon as a task ends."""
    lab = EdgeLab()
    async with lab.crew(2, concurrency=2):
        await lab.client.enqueue_many(some_tasks(4))
        await turn(50)
        for _ in range(20):
            await lab.client.enqueue(a_task())
        assert await lab.left() == {"default": 20}
        lab.go.set()
        assert await lab.left() == {}


async def test_what_comes_during_a_pause_is_taken_after_it() -> None:
    """A worker forgets what it was told in a pause, and looks when the pause is over."""
    lab = EdgeLab()
    async with lab.crew(2, concurrency=5) as workers:
        for worker in workers:
            worker.pause()
        for _ in range(8):
            await lab.client.enqueue(a_task())
        assert await lab.left() == {"default": 8}
        workers[0].resume()
        assert await lab.left() == {"default": 3}
        workers[1].resume()
        assert await lab.left() == {}


async def test_a_worker_that_pauses_leaves_it_to_the_others() -> None:
    """What one was told of and did not take the others were told of too."""
    lab = EdgeLab()
    async with lab.crew(2) as workers:
        await lab.client.enqueue(a_task())
        workers[0].pause()
        await lab.client.enqueue(a_task())
        assert await lab.left() == {}


@pytest.mark.parametrize("verb", ["claim", "next_due"])
@pytest.mark.parametrize("delay", [0.0, 1.0])
async def test_what_comes_while_an_answer_is_on_its_way_is_not_missed(
    verb: str, delay: float
) -> None:
    """A worker that has just been told that there is nothing hears of what came since."""
    lab = EdgeLab(slow := Slow())
    for other in {"claim", "next_due"} - {verb}:
        slow.through[other].set()
    async with lab.working():
        await slow.asked[verb].wait()
        await lab.client.enqueue(a_task(due=lab.clock.now() + delay))
        slow.through[verb].set()
        await turn(50)
        lab.manual.advance(delay)
        assert await lab.left() == {}
        assert len(lab.signals.started.seen) == 1


async def test_what_was_claimed_begins_before_more_is_asked_for() -> None:
    """A lone task need not wait until its worker has found out when there is another."""
    order: list[str] = []

    class Told(EdgeBroker):
        async def next_due(self, queues: Sequence[str]) -> Moment | None:
            order.append("asked")
            return await super().next_due(queues)

    lab = Lab(Told(MemoryBroker()))

    async def run(ctx: Context, **_: Any) -> None:
        order.append("ran")

    lab.route("", run)
    async with lab.working():
        await turn(50)
        order.clear()
        await lab.client.enqueue(a_task())
        await turn(50)
        assert order[:2] == ["ran", "asked"]


@pytest.mark.parametrize("strict", [True, False])
async def test_a_queue_behind_others_is_served_as_soon_as_there_is_room(strict: bool) -> None:  # noqa: FBT001  (a parameter of the case)
    """Quotas and order say who is first, and leave no room empty while anybody waits."""
    lab = EdgeLab()
    queues = ["a", "b", "c"]
    async with lab.crew(2, queues=queues, strict=strict, concurrency=3):
        for queue in "cab":
            await lab.client.enqueue_many(some_tasks(7, queue=queue))
        assert sum((await lab.left()).values()) == 21 - 6
        lab.go.set()
        assert await lab.left() == {}
        for _ in range(7):
            await lab.client.enqueue(a_task(queue="c"))
        assert await lab.left() == {}


async def test_a_thread_that_comes_free_is_not_left_idle() -> None:
    """What waits because all threads are taken is begun when one is not, without a word of it."""
    lab = EdgeLab()
    go = threading.Semaphore(0)

    @lab.task("slow", queue="slow")
    def slow(ctx: Context) -> None:
        assert go.acquire(timeout=30)

    async with lab.crew(2, queues=["slow", "mail"], threads=1):
        for _ in range(10):
            await slow.enqueue()
        await lab.client.enqueue_many(some_tasks(50, queue="mail"))
        assert "mail" not in await lab.left()
        # two of the last three may be in the hands of one worker, one of them in line
        for ended in range(1, 8):
            go.release()
            await lab.signals.finished.next()
            expected = 50 + 2 + ended
            for _ in range(1_000):
                if len(lab.signals.started.seen) >= expected:
                    break
                # a thread begins when the system lets it
                await asyncio.to_thread(int)
            await turn(100)
            assert len(lab.signals.started.seen) == expected
        for _ in range(3):
            go.release()
            await lab.signals.finished.next()
        lab.go.set()
        assert await lab.left() == {}


async def test_a_crowd_that_is_due_at_one_moment_is_shared() -> None:
    """Those whom the first to claim leaves are taken by the others, who know the moment too."""
    lab = EdgeLab()
    async with lab.crew(3, concurrency=4) as workers:
        for delay in (3.0, 2.0, 1.0):
            await lab.client.enqueue_many(some_tasks(4, due=lab.clock.now() + delay))
        for second in (1, 2, 3):
            await turn(50)
            lab.manual.advance(1.0)
            assert await lab.left() == {}
            assert sum(worker.running for worker in workers) == 4 * second


async def test_a_verdict_that_makes_an_earlier_moment_is_acted_on() -> None:
    """A worker that waits for a later one, and has settled nothing itself, is woken for it."""
    lab = EdgeLab()
    first = [True, True]

    @lab.task("nap", queue="nap")
    async def nap(ctx: Context) -> None:
        if first:
            first.pop()
            raise Snooze(0.5)

    await lab.client.enqueue_many(some_tasks(3, queue="nap", due=lab.clock.now() + 4))
    async with lab.crew(2):
        await nap.enqueue()
        await nap.enqueue()
        assert await lab.left() == {}
        lab.manual.advance(0.5)
        await turn(100)
        assert len(lab.signals.settled.seen) == 4


QUEUES = ["a", "b", "c"]


class Chance(EdgeLab):
    """What comes when, how long it takes and who has room for it are up to the dice."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        super().__init__(Wire(EdgeBroker(MemoryBroker()), self.chance))
        self.rooms: dict[Worker, int] = {}

        async def work(ctx: Context, **_: Any) -> None:
            await turn(self.chance.randint(0, 5))
            if self.chance.random() < 0.2:
                raise Snooze(self.chance.choice([0.05, 0.11]))
            if self.chance.random() < 0.2:
                await self.go.wait()

        self.route("work:", work)

    async def staff(self, stack: AsyncExitStack) -> None:
        """Have some workers at work."""
        for _ in range(self.chance.randint(1, 3)):
            room, strict = self.chance.randint(1, 4), self.chance.random() < 0.5
            working = self.working(queues=QUEUES, strict=strict, concurrency=room)
            self.rooms[await stack.enter_async_context(working)] = room

    async def ask(self) -> None:
        """Enqueue some batches, due now or a little later."""
        for _ in range(self.chance.randint(1, 5)):
            due = self.clock.now() + self.chance.choice([-1.0, -1.0, 0.05, 0.11])
            number, queue = self.chance.choice([1, 1, 2, 8]), self.chance.choice(QUEUES)
            await self.client.enqueue_many(some_tasks(number, name="work:", queue=queue, due=due))
            await turn(self.chance.randint(0, 8))

    async def be_busy(self) -> None:
        """Let several ask at once while a little time passes."""
        asking = [asyncio.create_task(self.ask()) for _ in range(self.chance.randint(1, 3))]
        await turn(self.chance.randint(0, 30))
        self.manual.advance(self.chance.choice([0.01, 0.05, 0.11]))
        await asyncio.gather(*asking)

    def are_full(self) -> bool:
        """Say whether no worker has room."""
        return all(worker.running == room for worker, room in self.rooms.items())


@pytest.mark.parametrize("seed", range(25))
async def test_no_worker_sleeps_while_there_is_work_that_it_has_room_for(seed: int) -> None:
    """Whatever comes whenever, over a wire: when all is quiet nothing waits but for room."""
    lab = Chance(seed)
    async with AsyncExitStack() as stack:
        await lab.staff(stack)
        # in all less time than an idle worker sleeps
        for _ in range(5):
            paused = lab.chance.choice([*lab.rooms])
            paused.pause()
            await lab.be_busy()
            paused.resume()
            left = await lab.left()
            assert not left or lab.are_full(), f"{left} wait though there is room"
            lab.go.set()
            assert await lab.left() == {}
            lab.go.clear()
