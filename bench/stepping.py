"""What it costs to step the one asynchronous text without a loop, over a link that does nothing."""

from collections.abc import Callable, Sequence
from timeit import timeit
from typing import Any

from bench.runs import repeated
from qcore.adapters.clocks import SystemClock
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.serializers import JsonSerializer
from qcore.app.calls.codec import Codec
from qcore.app.client.client import BlockingClient
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Conflict, Enqueued
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State

CALLS = 50_000
TASK = NewTask("bench:noop", id="one")
ANSWERS = [Enqueued("one", State.PENDING)]


def bare(_tasks: Sequence[NewTask]) -> Sequence[Enqueued | Conflict]:
    """Answer as a link would that blocks."""
    return ANSWERS


class Link:
    """The same, in the shape that brokers call."""

    async def write(self, tasks: Sequence[NewTask]) -> Sequence[Enqueued | Conflict]:
        return bare(tasks)


class Broker(MemoryBroker):
    """A broker that leaves all to its link."""

    link = Link()

    async def enqueue(
        self,
        tasks: Sequence[NewTask],
        *,
        now: Moment,  # noqa: ARG002  (as the port has it)
    ) -> Sequence[Enqueued | Conflict]:
        return await self.link.write(tasks)


def figures() -> dict[str, Any]:
    return repeated(_once)


def _once() -> dict[str, float]:
    broker = Broker()
    client = BlockingClient(broker, clock=SystemClock(), codec=Codec([JsonSerializer()]))
    link = _microseconds(lambda: bare([TASK]))
    stepped = _microseconds(lambda: run_inline(broker.enqueue([TASK], now=0.0)))
    whole = _microseconds(lambda: client.enqueue(TASK))
    return {
        "bare_link_us": link,
        "stepping_us": stepped - link,
        "client_us": whole - link,
    }


def _microseconds(call: Callable[[], object]) -> float:
    return timeit(call, number=CALLS) / CALLS * 1e6
