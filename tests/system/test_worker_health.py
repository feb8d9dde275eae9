"""What is answered about the health of real processes, on a Redis that comes and goes."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from qcore.types import Call
from tests.entrypoints import blocking
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.supervisor_kit import Plant, planted

pytestmark = pytest.mark.system


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    """Return a store of its own, closed when its workers have gone."""
    with planted(tmp_path) as plant:
        async with plant.q:
            yield plant


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Give a server of our own, as it is to be ended."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


async def test_a_worker_is_ready_while_its_broker_answers(
    tmp_path: Path, server: RedisServer
) -> None:
    """It says what is in the way, lives on meanwhile, and is ready again by itself."""
    with planted(tmp_path, server.url) as plant:
        worker = plant.supervise("--health-port", "0")
        assert await worker.asked("/ready", is_well=True) == "the worker can claim"
        server.freeze()
        assert "the broker has not answered for 0.2 s" in await worker.asked(
            "/ready", is_well=False
        )
        assert await worker.asked("/live", is_well=True) == "the process lives"
        server.thaw()
        await worker.asked("/ready", is_well=True)
        server.kill()
        await worker.asked("/ready", is_well=False)
        server.start()
        await worker.asked("/ready", is_well=True)
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0, worker.log


async def test_a_worker_whose_loop_is_blocked_answers_that_it_cannot_claim(plant: Plant) -> None:
    """From a thread of its own; when the handler is done, it can again."""
    worker = plant.supervise("--health-port", "0")
    await worker.asked("/ready", is_well=True)
    await plant.q.client.enqueue(blocked(plant))
    await plant.running()
    assert "its event loop has been blocked for" in await worker.asked("/ready", is_well=False)
    assert await worker.asked("/live", is_well=True) == "the process lives"
    plant.release()
    await worker.asked("/ready", is_well=True)


def blocked(plant: Plant) -> Call[str]:
    """Return the call of a handler that keeps the loop from turning until it is released."""
    return blocking.block.call(str(plant.folder))


async def test_a_supervisor_is_ready_while_one_of_its_workers_is(plant: Plant) -> None:
    """One that is blocked, or gone, does not count; without any, it is not ready."""
    supervisor = plant.supervise("--workers", "2", "--health-port", "0")
    workers = await supervisor.served_by(2)
    await plant.q.client.enqueue(blocked(plant))
    stuck = await plant.running()
    await supervisor.says("event loop is blocked")
    os.kill(next(pid for pid in workers if pid != stuck), signal.SIGKILL)
    assert "0 of 2 workers can claim" in await supervisor.asked("/ready", is_well=False)
    plant.release()
    await supervisor.asked("/ready", is_well=True)
    supervisor.send(signal.SIGUSR1)
    assert "0 of 2 workers can claim" in await supervisor.asked("/ready", is_well=False)
    assert await supervisor.asked("/live", is_well=True) == "the process lives"
