"""A Redis that is killed and started again, while producers ask for tasks and workers run them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.producers import Producers
from tests.system.redis_keys import keys_left
from tests.system.yard import Yard, measured, opened

pytestmark = pytest.mark.system

QUEUE = "default"
WORKERS = 2
OPTIONS = ("--lease", "5")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Return a server that writes everything into its append-only file."""
    binary, fsync = request.param
    with RedisServer(binary, "appendonly yes", f"appendfsync {fsync}") as server:
        yield server


@pytest.fixture
async def yard(server: RedisServer, tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a yard on it, where a call is given up soon."""
    with opened(f"{server.url}?timeout=1", tmp_path) as yard:
        async with yard.q:
            yield yard


async def restarted_twice(server: RedisServer, yard: Yard) -> set[str]:
    """Kill and restart the server in mid-flow, and go on; return what was lost of it."""
    workers = await yard.crew(WORKERS, *OPTIONS)
    async with Producers(yard.q, QUEUE) as producers:
        for is_long in (False, True):
            await producers.flow()
            await yard.flows(workers)
            server.kill()
            if is_long:
                await producers.are_refused()
            server.start()
            answers = monotonic()
            await producers.flow()
            measured("seconds until all workers run tasks", await yard.flows(workers) - answers)
    await yard.done()
    await yard.leave()
    return producers.losses(yard.journal)


@pytest.mark.parametrize("server", [(SERVERS[-1], "always")], indirect=True, ids=["newest"])
async def test_nothing_acknowledged_is_lost_where_each_write_is_synced(
    server: RedisServer, yard: Yard
) -> None:
    """Workers come back by themselves; what was acknowledged ran, and was settled only once."""
    assert not await restarted_twice(server, yard)

    runs, settled = yard.journal.runs_by_id(), yard.journal.settled_by_id()
    for id_, verdicts in settled.items():
        assert [each.token for each in verdicts] == [runs[id_][-1].token]
    assert keys_left(server) == {"qcore:queues", f"qcore:{{{QUEUE}}}:meta"}


@pytest.mark.parametrize("server", [(SERVERS[0], "everysec")], indirect=True, ids=["oldest"])
async def test_work_goes_on_where_writes_are_synced_each_second(
    server: RedisServer, yard: Yard
) -> None:
    """Workers come back by themselves, and whatever the store still has ends."""
    await restarted_twice(server, yard)

    assert keys_left(server) == {"qcore:queues", f"qcore:{{{QUEUE}}}:meta"}
