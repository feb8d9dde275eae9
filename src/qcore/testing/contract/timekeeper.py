"""`TimeContract`: the contract of `Timekeeper`, one clock for all clients of a store."""

import time
from collections.abc import Callable
from typing import Final

import pytest

from qcore.domain.moments import Moment
from qcore.ports import Broker
from qcore.testing.contract.base import DEFAULT_RETENTION, Cases, in_threads, step
from qcore.testing.contract.threads import twin_of
from qcore.testing.optional_ports import timekeeper

HOUR: Final = 3_600.0
LONG: Final = 1_000_000
"""Looks at a clock within which it must have moved."""

wrong = pytest.mark.parametrize("wrong_by", [HOUR, -HOUR], ids=["fast", "slow"])


class TimeContract(Cases):
    """Inherit it with `Capability.TIME`; all brokers of a case go by one store's clock."""

    slack: float = 1.0
    """Seconds by which two who look at the clock one after the other may differ."""

    # - All who have opened a broker on the store agree to within a round trip to it, whatever
    #   the clocks of their machines say.

    async def test_brokers_on_one_store_agree_what_time_it_is(self, broker: Broker) -> None:
        """Two who opened it for themselves have the same time."""
        async with self.opened() as other:
            assert self._agree(broker, other)

    @wrong
    async def test_the_clock_of_the_machine_is_not_believed(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, wrong_by: float
    ) -> None:
        """A machine whose clock is set wrong does not change what time it is."""
        before = time_of(broker)
        monkeypatch.setattr(time, "time", machine_off_by(wrong_by))
        assert -self.slack < time_of(broker) - before < HOUR / 2

    # - A broker and its `blocking()` tell the same time once either was opened.

    @wrong
    async def test_the_blocking_broker_knows_what_the_other_learned(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, wrong_by: float
    ) -> None:
        """A twin that was never opened has the store's time from the one that was."""
        monkeypatch.setattr(time, "time", machine_off_by(wrong_by))
        assert self._agree(broker, broker.blocking())

    @wrong
    async def test_the_awaiting_broker_knows_what_its_twin_learned(
        self, monkeypatch: pytest.MonkeyPatch, wrong_by: float
    ) -> None:
        """It is the same the other way round: a process may use the blocking one alone."""
        broker = self.make_broker(DEFAULT_RETENTION)
        with twin_of(broker) as twin:
            monkeypatch.setattr(time, "time", machine_off_by(wrong_by))
            assert self._agree(broker, twin)
        step(twin.close())

    # - To ask makes nobody wait, and may be done from any thread.

    async def test_time_goes_on_by_itself(self, broker: Broker) -> None:
        """It passes without a call of the broker, and the broker may be asked at any rate."""
        first = time_of(broker)
        assert any(time_of(broker) > first for _ in range(LONG))

    async def test_any_thread_may_ask(self, broker: Broker) -> None:
        """Threads that ask at once are told the same."""
        before = time_of(broker)
        told = in_threads([lambda: time_of(broker)] * 8)
        after = time_of(broker)
        assert before - self.slack < min(told)
        assert max(told) < after + self.slack

    # - Before the first opening it is this machine's time.

    async def test_a_broker_that_was_never_opened_has_the_time_of_its_machine(self) -> None:
        """There is a time to make an id of, before there is a store."""
        broker = self.make_broker(DEFAULT_RETENTION)
        before, told, after = time.time(), time_of(broker), time.time()
        assert before - self.slack < told < after + self.slack

    def _agree(self, one: Broker, other: Broker) -> bool:
        """Say whether two have the same time, however long it takes to ask them."""
        before, told, after = time_of(one), time_of(other), time_of(one)
        return before - self.slack < told < after + self.slack


def time_of(broker: Broker) -> Moment:
    """Return what time it is to a broker that has `Capability.TIME`."""
    return timekeeper(broker).time()


def machine_off_by(seconds: float, right: Callable[[], float] = time.time) -> Callable[[], float]:
    """Return the clock of a machine that is set wrong."""
    return lambda: right() + seconds
