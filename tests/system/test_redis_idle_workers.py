"""What a worker costs a server while there is nothing to do."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import median
from time import monotonic

import pytest

from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.redis_application import work
from tests.system.redis_kit import Yard, measured, opened, until

pytestmark = pytest.mark.system

QUEUES = [f"queue-{number}" for number in range(10)]
SECONDS = 10.0
MOST_A_SECOND = 2.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Return a server that nobody else uses."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


@pytest.fixture
async def yard(server: RedisServer, tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a yard on it."""
    with opened(server.url, tmp_path) as yard:
        async with yard.q:
            yield yard


async def test_an_idle_worker_hardly_asks_the_server_anything(
    server: RedisServer, yard: Yard
) -> None:
    """With ten queues, at most two commands a second; and then it is there at once."""
    # queues that exist, and are empty, as they are in the life of a worker
    await yard.ask([work.using(queue=queue).call() for queue in QUEUES])
    [_] = await yard.crew(1, "--queues", ",".join(QUEUES))
    await yard.done()

    received, within = await asyncio.to_thread(commands_of, server)
    measured("commands a second", received / SECONDS)
    measured("commands within scripts a second", within / SECONDS)
    assert received / SECONDS <= MOST_A_SECOND

    latencies = [await latency(yard, queue) for queue in QUEUES * 2]
    measured("milliseconds until a task starts, half of the time", median(latencies) * 1000)
    measured("milliseconds until a task starts, at most", max(latencies) * 1000)


async def latency(yard: Yard, queue: str) -> float:
    """Ask for a task, and return how long it took from then on until its handler began."""
    asked_at = monotonic()
    [asked] = await yard.ask([work.using(queue=queue).call()])
    await until(lambda: asked in yard.journal.runs_by_id(), "a run")
    [run] = yard.journal.runs_by_id()[asked]
    return run.at - asked_at


def commands_of(server: RedisServer) -> tuple[int, int]:
    """Watch for a while; return how many came, and how many scripts called."""
    received = within = 0
    with server.client() as client, client.monitor() as monitor:
        began = monotonic()
        while (rest := began + SECONDS - monotonic()) > 0:
            if monitor.connection.can_read(timeout=rest):
                is_of_script = monitor.next_command()["client_type"] == "lua"
                within += is_of_script
                received += not is_of_script
    return received, within
