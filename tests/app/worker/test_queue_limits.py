"""What is limited for a queue, seen by workers: who waits, until when, and who is woken."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from qcore import Context, InvalidOption, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand
from qcore.ports import Capability
from qcore.queues import Limits, Rate
from qcore.testing import some_tasks
from qcore.testing.builders import NOW
from tests.app.kit import Lab, turn


class TaskRequest(MemoryBroker):
    """A broker that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        self.asked["claim"] += 1
        return await super().claim(demand, now=now, until=until)


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory whose time jumps when nothing is left to do."""
    return Lab(TaskRequest(), autojump=True)


class TestRates:
    async def test_workers_share_a_rate_and_sleep_until_the_next_start(self, lab: Lab) -> None:
        """Starts keep the pace over all workers, to the moment, with a claim or two for each."""
        began: list[float] = []
        done = asyncio.Event()

        @lab.task("test:task")
        async def note(ctx: Context) -> None:
            began.append(lab.clock.now() - NOW)
            if len(began) == 12:
                done.set()

        await lab.inspector.limit_rate("default", "4/s")
        await lab.client.enqueue_many(some_tasks(12))
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(lab.working())
            await done.wait()
        start = began[0]
        paces = [0, 0, 0, 0, *(0.25 * n for n in range(1, 9))]
        assert [each - start for each in began] == pytest.approx(paces, abs=1e-5)
        assert isinstance(lab.broker, TaskRequest)
        # each of three wakes for each of eight starts; nobody asks again and again
        assert lab.broker.asked["claim"] <= 3 * (8 + 4) * 2

    async def test_a_rate_is_told_back(self, lab: Lab) -> None:
        """What was set is what holds, and None lifts it."""
        expected = Limits(rate=Rate(100, 60.0))
        assert await lab.inspector.limit_rate("mail", "100/min") == expected
        assert await lab.inspector.limits("mail") == expected
        assert await lab.inspector.limit_rate("mail", None) == Limits()

    @pytest.mark.parametrize("rate", ["100", "100/fortnight", "0/s", "-1/s", "", "1/0", 7])
    async def test_what_is_no_rate_is_refused(self, lab: Lab, rate: str) -> None:
        """The error names what was given, and nothing is set."""
        with pytest.raises(InvalidOption, match="rate"):
            await lab.inspector.limit_rate("mail", rate)
        assert await lab.inspector.limits("mail") == Limits()


class TestInFlight:
    async def test_no_more_run_at_a_time_whoever_runs_them(self, lab: Lab) -> None:
        """Two workers together have as many as may be, and one that ends makes room at once."""
        running, most = 0, 0
        left = 20
        done = asyncio.Event()

        @lab.task("test:task")
        async def slow(ctx: Context) -> None:
            nonlocal running, most, left
            running += 1
            most = max(most, running)
            await lab.clock.sleep_until(lab.clock.now() + 1)
            running -= 1
            left -= 1
            if not left:
                done.set()

        await lab.inspector.limit_in_flight("default", 4)
        await lab.client.enqueue_many(some_tasks(20))
        began = lab.clock.now()
        async with lab.working(), lab.working():
            await done.wait()
        assert most == 4
        # five rounds of a second: nobody waited for a look that comes of itself
        assert lab.clock.now() - began == pytest.approx(5.0, abs=0.01)

    @pytest.mark.parametrize("most", [0, -1, 1.5, "3", True])
    async def test_what_is_no_number_of_tasks_is_refused(self, lab: Lab, most: int) -> None:
        """The error names what was given."""
        with pytest.raises(InvalidOption, match="in_flight"):
            await lab.inspector.limit_in_flight("mail", most)


class TestPause:
    async def test_a_paused_queue_starts_nothing_until_it_is_resumed(self) -> None:
        """The others go on; to resume wakes a worker that sleeps."""
        lab = Lab()
        seen: list[str] = []

        @lab.task("test:task")
        async def note(ctx: Context) -> None:
            seen.append(ctx.queue)

        assert (await lab.inspector.pause("mail")).is_paused
        async with lab.working(queues=["mail", "default"]):
            await lab.client.enqueue_many(some_tasks(2, queue="mail"))
            await lab.client.enqueue_many(some_tasks(1))
            await lab.signals.settled.next()
            await turn(50)
            assert seen == ["default"]
            assert await lab.inspector.counts() == {"mail": {State.PENDING: 2}}
            assert not (await lab.inspector.resume("mail")).is_paused
            await lab.signals.settled.next()
            assert seen == ["default", "mail", "mail"]


async def test_a_broker_that_cannot_limit_is_told_from_one_that_can() -> None:
    """Nothing is tried, and the error says so."""

    class Plain(MemoryBroker):
        capabilities = frozenset[Capability]()

    lab = Lab(Plain())
    for call in (lab.inspector.pause("mail"), lab.inspector.limits("mail")):
        with pytest.raises(InvalidOption, match="cannot limit"):
            await call
