"""A worker that stands still for longer than its lease, and goes on as if nothing had happened."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qcore import State
from qcore.types import Handler
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.journal_application import hold, hold_loop, hold_thread, q, work
from tests.system.yard import Yard, opened, until

pytestmark = pytest.mark.system

LEASE = ("--lease", "2")
KEPT = 3600.0


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a yard on a server of its own."""
    with RedisServer(SERVERS[-1]) as server, opened(server.url, tmp_path) as yard:
        async with yard.q:
            yield yard


@pytest.mark.parametrize(
    ("handler", "notices"),
    [
        # its heartbeat, or its verdict, is what comes first
        pytest.param(hold, ("lease lost", "verdict came too late"), id="a coroutine"),
        pytest.param(hold_thread, ("lease lost", "verdict came too late"), id="a thread"),
        # it is done before the loop hears of its heartbeat
        pytest.param(hold_loop, ("verdict came too late",), id="the loop itself"),
    ],
)
async def test_a_frozen_worker_settles_nothing(
    yard: Yard, handler: Handler[..., int, object], notices: Sequence[str]
) -> None:
    """Another one has run its task, and its own verdict is refused; what it claims next is fine."""
    [asked] = await yard.ask([handler.using(retention=KEPT).call()])
    [frozen] = await yard.crew(1, *LEASE)
    await until(lambda: len(yard.journal.runs()) == 1, "a run")

    frozen.send(signal.SIGSTOP)
    [other] = await yard.crew(1, *LEASE)
    await until(lambda: len(yard.journal.runs()) == 2, "another run")
    yard.release()
    await yard.done()
    frozen.send(signal.SIGCONT)
    await until(lambda: any(words in frozen.log for words in notices), "the frozen one notices")
    await other.leave()

    first, second = yard.journal.runs()
    assert (first.pid, second.pid) == (frozen.pid, other.pid)
    [settled] = yard.journal.settled_by_id()[asked]
    assert (settled.pid, settled.token) == (other.pid, second.token)
    task = (await yard.stored("default", State.COMPLETED))[asked]
    assert task.result is not None
    assert q.codec.loads(task.result, task.result_type, int) == second.token
    assert (task.attempts, task.failures, task.crashes) == (2, 0, 1)

    [later] = await yard.ask([work.call()])
    await yard.done()
    await frozen.leave()
    [settled] = yard.journal.settled_by_id()[later]
    assert settled.pid == frozen.pid


@pytest.mark.parametrize("number", [1, 2], ids=["a lone worker", "all workers together"])
async def test_workers_that_were_frozen_together_keep_their_tasks(yard: Yard, number: int) -> None:
    """Their leases are over when they go on; each renews its own, and judges nobody before that."""
    asked = await yard.ask([hold.using(retention=KEPT).call()] * number)
    workers = await yard.crew(number, *LEASE, "--concurrency", "1")
    await until(lambda: len(yard.journal.runs()) == number, "all run")
    for worker in workers:
        worker.send(signal.SIGSTOP)
    await asyncio.sleep(3)
    for worker in workers:
        worker.send(signal.SIGCONT)
    # long enough for sweeps that would take what is not renewed
    await asyncio.sleep(2)
    yard.release()
    await yard.done()
    for worker in workers:
        await worker.leave()
    completed = await yard.stored("default", State.COMPLETED)
    assert [(completed[id_].attempts, completed[id_].crashes) for id_ in asked] == [(1, 0)] * number
