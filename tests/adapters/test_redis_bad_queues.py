"""One queue that cannot be served does not keep a worker from the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from qcore import Context, Qcore
from qcore.adapters.redis import RedisBroker
from qcore.app.worker import claim_loop, failure_backoff, quarantine
from qcore.domain.answers import Swept
from qcore.domain.task import Claim, Demand
from qcore.errors import BrokerUnusable
from qcore.testing import Signals
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.steps import put
from tests.adapters.redis_kit import broker_at, teach
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer

QUEUES: Final = ("good", "bad", "fine")
META: Final = "qcore:{bad}:meta"
PAUSE: Final = 0.05
Spoil = Callable[[RedisServer], object]

SPOILT: Final[dict[str, tuple[Spoil, Spoil]]] = {
    "newer": (
        lambda server: server.cli("HSET", META, "version", "3"),
        lambda server: server.cli("HSET", META, "version", "2"),
    ),
    "foreign": (
        lambda server: server.cli("SET", "qcore:{bad}:dead", "theirs"),
        lambda server: server.cli("DEL", "qcore:{bad}:dead"),
    ),
}
"""What makes the queue one that cannot be served, and what mends it."""


class Shop:
    """Three queues on a Redis, and what their worker has run and told."""

    def __init__(self, url: str, server: RedisServer, how: str) -> None:
        self.signals = Signals()
        self.q = Qcore(url, instruments=(self.signals,))
        self.ran: asyncio.Queue[str] = asyncio.Queue()
        self.server = server
        self._spoil, self._mend = SPOILT[how]

        @self.q.task("note")
        async def note(ctx: Context) -> None:
            await self.ran.put(ctx.queue)

        self.note = note

    async def ask(self, *queues: str) -> None:
        for queue in queues:
            await self.note.using(queue=queue).enqueue()

    async def next(self, count: int) -> set[str]:
        """Return the queues of the next runs."""
        async with asyncio.timeout(30):
            return {await self.ran.get() for _ in range(count)}

    def spoil(self) -> None:
        self._spoil(self.server)

    def mend(self) -> None:
        self._mend(self.server)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Have a worker at work."""
        one = self.q.worker(queues=list(QUEUES), sweep_every=PAUSE)
        running = asyncio.create_task(one.run())
        await self.signals.worker_started.next()
        yield
        one.stop(at_once=True)
        await running
        await self.q.broker.close()

    async def told(self, call: str) -> str:
        """Return what was told of the next failure of a call."""
        while (failed := await self.signals.broker_failed.next()).call != call:
            pass
        return str(failed.error)


@pytest.fixture(autouse=True)
def _tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_backoff, "SHORTEST_PAUSE", PAUSE)
    monkeypatch.setattr(quarantine, "LONGEST_QUARANTINE", PAUSE)
    monkeypatch.setattr(claim_loop, "LONGEST_IDLE", PAUSE)


async def served_all_but_one(shop: Shop) -> None:
    """See that a worker serves the good queues, tells of the bad one, and comes back to it."""
    await shop.ask(*QUEUES)
    shop.spoil()
    async with shop.working():
        assert await shop.next(2) == {"good", "fine"}
        for call in ("claim", "sweep"):
            said = await shop.told(call)
            assert said.startswith("queue 'bad' is not served, the others are: ")
            assert "newer qcore" in said or "qcore:{bad}:dead" in said
        # and from then on
        await shop.ask("good", "fine")
        assert await shop.next(2) == {"good", "fine"}
        shop.mend()
        await shop.ask("good")
        assert "bad" in await shop.next(2)
        recovered = await shop.signals.recovered.next()
        assert recovered.failures >= 1


@pytest.mark.parametrize("how", SPOILT)
async def test_the_others_are_served(empty_redis: RedisServer, how: str) -> None:
    """The bad one is, too, once it is mended."""
    await served_all_but_one(Shop(empty_redis.url, empty_redis, how))


@pytest.mark.parametrize("how", SPOILT)
async def test_the_others_are_served_on_a_cluster(empty_cluster: RedisCluster, how: str) -> None:
    """There, too, where each queue is asked by itself."""
    await served_all_but_one(Shop(empty_cluster.url, empty_cluster.owner(META), how))


async def test_moments_of_the_others_are_kept(empty_redis: RedisServer) -> None:
    """What is due later in a good queue runs though nobody knows what is due in the bad one."""
    shop = Shop(empty_redis.url, empty_redis, "newer")
    await shop.ask("bad")
    shop.spoil()
    async with shop.working():
        await shop.told("claim")
        await shop.note.using(queue="good", delay=0.2).enqueue()
        assert await shop.next(1) == {"good"}


async def test_what_a_cluster_hands_out_beside_an_error_is_not_lost(
    empty_cluster: RedisCluster,
) -> None:
    """It would be taken for crashed; the error is raised where there is nothing to hand out."""
    broker = broker_at(empty_cluster.url)
    await broker.open()
    tasks = [a_task(queue=queue) for queue in QUEUES]
    await put(broker, *tasks)
    SPOILT["newer"][0](empty_cluster.owner(META))
    # a node that does not know the script is told it, whatever another one answers
    for node in empty_cluster.masters:
        teach(node)
    empty_cluster.owner("qcore:{good}:meta").cli("SCRIPT", "FLUSH")
    demand = Demand(10, {"good": 3, "bad": 3, "fine": 3})
    claims = await claimed(broker, demand)
    assert {claim.lease.queue for claim in claims} == {"good", "fine"}
    with pytest.raises(BrokerUnusable, match="newer qcore"):
        await claimed(broker, demand)
    assert await broker.sweep(["good", "fine"], 10, now=NOW) == Swept()
    assert (await broker.get("good", [tasks[0].id]))[0] is not None
    await broker.close()


async def claimed(broker: RedisBroker, demand: Demand) -> list[Claim]:
    """Claim under a lease of usual length."""
    return list(await broker.claim(demand, now=NOW, until=NOW + LEASE))
