from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.links.postgres import link_to, parse
from qcore.adapters.links.postgres.pool import AnySession, Gate, Pool
from qcore.adapters.postgres import PostgresBroker
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
    TimeContract,
    UniqueContract,
    WorkersContract,
)
from qcore.testing.machine import broker_machine
from tests.contract.bulk import without_bulk
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import OF_THE_CONTRACT

Connect: TypeAlias = Callable[[], Awaitable[AnySession]]
MakeGate: TypeAlias = Callable[[], Gate]
_pools: Final[defaultdict[str, dict[str, Pool]]] = defaultdict(dict)
"""By server and colour."""


class KeptPool(Pool):
    """Sessions that go on from one case to the next: to connect takes longer than most cases."""

    def leave(self) -> None:
        pass


on_few_servers = pytest.mark.parametrize("postgres_server", OF_THE_CONTRACT, ids=str, indirect=True)


class PostgresContract(
    BrokerContract,
    ClaimEndingsContract,
    SharedContract,
    DurableContract,
    TimeContract,
    UniqueContract,
    GroupContract,
    LimitsContract,
    PeriodicContract,
    WorkersContract,
    StatisticsContract,
):
    """All that is promised by a broker that is shared, durable and keeps the time."""

    server: PostgresServer
    examples = 5

    @pytest.fixture(autouse=True)
    def empty(
        self,
        postgres_server: PostgresServer,
        empty_postgres: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[[], None]:
        pools = _pools[postgres_server.url()]

        def pool(connect: Connect, make_gate: MakeGate, shown: str) -> Pool:
            return pools.setdefault(make_gate.__qualname__, KeptPool(connect, make_gate, shown))

        monkeypatch.setattr("qcore.adapters.links.postgres.link.Pool", pool)
        self.server = postgres_server
        empty_postgres()
        return empty_postgres

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return PostgresBroker(link_to(parse(self.server.url())), keep=keep)

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        sql = "UPDATE qcore.entries SET encoded = %s WHERE queue = %s AND id = %s"
        text = stored.decode(errors="replace").replace("\0", "\ufffd")
        self.server.sql(sql, text, queue, entry)

    def test_it_agrees_with_the_memory_broker(self, empty: Callable[[], None]) -> None:
        """Whatever is asked, in whatever order, both give the same answers."""

        def make(keep: RetentionPolicy) -> Broker:
            empty()
            return self.make_broker(keep)

        machine = broker_machine(make, blocking=self.blocking)
        run_state_machine_as_test(machine, settings=settings(max_examples=self.examples))


@on_few_servers
class TestPostgresBroker(PostgresContract):
    """The Postgres broker keeps the contract over the link that awaits."""


@without_bulk
class TestBlockingPostgresBroker(TestPostgresBroker):
    """Over the link that blocks it keeps the contract too, and never suspends."""

    blocking = True
