from collections.abc import Callable, Iterator

import fakeredis
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.links.redis import link_to
from qcore.adapters.links.redis.url import parse
from qcore.adapters.redis import RedisBroker
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
from qcore.testing.fakes import fake_redis_broker
from qcore.testing.machine import MakeBroker, broker_machine
from tests.contract.bulk import without_bulk
from tests.servers.binaries import valkey
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet


class RedisContract(
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

    make: MakeBroker
    plant: Callable[..., object]
    """Sends a command to the server that has a key."""
    examples = 5

    def make_broker(self, keep: RetentionPolicy) -> Broker:
        return self.make(keep)

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        self.plant("HSET", f"qcore:{{{queue}}}:entries", entry, b"123abc " + stored)

    def test_it_agrees_with_the_memory_broker(self, empty: Callable[[], None]) -> None:
        """Whatever is asked, in whatever order, both give the same answers."""

        def make(keep: RetentionPolicy) -> Broker:
            empty()
            return self.make(keep)

        machine = broker_machine(make, blocking=self.blocking)
        run_state_machine_as_test(machine, settings=settings(max_examples=self.examples))


@without_bulk
class TestOnAFake(RedisContract):
    """The contract is kept over the link that awaits, where there is no server."""

    examples = 10

    @pytest.fixture(autouse=True)
    def empty(self, fake_server: fakeredis.FakeServer) -> Iterator[Callable[[], None]]:
        with fakeredis.FakeRedis(server=fake_server) as client:
            self.make = lambda keep: fake_redis_broker(fake_server, keep=keep)
            self.plant = client.execute_command
            client.flushall()
            yield client.flushall


class TestBlockingOnAFake(TestOnAFake):
    """It is kept over the link that blocks too, and nothing suspends."""

    blocking = True


class ServerContract(RedisContract):
    """The contract, on servers that are emptied before each case."""

    def on(self, servers: RedisServer | RedisCluster | SentinelSet) -> Callable[[], None]:
        """Make brokers on these from now on; return what empties them."""
        self.make = lambda keep: RedisBroker(link_to(parse(servers.url)), keep=keep)

        def plant(command: str, key: str, *words: str | bytes) -> object:
            match servers:
                case RedisCluster():
                    return servers.owner(key).cli(command, key, *words)
                case SentinelSet():
                    return servers.master.cli(command, key, *words)
                case _:
                    return servers.cli(command, key, *words)

        self.plant = plant
        servers.flush()
        return servers.flush


@pytest.fixture(scope="module")
def valkey_server() -> Iterator[RedisServer]:
    """Give a Valkey: shared, so leave it running and as it was set."""
    with RedisServer(valkey()) as server:
        yield server


class TestOnAServer(ServerContract):
    """It is kept on every server that there is."""

    @pytest.fixture(autouse=True)
    def empty(self, redis_server: RedisServer) -> Callable[[], None]:
        return self.on(redis_server)


@without_bulk
class TestBlockingOnAServer(TestOnAServer):
    """It is kept there over the link that blocks."""

    blocking = True


class TestOnValkey(ServerContract):
    """It is kept on Valkey."""

    @pytest.fixture(autouse=True)
    def empty(self, valkey_server: RedisServer) -> Callable[[], None]:
        return self.on(valkey_server)


class TestOnACluster(ServerContract):
    """It is kept on a cluster, whose nodes have some of the queues each."""

    @pytest.fixture(autouse=True)
    def empty(self, redis_cluster: RedisCluster) -> Callable[[], None]:
        return self.on(redis_cluster)


class TestBlockingOnACluster(TestOnACluster):
    """It is kept there over the link that blocks."""

    blocking = True


@without_bulk
class TestOnWhatSentinelsWatch(ServerContract):
    """It is kept on a master that Sentinels name."""

    @pytest.fixture(autouse=True)
    def empty(self, redis_sentinel: SentinelSet) -> Callable[[], None]:
        return self.on(redis_sentinel)


class TestBlockingOnWhatSentinelsWatch(TestOnWhatSentinelsWatch):
    """It is kept there over the link that blocks."""

    blocking = True
