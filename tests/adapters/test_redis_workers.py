from collections.abc import Iterator

import pytest

from qcore.domain.workers import ANNOUNCE_EVERY, MISSED
from qcore.errors import BrokerUnusable
from qcore.testing.builders import NOW, a_task, a_worker
from qcore.testing.contract.steps import put
from tests.adapters.redis_kit import RedisCases
from tests.servers.redis import RedisServer
from tests.servers.waiting import until

INDEX, INFO = "qcore:{ }:workers", "qcore:{ }:worker-info"


class TestWorkers(RedisCases):
    """What Redis keeps of workers: two keys, until the last of them is gone."""

    @pytest.fixture(autouse=True)
    def _server(self, empty_redis: RedisServer) -> Iterator[None]:
        self.server = empty_redis
        self.url = empty_redis.url
        yield
        empty_redis.flush()

    async def test_nothing_is_left_when_all_were_killed(self) -> None:
        """By the server's own clock, without a call of anybody."""
        async with self.opened() as broker:
            await broker.announce(a_worker(expires=NOW + 0.05))
            await broker.announce(a_worker(expires=NOW + 0.1))
            until(lambda: self.server.cli("KEYS", "*") == [], "the end of the keys")

    async def test_the_keys_live_as_long_as_the_last_of_the_workers(self) -> None:
        """One that is announced for less time does not take the others along."""
        async with self.opened() as broker:
            await broker.announce(a_worker(expires=NOW + 900))
            await broker.announce(a_worker())
            await broker.announce(a_worker(seen=NOW + 100, expires=NOW + 110))
        for key in (INDEX, INFO):
            assert 790_000 < self.server.cli("PTTL", key) <= 800_000

    async def test_nothing_is_left_when_all_have_left(self) -> None:
        """The last one who is withdrawn takes the keys along."""
        async with self.opened() as broker:
            for worker in (workers := [a_worker(), a_worker()]):
                await broker.announce(worker)
            assert sorted(self.server.cli("KEYS", "*")) == [INFO, INDEX]
            for worker in workers:
                await broker.withdraw(worker.id)
            assert self.server.cli("KEYS", "*") == []

    async def test_a_worker_that_cannot_be_read_is_passed_over(self) -> None:
        """Somebody's edit hides one, and none of the others."""
        async with self.opened() as broker:
            await broker.announce(spoiled := a_worker())
            await broker.announce(lost := a_worker())
            await broker.announce(worker := a_worker())
            self.server.cli("HSET", INFO, spoiled.id, "no MessagePack")
            self.server.cli("HDEL", INFO, lost.id)
            assert await broker.workers(now=NOW) == [worker]

    @pytest.mark.parametrize("key", [INDEX, INFO])
    async def test_data_of_somebody_else_is_left_alone(self, key: str) -> None:
        """Whoever announces a worker is told, and tasks are served all the same."""
        self.server.cli("SET", key, "somebody's")
        async with self.opened() as broker:
            with pytest.raises(BrokerUnusable, match="holds what is not ours"):
                await broker.announce(a_worker())
            await put(broker, a_task())
        assert self.server.cli("GET", key) == "somebody's"

    async def test_an_announcement_is_one_command(self) -> None:
        """A worker makes it every five seconds, whatever it has to say."""
        assert ANNOUNCE_EVERY >= 5
        assert MISSED * ANNOUNCE_EVERY <= 15
        async with self.opened() as broker:
            await broker.announce(a_worker())
            before = self.server.cli("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
            await broker.announce(a_worker())
            after = self.server.cli("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
            assert after == before + 1


class TestWorkersOfTheBlockingLink(TestWorkers):
    """It is the same over the link that blocks."""

    blocking = True
