"""What a worker costs a server while there is nothing to do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from time import monotonic

import pytest

from qcore.adapters.redis.scripts import ANNOUNCE
from qcore.domain.workers import ANNOUNCE_EVERY
from tests.servers.binaries import SERVERS
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer
from tests.system.journal_application import work
from tests.system.yard import Yard, measured, opened, until

pytestmark = pytest.mark.system

QUEUES = [f"queue-{number}" for number in range(10)]
SECONDS = 10.0
MOST_A_SECOND = 2.5
"""More than one of them asks whether the server still takes writes, another half for its time."""
MOST_A_SECOND_OF_A_MASTER = 3.7
"""Of a cluster's: one of them is asked both, and has queues like the others; now and then it
may be asked, too, which queues have entries of periodic tasks."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Return a server that nobody else uses."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """Return a cluster that nobody else uses."""
    with RedisCluster(SERVERS[-1]) as cluster:
        yield cluster


@pytest.fixture
async def yard(server: RedisServer, tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a yard on it."""
    with opened(server.url, tmp_path) as yard:
        async with yard.q:
            yield yard


async def test_an_idle_worker_hardly_asks_the_server_anything(
    server: RedisServer, yard: Yard
) -> None:
    """With ten queues, at most 2.5 commands a second, and one announcement in five seconds.

    And then it is there at once.
    """
    # queues that exist, and are empty, as they are in the life of a worker
    await yard.ask([work.using(queue=queue).call() for queue in QUEUES])
    [_] = await yard.crew(1, "--queues", ",".join(QUEUES))
    await yard.done()

    received, within, announced = await asyncio.to_thread(commands_of, server)
    measured("commands a second", received / SECONDS)
    measured("announcements a second", announced / SECONDS)
    # wherever they begin
    assert 1 <= announced <= SECONDS / ANNOUNCE_EVERY + 1
    measured("commands within scripts a second", within / SECONDS)
    assert (received - announced) / SECONDS <= MOST_A_SECOND

    latencies = [await latency(yard, queue) for queue in QUEUES * 2]
    measured("milliseconds until a task starts, half of the time", median(latencies) * 1000)
    measured("milliseconds until a task starts, at most", max(latencies) * 1000)


async def test_an_idle_worker_hardly_asks_a_cluster_anything(
    cluster: RedisCluster, tmp_path: Path
) -> None:
    """With ten queues, evenly spread, at most 3.5 commands a second to each master.

    And one announcement in five seconds to one of them.
    """
    queues = spread(cluster)
    with opened(cluster.url, tmp_path) as yard:
        async with yard.q:
            await yard.ask([work.using(queue=queue).call() for queue in queues])
            [_] = await yard.crew(1, "--queues", ",".join(queues))
            await yard.done()
            watching = [asyncio.to_thread(commands_of, master) for master in cluster.masters]
            seen = await asyncio.gather(*watching)
            for received, _, announced in seen:
                measured("commands a second", received / SECONDS)
                assert 0 < (received - announced) / SECONDS <= MOST_A_SECOND_OF_A_MASTER
            assert 1 <= sum(announced for *_, announced in seen) <= SECONDS / ANNOUNCE_EVERY + 1
            latencies = [await latency(yard, queue) for queue in queues * 2]
            measured("milliseconds until a task starts, half of the time", median(latencies) * 1000)
            measured("milliseconds until a task starts, at most", max(latencies) * 1000)


def spread(cluster: RedisCluster) -> list[str]:
    """Return as many queues as there are others, as many of each master's as can be."""
    most = -(-len(QUEUES) // len(cluster.masters))
    owners: Counter[int] = Counter()
    queues: list[str] = []
    names = (f"queue-{number}" for number in count())
    while len(queues) < len(QUEUES):
        queue = next(names)
        port = cluster.owner(f"qcore:{{{queue}}}:meta").port
        if owners[port] < most:
            owners[port] += 1
            queues.append(queue)
    return queues


async def latency(yard: Yard, queue: str) -> float:
    """Ask for a task, and return how long it took from then on until its handler began."""
    asked_at = monotonic()
    [asked] = await yard.ask([work.using(queue=queue).call()])
    await until(lambda: asked in yard.journal.runs_by_id(), "a run")
    [run] = yard.journal.runs_by_id()[asked]
    return run.at - asked_at


def commands_of(server: RedisServer) -> tuple[int, int, int]:
    """Watch for a while; return how many came, how many scripts called, how many announced."""
    received = within = announced = 0
    with server.client() as client, client.monitor() as monitor:
        began = monotonic()
        while (rest := began + SECONDS - monotonic()) > 0:
            if monitor.connection.can_read(timeout=rest):
                command = monitor.next_command()
                is_of_script = command["client_type"] == "lua"
                announced += command["command"].split()[1:2] == [ANNOUNCE.digest]
                within += is_of_script
                received += not is_of_script
    return received, within, announced
