import asyncio
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.app.worker.claim_loop import LONGEST_IDLE
from qcore.domain.task import Demand
from qcore.testing import FaultyBroker, a_task, some_tasks
from tests.app.kit import Lab, turn


class Recorder(Lab):
    """A queue whose tasks write down where they came from."""

    def __init__(self, broker: FaultyBroker | None = None) -> None:
        super().__init__(broker)
        self.order: list[str] = []

        async def note(ctx: Context, **_: Any) -> None:
            self.order.append(ctx.headers.get("as", ctx.queue))

        self.route("", note)

    async def fill(self, **queues: int) -> None:
        """Put so many tasks into each queue."""
        for queue, number in queues.items():
            await self.client.enqueue_many(some_tasks(number, queue=queue))


WEIGHTS = {"critical": 6, "default": 3, "low": 1}


@pytest.mark.parametrize(
    ("weights", "concurrency"),
    [(WEIGHTS, 1), (WEIGHTS, 7), (WEIGHTS, 100), (dict.fromkeys(WEIGHTS, 1), 7)],
)
async def test_shares_hold_while_all_have_work(
    weights: Mapping[str, int], concurrency: int
) -> None:
    """Over 10,000 tasks each queue gets its share within 2 %, for any room."""
    lab = Recorder()
    total = sum(weights.values())
    await lab.fill(**{queue: 10_500 * weight // total for queue, weight in weights.items()})
    await lab.worker(queues=weights, concurrency=concurrency, burst=True).run()
    served = Counter(lab.order[:10_000])
    for queue, weight in weights.items():
        assert abs(served[queue] - 10_000 * weight / total) <= 200
    # and not only in the end
    early = Counter(lab.order[:1_000])
    for queue, weight in weights.items():
        assert abs(early[queue] - 1_000 * weight / total) <= max(20, concurrency)


async def test_nobody_starves() -> None:
    """A queue of the least weight is served in its turn, however loud the others are."""
    lab = Recorder()
    await lab.fill(loud=3_000, quiet=2)
    await lab.worker(queues={"loud": 999, "quiet": 1}, concurrency=10, burst=True).run()
    first, second = (n for n, queue in enumerate(lab.order) if queue == "quiet")
    assert first < 1_010
    assert second < 2_010


async def test_an_empty_queue_holds_nobody_up() -> None:
    """The share of a queue with nothing to do goes to the others in the same claim."""
    broker = FaultyBroker(MemoryBroker())
    lab = Recorder(broker)
    await lab.fill(low=100)
    await lab.worker(queues={"high": 99, "low": 1}, concurrency=10, burst=True).run()
    claims = [call for call in broker.calls if call.verb == "claim"]
    assert len(lab.order) == 100
    assert len(claims) <= 25


async def test_strict_is_strict() -> None:
    """A queue is served only when those before it are empty, also when they fill up again."""
    lab = Recorder()

    @lab.task("more")
    async def more(ctx: Context) -> None:
        lab.order.append("more")
        await lab.client.enqueue(a_task(queue="a"))

    await lab.fill(a=5, b=5, c=5)
    await more.using(queue="b", priority=1).enqueue()
    await lab.worker(queues=["a", "b", "c"], strict=True, concurrency=1, burst=True).run()
    assert lab.order == [*"aaaaa", "more", "a", *"bbbbb", *"ccccc"]


async def test_a_list_of_queues_shares_alike() -> None:
    """Without weights and not strict, all queues are served in turn."""
    lab = Recorder()
    await lab.fill(a=100, b=100)
    await lab.worker(queues=["a", "b"], concurrency=1, burst=True).run()
    assert abs(Counter(lab.order[:100])["a"] - 50) <= 1


async def test_only_the_queues_named_are_served() -> None:
    """What waits elsewhere is left alone."""
    lab = Recorder()
    await lab.fill(a=2, b=2)
    await lab.worker(queues=["a"], burst=True).run()
    assert await lab.inspector.counts() == {"b": {State.PENDING: 2}}


async def test_priority_counts_inside_a_queue() -> None:
    """The higher first; of one priority, the first to come."""
    lab = Recorder()
    for name, priority in [("c", 0), ("d", 0), ("a", 9), ("e", -5), ("b", 9)]:
        await lab.client.enqueue(a_task(priority=priority, headers={"as": name}))
    await lab.worker(concurrency=1, burst=True).run()
    assert "".join(lab.order) == "abcde"


async def test_claims_and_verdicts_go_in_batches() -> None:
    """A worker claims half of what it may have at once, and settles together what ends together."""
    broker = FaultyBroker(MemoryBroker())
    lab = Recorder(broker)
    await lab.fill(default=1_000)
    await lab.worker(concurrency=100, burst=True).run()
    calls = Counter(call.verb for call in broker.calls)
    first = next(call for call in broker.calls if call.verb == "claim")
    assert first.arguments["demand"] == Demand(50, {"default": 50})
    assert len(lab.signals.settled.seen) == 1_000
    assert calls["claim"] <= 25
    assert calls["settle"] <= 25


async def test_no_more_than_the_concurrency_is_in_hand() -> None:
    """A worker never has more tasks than it said, and takes the next as soon as one has ended."""
    lab = Lab()
    go = asyncio.Semaphore(0)

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        await go.acquire()

    for _ in range(10):
        await slow.enqueue()
    async with lab.working(concurrency=3) as worker:
        await lab.signals.started.wait(3)
        await turn()
        assert worker.running == len(lab.signals.claimed.seen) == 3
        go.release()
        await lab.signals.started.next()
        await turn()
        assert worker.running == 3
        assert len(lab.signals.claimed.seen) == 4


async def test_an_idle_worker_rests() -> None:
    """With nothing to do a worker asks nothing of its broker until it is woken or time passes."""
    broker = FaultyBroker(MemoryBroker())
    lab = Recorder(broker)
    async with lab.working():
        await lab.fill(default=1)
        await lab.signals.settled.next()
        await turn(100)
        before = len(broker.calls)
        await turn(1_000)
        assert len(broker.calls) == before
        await lab.fill(default=1)
        await lab.signals.settled.next()
        await turn(100)
        assert len(broker.calls) - before < 10


async def test_an_idle_worker_asks_when_something_is_due_only_after_news() -> None:
    """Whoever waits is told of an earlier moment: as it was found, it is until then or passed."""
    broker = FaultyBroker(MemoryBroker())
    lab = Recorder(broker)
    async with lab.working():
        await turn()
        before = Counter(call.verb for call in broker.calls)
        for _ in range(5):
            lab.manual.advance(LONGEST_IDLE)
            await turn()
        asked = Counter(call.verb for call in broker.calls) - before
        assert asked["claim"] == 5
        assert asked["next_due"] == 0
        await lab.client.enqueue_many([a_task(due=lab.clock.now() + 60)])
        await turn()
        assert (Counter(call.verb for call in broker.calls) - before)["next_due"] == 1
        for _ in range(6):
            lab.manual.advance(LONGEST_IDLE)
            await turn()
        await lab.signals.settled.next()


async def test_a_task_that_is_scheduled_wakes_the_worker_in_time() -> None:
    """A delayed task is started at its very moment, also if it is earlier than those before."""
    lab = Lab(autojump=True)
    began: list[float] = []

    @lab.task("mail")
    async def mail(ctx: Context, moment: float) -> None:
        began.append(lab.clock.now() - moment)

    async with lab.working():
        for delay in (100.0, 3.5, 0.0625, 60.0, 7.0):
            moment = lab.clock.now() + delay
            await mail.using(at=moment).enqueue(moment)
        await lab.signals.settled.wait(5)
    assert began == [0.0] * 5


class TestSlots:
    async def test_a_worker_does_not_hoard_what_it_cannot_run(self) -> None:
        """Tasks for threads are left to other workers when the line is as long as the threads."""
        lab = Lab()
        go = threading.Event()

        @lab.task("slow")
        def slow(ctx: Context) -> None:
            assert go.wait(30)

        for _ in range(10):
            await slow.enqueue()
        async with lab.working(threads=2) as worker:
            await lab.signals.claimed.wait(4)
            await turn(50)
            assert worker.running == 4
            assert len(lab.signals.started.seen) == 2
            assert (await lab.inspector.counts())["default"][State.PENDING] == 6
            go.set()
            await lab.signals.settled.wait(10)

    async def test_coroutines_get_past_threads_that_are_all_busy(self) -> None:
        """What needs no thread is run while all threads are busy."""
        lab = Lab()
        go = threading.Event()

        @lab.task("slow")
        def slow(ctx: Context) -> None:
            assert go.wait(30)

        @lab.task("quick")
        async def quick(ctx: Context) -> None: ...

        for _ in range(2):
            await slow.enqueue()
        for _ in range(5):
            await quick.enqueue()
        async with lab.working(threads=2):
            finished = [(await lab.signals.finished.next()).claim.task.name for _ in range(5)]
            assert finished == ["quick"] * 5
            go.set()
            await lab.signals.settled.wait(7)

    async def test_a_full_kind_holds_up_its_own_queue_alone(self) -> None:
        """While threads are taken, coroutines of other queues go on at full width."""
        lab = Lab()
        go = threading.Event()

        @lab.task("slow", queue="slow")
        def slow(ctx: Context) -> None:
            assert go.wait(30)

        @lab.task("mail", queue="mail")
        async def mail(ctx: Context) -> None:
            pass

        for _ in range(20):
            await slow.enqueue()
        for _ in range(1_000):
            await mail.enqueue()
        async with lab.working(threads=2) as worker:
            await lab.signals.settled.wait(1_000)
            assert worker.running == 4
            go.set()
            await lab.signals.settled.wait(20)

    async def test_a_few_of_a_full_kind_do_not_hold_up_the_others_of_their_queue(self) -> None:
        """In a queue that is mostly of coroutines these go on past the tasks that wait in line."""
        lab = Lab()
        go = threading.Event()

        @lab.task("slow")
        def slow(ctx: Context) -> None:
            assert go.wait(30)

        @lab.task("mail")
        async def mail(ctx: Context) -> None:
            pass

        for number in range(500):
            await mail.enqueue()
            if number % 50 == 25:
                await slow.enqueue()
        async with lab.working(threads=1):
            await lab.signals.settled.wait(500)
            go.set()
            await lab.signals.settled.wait(10)
