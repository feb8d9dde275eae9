"""Requests that a server refuses for their size, which looks like an outage where it just hangs up.

The server's limits are lowered to their least, 1 MiB. Above `proto-max-bulk-len` it replies and
closes the connection, above `client-query-buffer-limit` it closes it without a word.
"""

from collections.abc import Iterator

import pytest

from qcore import BrokerUnavailable, NewTask
from qcore.adapters.redis import RedisBroker
from qcore.domain.answers import Enqueued, Settled
from qcore.domain.periodic.changes import EntryWritten
from qcore.domain.periodic.editing import added
from qcore.domain.run_details import DetailsUpdate
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded, Updated
from qcore.errors import BrokerRefused
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import browse_all, execute_on, ids_of, put, take
from qcore.testing.entries import MINUTELY, an_entry
from tests.adapters.redis_kit import Pauses, RedisCases, pauses
from tests.servers.binaries import SERVERS
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

__all__ = ["pauses"]

LEAST = 1 << 20
TOO_LARGE = b"x" * 3_000_000
LIMITS = {"proto-max-bulk-len": 512 << 20, "client-query-buffer-limit": 1 << 30}
"""The settings, with their defaults."""


def fine() -> NewTask:
    return a_task(payload=b"small", retention=60)


class TestRefusedSizes(RedisCases):
    """They concern what was too large alone, and nothing that was sent with it."""

    @pytest.fixture(autouse=True, params=LIMITS)
    def _with_a_low_limit(
        self, request: pytest.FixtureRequest, empty_redis: RedisServer, pauses: Pauses
    ) -> Iterator[None]:
        self.url, self.pauses = empty_redis.url, pauses
        empty_redis.cli("CONFIG", "SET", request.param, LEAST)
        yield
        empty_redis.cli("CONFIG", "SET", request.param, LIMITS[request.param])

    async def test_a_task_that_is_too_large_is_refused_and_those_beside_it_are_stored(
        self, broker: RedisBroker
    ) -> None:
        """The error says which were stored: nothing has to be sent twice, nor is in doubt."""
        tasks = [fine(), fine(), a_task(payload=TOO_LARGE), fine()]
        with pytest.raises(BrokerRefused, match="proto-max-bulk-len") as refused:
            await broker.enqueue(tasks, now=NOW)
        answers = refused.value.answers
        assert [type(answer) for answer in answers] == [Enqueued, Enqueued, type(None), Enqueued]
        stored = [tasks[n].id for n in (0, 1, 3)]
        assert ids_of(await browse_all(broker, State.PENDING)) == stored

    async def test_a_lone_task_that_is_too_large_is_refused(self, broker: RedisBroker) -> None:
        """Soon: not after the seconds for which an outage would be sat out."""
        await put(broker, fine())
        with pytest.raises(BrokerRefused):
            await broker.enqueue([a_task(payload=TOO_LARGE)], now=NOW)
        assert len(self.pauses.taken) < 5
        await put(broker, fine())

    async def test_a_result_that_is_too_large_is_refused_and_those_in_other_queues_are_settled(
        self, broker: RedisBroker
    ) -> None:
        """Its lease goes on, to be settled otherwise."""
        tasks = [a_task(queue=queue, retention=60) for queue in ("one", "two", "three")]
        await put(broker, *tasks)
        claims = await take(broker, 3, "one", "two", "three")
        results = [b"small", TOO_LARGE, b"small"]
        verdicts = [
            Verdict(claim.lease, Succeeded(result))
            for claim, result in zip(claims, results, strict=True)
        ]
        with pytest.raises(BrokerRefused) as refused:
            await broker.settle(verdicts, now=NOW)
        done = Settled(State.COMPLETED)
        assert refused.value.answers == [done, None, done]
        verdict = Verdict(claims[1].lease, Succeeded(b"small"))
        assert await broker.settle([verdict], now=NOW) == [done]

    async def test_saved_work_and_arguments_that_are_too_large_are_refused(
        self, broker: RedisBroker
    ) -> None:
        """Whatever is written, of a run or by an operator."""
        await put(broker, fine(), fine())
        [claim] = await take(broker, 1)
        with pytest.raises(BrokerRefused):
            await broker.save_details([DetailsUpdate(claim.lease, saved=TOO_LARGE)])
        [waiting] = await browse_all(broker, State.PENDING)
        with pytest.raises(BrokerRefused):
            await execute_on(broker, waiting.spec, Updated({"payload": TOO_LARGE}))
        assert await broker.get("default", [waiting.id]) == [waiting]

    async def test_an_entry_that_is_too_large_is_refused_and_those_beside_it_are_written(
        self, broker: RedisBroker
    ) -> None:
        """The error says which were; nothing of the others has to be sent twice."""
        payloads = {"a": b"small", "b": TOO_LARGE, "c": b"small"}
        changes = [
            added(None, an_entry(name, task={"payload": payload}), MINUTELY, NOW)
            for name, payload in payloads.items()
        ]
        with pytest.raises(BrokerRefused, match="proto-max-bulk-len") as refused:
            await broker.write_entries(changes, now=NOW)
        kinds = [type(answer) for answer in refused.value.answers]
        assert kinds == [EntryWritten, type(None), EntryWritten]
        assert [each.id for each in await broker.browse_entries("default", 9)] == ["a", "c"]


class TestRefusedSizesBlocking(TestRefusedSizes):
    blocking = True


class TestOutagesOfLargeRequests(RedisCases):
    """Where the server answers nothing else either, nothing is known of the request's size."""

    async def test_a_proxy_that_closes_every_connection_is_an_outage(self, pauses: Pauses) -> None:
        """It takes connections, as its own server is away, and closes them."""
        with RedisServer(SERVERS[-1]) as server, Proxy(server.port) as proxy:
            self.url = proxy.url
            async with self.opened() as broker:
                await put(broker, fine())
                server.kill()
                with pytest.raises(BrokerUnavailable):
                    await broker.enqueue([a_task(payload=TOO_LARGE)], now=NOW)


class TestOutagesOfLargeRequestsBlocking(TestOutagesOfLargeRequests):
    blocking = True
