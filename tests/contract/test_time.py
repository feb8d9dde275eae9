import time
from copy import copy
from itertools import count
from typing import Any, Self

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker
from qcore.testing.contract import (
    BrokerContract,
    ClaimEndingsContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    StatisticsContract,
    TimeContract,
    UniqueContract,
    WorkersContract,
)
from qcore.testing.contract.timekeeper import HOUR
from tests.contract.doubles import Store, TimedBroker


class TestTimedBroker(TimeContract):
    """A broker whose store has a clock tells its time."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return TimedBroker(STORE, MemoryBroker(keep=keep))


class TestBlockingTimedBroker(TestTimedBroker):
    """Stepped without a loop it does so too."""

    blocking = True


class TestWrappedTimedBroker(TimeContract):
    """A wrapper has the time of what it wraps."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return ForwardingBroker(TimedBroker(STORE, MemoryBroker(keep=keep)))


STORE = Store()


def test_a_broker_with_the_capability_must_inherit_the_contract() -> None:
    """A suite of a broker that has time but not the contract of it fails."""

    def a_suite(*contracts: type) -> Any:
        return type("Suite", contracts, {"make_broker": TestTimedBroker.make_broker})()

    others = (
        BrokerContract,
        ClaimEndingsContract,
        UniqueContract,
        GroupContract,
        LimitsContract,
        PeriodicContract,
        StatisticsContract,
        WorkersContract,
    )
    a_suite(*others, TimeContract).test_every_capability_is_put_to_the_test()
    with pytest.raises(AssertionError):
        a_suite(*others).test_every_capability_is_put_to_the_test()


class BelievesItsMachine(TimedBroker):
    def time(self) -> float:
        return time.time()


class GuessesOnItsOwn(TimedBroker):
    """Is wrong by another hour each time that one is opened."""

    hours = count()

    async def open(self) -> None:
        await super().open()
        self.offsets[-1] += next(self.hours) * HOUR


class KeepsItToItself(TimedBroker):
    def blocking(self) -> Self:
        twin = copy(self)
        twin.offsets = []
        return twin


class StandsStill(TimedBroker):
    def time(self) -> float:
        return self.offsets[-1]


class HasNoTimeYet(TimedBroker):
    def time(self) -> float:
        return time.monotonic() + self.offsets[-1] if self.offsets else 0.0


BROKEN: list[tuple[type[TimedBroker], str, dict[str, Any]]] = [
    (BelievesItsMachine, "test_the_clock_of_the_machine_is_not_believed", {"wrong_by": HOUR}),
    (BelievesItsMachine, "test_the_clock_of_the_machine_is_not_believed", {"wrong_by": -HOUR}),
    (GuessesOnItsOwn, "test_brokers_on_one_store_agree_what_time_it_is", {}),
    (KeepsItToItself, "test_the_blocking_broker_knows_what_the_other_learned", {"wrong_by": HOUR}),
    (KeepsItToItself, "test_the_awaiting_broker_knows_what_its_twin_learned", {"wrong_by": HOUR}),
    (StandsStill, "test_time_goes_on_by_itself", {}),
    (HasNoTimeYet, "test_a_broker_that_was_never_opened_has_the_time_of_its_machine", {}),
]


@pytest.mark.parametrize(("broker", "case", "given"), BROKEN)
def test_a_broker_without_the_stores_time_fails(
    monkeypatch: pytest.MonkeyPatch, broker: type[TimedBroker], case: str, given: dict[str, Any]
) -> None:
    """The case passes on the broker that keeps time and fails on the one that does not."""
    given = {**given, "monkeypatch": monkeypatch} if given else {}
    run_on(TimedBroker, case, given)
    monkeypatch.undo()
    with pytest.raises(AssertionError):
        run_on(broker, case, given)


def run_on(kind: type[TimedBroker], case: str, given: dict[str, Any]) -> None:
    """Run a case by hand."""
    suite = type("Suite", (TimeContract,), {"make_broker": lambda _, keep: kind(STORE)})()
    getattr(suite, case)(**given)
