"""A worker with a queue that cannot be served: it serves the others, and that one once mended."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from qcore import Context
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import Swept
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Demand
from qcore.errors import BrokerUnusable
from qcore.testing import a_task
from qcore.testing.builders import NOW
from tests.app.kit import Lab, turn


class Spoilt(ForwardingBroker):
    """A broker with queues that cannot be served."""

    def __init__(self, *bad: str) -> None:
        super().__init__(MemoryBroker())
        self.bad = set(bad)

    def _check(self, queues: Iterable[str]) -> None:
        if self.bad.intersection(queues):
            raise BrokerUnusable("spoilt")

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        self._check(demand.quotas)
        return await super().claim(demand, now=now, until=until)

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        self._check(queues)
        return await super().next_due(queues)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        self._check(queues)
        return await super().sweep(queues, limit, now=now)


async def test_the_other_queues_are_served_and_a_mended_one_is_punctual() -> None:
    """What is due there later is run at its moment, though nobody tells of what was there before.

    What was found to be due next is of the queues that were asked then.
    """
    broker = Spoilt("bad")
    lab = Lab(broker, autojump=True)
    ran: list[tuple[str, Moment]] = []

    @lab.task("mail")
    async def mail(ctx: Context) -> None:
        ran.append((ctx.queue, lab.clock.now() - NOW))
        broker.bad.clear()

    await mail.using(queue="good").enqueue()
    await mail.using(queue="bad").enqueue()
    await mail.using(queue="bad", delay=17.5).enqueue()
    async with lab.working(queues=["bad", "good"]):
        await lab.signals.settled.wait(3)
    assert ran == [("good", 0), ("bad", 1), ("bad", 17.5)]


@pytest.mark.parametrize("verb", ["claim", "sweep", "next_due"])
async def test_a_queue_is_tried_again_when_its_event_says(verb: str) -> None:
    """An idle worker wakes for it, whatever call it is that cannot be made."""
    tried: list[Moment] = []

    class OneBad(ForwardingBroker):
        async def around(
            self, made: str, call: Callable[[], Awaitable[Any]], /, **arguments: Any
        ) -> Any:
            queues = [
                *(arguments["demand"].quotas if made == "claim" else arguments.get("queues", ()))
            ]
            if made == verb and "bad" in queues:
                if queues == ["bad"]:
                    tried.append(lab.clock.now())
                raise BrokerUnusable("spoilt")
            return await call()

    lab = Lab(OneBad(MemoryBroker()), autojump=True)
    async with lab.working(queues=["bad", "good"]):
        failed = await lab.signals.broker_failed.wait(6)
        await lab.clock.sleep(60)
    assert {each.call for each in failed} == {verb}
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses[:6] == pytest.approx([each.again_in for each in failed], abs=0.001)


async def test_queues_that_are_claimed_from_one_by_one_share_the_room() -> None:
    """To find the bad one each is asked alone: all of them together for no more than there is."""
    lab = Lab(Spoilt("bad"))
    lab.task("mail")(hangs)
    queues = ["bad", "one", "two", "three"]
    await lab.client.enqueue_many([a_task(name="mail", queue=q) for q in queues for _ in range(9)])
    async with lab.working(queues=queues, concurrency=4) as worker:
        await lab.signals.started.wait(4)
        await turn()
        assert worker.running == 4


async def hangs(ctx: Context) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()
