from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

import fakeredis
import pytest

from qcore.domain.task import Keep
from qcore.ports import Broker
from qcore.testing.contract import BrokerContract, DurableContract, SharedContract
from qcore.testing.fakes import fake_redis_broker
from qcore.testing.machine import broker_machine


class TestRedisBroker(BrokerContract, SharedContract, DurableContract):
    """The Redis broker keeps the contract over the link that awaits, on a fake server."""

    @pytest.fixture(autouse=True)
    def _a_server(self) -> None:
        self.server = fakeredis.FakeServer()

    def make_broker(self, keep: Keep) -> Broker:
        return fake_redis_broker(self.server, keep=keep)


class TestBlockingRedisBroker(TestRedisBroker):
    """Over the link that blocks it keeps the contract too, and never suspends."""

    blocking = True


def test_the_redis_broker_agrees_with_the_memory_broker() -> None:
    """Whatever is asked, in whatever order, both give the same answers."""
    machine = broker_machine(lambda keep: fake_redis_broker(keep=keep))
    run_state_machine_as_test(machine, settings=settings(max_examples=10))


def test_the_blocking_redis_broker_agrees_with_it() -> None:
    """Stepped without a loop, it gives the same answers."""
    machine = broker_machine(lambda keep: fake_redis_broker(keep=keep), blocking=True)
    run_state_machine_as_test(machine, settings=settings(max_examples=10))
