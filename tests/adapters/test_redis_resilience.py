"""What a server that forgets, hangs, or is asked for much does to tasks: nothing."""

from unittest.mock import AsyncMock

import pytest

from qcore import BrokerUnavailable
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.script_runner import MAX_QUEUES_PER_CALL
from qcore.adapters.redis.scripts import CLAIM
from qcore.domain.answers import LeaseLost, Moved, Settled, Swept
from qcore.domain.states import State
from qcore.domain.task import Demand
from qcore.domain.transitions import Cancelled, Succeeded
from qcore.errors import BrokerUnusable
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    ids,
    ids_of,
    put,
    sweep_all,
    take,
    take_one,
)
from tests.adapters.redis_kit import RedisCases
from tests.adapters.test_redis_doctor_permissions import documented
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer


class TestAServerThatForgets(RedisCases):
    """Tokens grow though the last ones are lost, as after a crash without a disk."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, own_redis: RedisServer) -> None:
        self.server, self.url = own_redis, own_redis.url

    async def test_who_ran_it_before_settles_nothing(self, broker: RedisBroker) -> None:
        """The lease that was given since is another one, and the only one that counts."""
        task = a_task()
        before = await a_claimed(broker, task)
        self.server.flush()
        await put(broker, task, now=NOW + 1)
        since = await take_one(broker, now=NOW + 1)
        assert since.lease.token > before.lease.token
        assert await end(broker, before, Succeeded()) == LeaseLost()
        extended = await broker.extend([before.lease], until=NOW + LEASE)
        assert extended == [LeaseLost()]
        assert await end(broker, since, Succeeded()) == Settled(State.GONE)

    async def test_tokens_grow_whatever_time_it_is_said_to_be(self, broker: RedisBroker) -> None:
        """They are of the time only where that is later than the last of them."""
        await put(broker, *some_tasks(6), now=0)
        tokens: list[int] = []
        for now in (1e9, 0.0, 1.5, 1e9 + 1e-6, 2e11, 2e11 + 1):
            claim = await take_one(broker, now=now, until=NOW)
            tokens.append(claim.lease.token)
            assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        assert tokens == sorted(set(tokens))


class TestAServerThatForgetsUnderTheBlockingLink(TestAServerThatForgets):
    """It is the same over the link that blocks."""

    blocking = True


class TestAServerThatHangs(RedisCases):
    """What nobody waits for any more is not done when the server is back."""

    async def test_a_claim_that_comes_too_late_claims_nothing(
        self, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would be claimed by nobody, and be taken for crashed when the lease is over."""
        self.url = empty_redis.url
        async with self.opened() as broker:
            assert isinstance(broker, RedisBroker)
            await put(broker, task := a_task())
            wait = broker.time() - 1
            with monkeypatch.context() as late:
                late.setattr(broker.link, "retry_deadline", lambda: wait)
                assert await take(broker) == []
            assert await broker.count() == {"default": {State.PENDING: 1}}
            assert ids(await take(broker)) == [task.id]

    async def test_an_order_that_was_carried_out_has_not_failed(
        self, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though nobody could be told: who runs the task hears of it when the lease is renewed."""
        self.url = empty_redis.url
        async with self.opened() as broker:
            assert isinstance(broker, RedisBroker)
            claim = await a_claimed(broker)
            with monkeypatch.context() as away:
                away.setattr(broker.link, "command", AsyncMock(side_effect=BrokerUnavailable()))
                answer = await execute_on(broker, claim.task.spec, Cancelled())
            assert answer == Moved(State.DEAD)
            assert await end(broker, claim, Succeeded()) == LeaseLost()

    async def test_it_is_waited_for_by_the_server_s_clock(self, empty_redis: RedisServer) -> None:
        """Until a little after now, however wrong the clock of this machine."""
        self.url = f"{empty_redis.url}?timeout=7"
        async with self.opened() as broker:
            assert isinstance(broker, RedisBroker)
            assert 0 < broker.link.retry_deadline() - broker.time() <= 7


class TestMuchAtOnce(RedisCases):
    """What is much is divided, and asked for bit by bit."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    async def test_thousands_of_queues(self, broker: RedisBroker) -> None:
        """A worker may serve more than one call can name."""
        queues = [f"queue-{n}" for n in range(3_000)]
        far = [queues[n] for n in (0, MAX_QUEUES_PER_CALL, 2_999)]
        await put(broker, *(a_task(queue=queue) for queue in far))
        demand = Demand(10, dict.fromkeys(queues, 0))
        claims = await broker.claim(demand, now=NOW, until=NOW + LEASE)
        assert [claim.lease.queue for claim in claims] == far
        assert await broker.next_due(queues) is None
        assert await sweep_all(broker, *queues, now=NOW + LEASE) == Swept(crashed=3)

    async def test_large_tasks_are_read_few_at_a_time(self, broker: RedisBroker) -> None:
        """Others are served between; all that there is room for are handed out all the same."""
        tasks = [a_task(payload=b"x" * 200_000) for _ in range(12)]
        small = some_tasks(3)
        await put(broker, *tasks, *small)
        self.server.cli("CONFIG", "RESETSTAT")
        claims = await take(broker, 100)
        assert ids(claims) == [*ids_of(tasks), *ids_of(small)]
        assert self._calls("evalsha") >= 4
        assert self._calls("hstrlen") >= 12
        for claim in claims:
            await end(broker, claim, Succeeded())
        assert await broker.count() == {}

    async def test_large_tasks_enqueued_alone_are_read_few_at_a_time(
        self, broker: RedisBroker
    ) -> None:
        """The short script that stores a lone task leaves a large one to the script that marks it.

        Without the mark on its queue a claim would read all of them in one call.
        """
        await put(broker, first := a_task())
        tasks = [a_task(payload=b"x" * 200_000) for _ in range(12)]
        for task in tasks:
            await put(broker, task)
        self.server.cli("CONFIG", "RESETSTAT")
        assert ids(await take(broker, 100)) == [first.id, *ids_of(tasks)]
        assert self._calls("evalsha") >= 4
        assert self._calls("hstrlen") >= 12

    async def test_small_tasks_are_not_measured(self, broker: RedisBroker) -> None:
        """Nobody who has no large tasks pays for it."""
        self.server.cli("CONFIG", "RESETSTAT")
        await put(broker, *some_tasks(500))
        assert len(await take(broker, 500)) == 500
        assert self._calls("hstrlen") == 0

    def _calls(self, command: str) -> int:
        stats = self.server.cli("INFO", "commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])

    async def test_a_thousand_calls_at_once_share_connections(self) -> None:
        """One process does not take all that the server has for others."""
        with Proxy(self.server.port) as proxy:
            self.url = proxy.url
            async with self.opened() as broker:
                await self.together([broker.count] * 300)
                assert proxy.connections <= 64


class TestAPowerlessUser(RedisCases):
    """A script that is refused half way is not undone: so it is not begun."""

    @pytest.mark.parametrize("command", ["hincrby", "hset", "zadd", "hdel", "zrem", "set"])
    async def test_who_lacks_a_permission_is_told_before_anything_moves(
        self, own_redis: RedisServer, command: str
    ) -> None:
        """Which one, and nothing has changed."""
        self.url = own_redis.url
        async with self.opened() as broker:
            await put(broker, *some_tasks(3))
        rules, _ = documented()
        own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", *rules, f"-{command}")
        before = dumped(own_redis)
        self.url = own_redis.url.replace("//", "//ann:s3cr3t@")
        with pytest.raises(BrokerUnusable, match=rf"ACL SETUSER <user> .*\+{command}") as told:
            async with self.opened():
                raise AssertionError
        assert "s3cr3t" not in str(told.value)
        assert dumped(own_redis) == before
        own_redis.cli("ACL", "SETUSER", "ann", *rules)
        async with self.opened() as broker:
            assert len(await take(broker)) == 3

    async def test_what_is_tried_leaves_nothing(self, own_redis: RedisServer) -> None:
        """A server that was never used has no key after it was opened."""
        self.url = own_redis.url
        async with self.opened():
            assert own_redis.cli("KEYS", "*") == []


class TestAPowerlessUserUnderTheBlockingLink(TestAPowerlessUser):
    """It is the same over the link that blocks."""

    blocking = True


def dumped(server: RedisServer) -> dict[bytes | str, object]:
    """Return all that a server has."""
    with server.client() as client:
        return {key: client.dump(key) for key in client.keys()}  # noqa: SIM118  (no mapping)


def test_a_claim_says_in_its_header_that_it_may_come_too_late() -> None:
    """Whoever reads the script knows of the seventh argument."""
    assert "ARGV[7]: the deadline of the call" in CLAIM.text
