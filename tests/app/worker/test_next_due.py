"""How often a worker asks its broker when the next task is due."""

import asyncio
from collections.abc import Sequence

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.next_due import NextDue
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.moments import Moment
from qcore.testing import ManualClock

QUEUES = ("a", "b")


class Asked(ForwardingBroker):
    """A broker that counts how often it is asked, and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.queues: list[Sequence[str]] = []
        self.answer: Moment | None = None
        self.is_away = False

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        self.queues.append(queues)
        if self.is_away:
            raise BrokerUnavailable("away")
        return self.answer


class Case:
    """A `NextDue` of two queues, in virtual time."""

    def __init__(self) -> None:
        self.broker = Asked()
        self.clock = ManualClock()
        self.stopping = asyncio.Event()
        emit = Instruments([])
        self.next_due = NextDue(
            self.broker,
            Quarantine("next_due", len(QUEUES), clock=self.clock, dice=lambda: 0.5, emit=emit),
            clock=self.clock,
            retrying=Retrying(self.clock, lambda: 0.5, emit),
            stopping=self.stopping,
        )


async def test_the_answer_is_remembered() -> None:
    """An idle worker that looks again does not ask again."""
    case = Case()
    case.broker.answer = case.clock.now() + 5
    for _ in range(3):
        assert await case.next_due.of(QUEUES) == case.broker.answer
    assert len(case.broker.queues) == 1


async def test_nothing_due_is_an_answer_too() -> None:
    """None is remembered as well."""
    case = Case()
    for _ in range(3):
        assert await case.next_due.of(QUEUES) is None
    assert len(case.broker.queues) == 1


async def test_it_is_asked_again_once_the_moment_has_passed() -> None:
    """At the very moment: what was due then is claimed, and something else is next."""
    case = Case()
    case.broker.answer = case.clock.now() + 5
    await case.next_due.of(QUEUES)
    case.clock.advance(5)
    await case.next_due.of(QUEUES)
    assert len(case.broker.queues) == 2


async def test_it_is_asked_again_after_a_notification() -> None:
    """Something may be due earlier than was answered."""
    case = Case()
    await case.next_due.of(QUEUES)
    case.next_due.invalidate()
    case.broker.answer = case.clock.now() + 1
    assert await case.next_due.of(QUEUES) == case.broker.answer
    assert len(case.broker.queues) == 2


async def test_it_is_asked_again_for_other_queues() -> None:
    """A queue that leaves quarantine may have a task that is due earlier."""
    case = Case()
    await case.next_due.of(["a"])
    await case.next_due.of(QUEUES)
    assert case.broker.queues == [["a"], QUEUES]


async def test_a_worker_that_stops_does_not_wait_for_an_answer() -> None:
    """A broker that is unavailable need not come back for it."""
    case = Case()
    case.broker.is_away = True
    case.stopping.set()
    with pytest.raises(GaveUp):
        await case.next_due.of(QUEUES)
