from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker
from qcore.testing.contract import (
    BrokerContract,
    DurableContract,
    GroupContract,
    LimitsContract,
    SharedContract,
    UniqueContract,
    WorkersContract,
)
from qcore.testing.machine import broker_machine


class TestSqliteBroker(
    BrokerContract,
    SharedContract,
    DurableContract,
    UniqueContract,
    GroupContract,
    LimitsContract,
    WorkersContract,
):
    """The SQLite broker keeps the contract over the link that awaits."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return SqliteBroker(AsyncSqliteLink(self.folder / "qcore.db"), keep=keep)


class TestBlockingSqliteBroker(TestSqliteBroker):
    """Over the link that blocks it keeps the contract too, and never suspends."""

    blocking = True


class TestSqliteBrokerInMemory(
    BrokerContract, UniqueContract, GroupContract, LimitsContract, WorkersContract
):
    """Without a file it keeps the contract too."""

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return in_memory(keep)


def in_memory(keep: RetentionPolicy) -> Broker:
    """Return a broker on a database of its own."""
    return SqliteBroker(AsyncSqliteLink(":memory:"), keep=keep)


def test_the_sqlite_broker_agrees_with_the_memory_broker() -> None:
    """Whatever is asked, in whatever order, both give the same answers."""
    run_state_machine_as_test(broker_machine(in_memory), settings=settings(max_examples=20))


def test_the_blocking_sqlite_broker_agrees_with_it() -> None:
    """Stepped without a loop, it gives the same answers."""
    machine = broker_machine(in_memory, blocking=True)
    run_state_machine_as_test(machine, settings=settings(max_examples=20))
