from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.domain.task import RetentionPolicy
from qcore.ports import Broker
from qcore.testing.contract import (
    BrokerContract,
    ClaimEndingsContract,
    DurableContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    SharedContract,
    StatisticsContract,
    UniqueContract,
    WorkersContract,
)
from qcore.testing.machine import broker_machine
from tests.contract.bulk import without_bulk


class TestSqliteBroker(
    BrokerContract,
    ClaimEndingsContract,
    SharedContract,
    DurableContract,
    UniqueContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    WorkersContract,
    StatisticsContract,
):
    """The SQLite broker keeps the contract over the link that awaits."""

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        await plant(broker, queue, entry, stored)

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return SqliteBroker(AsyncSqliteLink(self.folder / "qcore.db"), keep=keep)


@without_bulk
class TestBlockingSqliteBroker(TestSqliteBroker):
    """Over the link that blocks it keeps the contract too, and never suspends."""

    blocking = True


@without_bulk
class TestSqliteBrokerInMemory(
    BrokerContract,
    ClaimEndingsContract,
    UniqueContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    StatisticsContract,
    WorkersContract,
):
    """Without a file it keeps the contract too."""

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        await plant(broker, queue, entry, stored)

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return in_memory(keep)


async def plant(broker: Broker, queue: str, entry: str, stored: bytes) -> None:
    """Put bytes in the place of an entry's."""
    assert isinstance(broker, SqliteBroker)
    sql = "UPDATE qcore_entries SET encoded = ? WHERE queue = ? AND id = ?"
    await broker.link.write(lambda tx: tx.execute(sql, (stored, queue, entry)))


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
