"""Watch a real store: what other processes change in a file, and a Redis that is restarted."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from qcore import Qcore, State
from qcore.domain.transitions import Succeeded
from qcore.queries import StoreUpdate
from qcore.testing import a_task
from qcore.testing.contract.steps import end, take
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

PATIENCE = 30.0

ENQUEUE_TWO = """
import os
import sys
from qcore import Qcore
from qcore.testing import a_task

q = Qcore(sys.argv[1], instruments=[])
q.blocking.enqueue_many([a_task(queue="theirs", id=f"{os.getpid()}-{n}") for n in range(2)])
q.blocking.close()
"""


async def seen(
    updates: AsyncGenerator[StoreUpdate, None], fits: Callable[[StoreUpdate], bool]
) -> StoreUpdate:
    """Return the first update that fits."""
    async with asyncio.timeout(PATIENCE):
        async for update in updates:
            if fits(update):
                return update
    raise AssertionError("it has ended")


def has(queue: str, state: State, number: int) -> Callable[[StoreUpdate], bool]:
    """Return what tells whether so many tasks of a queue are in a state."""
    return lambda update: any(
        each.name == queue and each.sizes[state] == number for each in update.queues
    )


async def run_tasks(q: Qcore) -> None:
    """Have tasks end, one after the other: a listener that is not back yet hears of some alone."""
    while True:
        await q.client.enqueue(a_task(retention=60.0))
        for claim in await take(q.broker, now=q.clock.now()):
            await end(q.broker, claim, Succeeded(), now=q.clock.now())
        await asyncio.sleep(0.05)


async def enqueue_elsewhere(url: str) -> None:
    """Enqueue two tasks in a process of their own."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", ENQUEUE_TWO, url)
    assert await child.wait() == 0


@pytest.mark.system
async def test_what_another_process_changes_in_a_file_is_seen(tmp_path: Path) -> None:
    """A new queue, and what is put into one that is known."""
    url = f"sqlite:///{tmp_path}/q.db"
    q = Qcore(url, instruments=[])
    async with aclosing(q.inspector.watch()) as updates:
        assert (await anext(updates)).queues == []
        await enqueue_elsewhere(url)
        await seen(updates, has("theirs", State.PENDING, 2))
        await enqueue_elsewhere(url)
        await seen(updates, has("theirs", State.PENDING, 4))
    await q.client.close()


@pytest.mark.system
def test_code_that_blocks_sees_what_another_process_changes(tmp_path: Path) -> None:
    """On the thread that asks for the next update."""
    url = f"sqlite:///{tmp_path}/q.db"
    q = Qcore(url, instruments=[])
    updates = q.blocking_inspector.watch()
    assert next(updates).is_whole
    subprocess.run([sys.executable, "-c", ENQUEUE_TWO, url], check=True)
    while not has("theirs", State.PENDING, 2)(next(updates)):
        pass
    updates.close()
    q.blocking.close()


@pytest.mark.system
async def test_who_watches_outlives_a_restart_of_redis() -> None:
    """The outage is told, then all queues anew, and then the ids of what ends; nothing is left."""
    with RedisServer(SERVERS[-1]) as server:
        q = Qcore(f"{server.url}?timeout=1", instruments=[])
        await q.client.enqueue(a_task())
        async with aclosing(q.inspector.watch()) as updates:
            assert has("default", State.PENDING, 1)(await anext(updates))
            server.kill()
            assert "127.0.0.1" in str((await seen(updates, lambda u: bool(u.outage))).outage)
            server.start()
            back = await seen(updates, lambda u: u.is_whole)
            assert (back.outage, back.queues) == (None, [])
            running = asyncio.create_task(run_tasks(q))
            ended = await seen(updates, lambda u: any(each.tasks for each in u.queues))
            running.cancel()
            await asyncio.wait([running])
            assert ended.queues[0].name == "default"
        channels = server.cli("PUBSUB", "CHANNELS")
        await q.client.close()
        assert channels == []
