from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker
from qcore.testing.contract import (
    BrokerContract,
    ClaimEndingsContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    StatisticsContract,
    UniqueContract,
    WorkersContract,
)
from qcore.testing.machine import broker_machine
from tests.contract.bulk import without_bulk


class TestMemoryBroker(
    BrokerContract,
    ClaimEndingsContract,
    UniqueContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    StatisticsContract,
    WorkersContract,
):
    """The memory broker keeps the contract."""

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        assert isinstance(broker, MemoryBroker)
        broker.entry_store.put_encoded(queue, entry, stored)

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return MemoryBroker(keep=keep)


@without_bulk
class TestBlockingMemoryBroker(TestMemoryBroker):
    """Stepped without a loop, it keeps the contract too, and never suspends."""

    blocking = True


def make_broker(keep: RetentionPolicy) -> Broker:
    """Return a memory broker that is not open."""
    return MemoryBroker(keep=keep)


def test_the_memory_broker_agrees_with_itself() -> None:
    """Driven through any calls, two memory brokers give the same answers."""
    machine = broker_machine(make_broker)
    run_state_machine_as_test(machine, settings=settings(max_examples=20))


def test_the_blocking_memory_broker_agrees_with_it() -> None:
    """Stepped without a loop, it gives the same answers."""
    machine = broker_machine(make_broker, blocking=True)
    run_state_machine_as_test(machine, settings=settings(max_examples=20))
