"""What the store says of worker processes that are killed, frozen, or stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qcore import NewTask, Qcore, State
from qcore.workers import Condition, WorkerInfo
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.kit import ROOT, until

pytestmark = pytest.mark.system

EVERY = 1.0
"""Seconds between two announcements of announcing_worker.py: three of them, and one is gone."""


@pytest.fixture(params=["sqlite", "redis"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Return the URL of a store that nobody else uses."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'queue.db'}"
        return
    with RedisServer(SERVERS[-1]) as server:
        yield server.url
        # the keys expire by themselves, a moment after the worker where its call was late
        await until(lambda: server.cli("KEYS", "qcore:{ }:*") == [], "the end of the keys")


class Worker:
    """A worker process, and what the store says of it."""

    def __init__(self, q: Qcore, url: str) -> None:
        self.q = q
        self.url = url
        command = [sys.executable, "-m", "tests.system.announcing_worker", url]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    async def listed(self) -> Sequence[WorkerInfo]:
        """Return the workers that are listed."""
        return await self.q.inspector.workers(queue="default", name="hold")

    async def announcement(self) -> WorkerInfo:
        """Wait until it is listed, as it may be late under load; return what it has announced."""
        found: list[WorkerInfo] = []

        async def is_listed() -> bool:
            found[:] = await self.listed()
            return bool(found)

        await until(is_listed, "its announcement")
        return found[0]

    async def is_gone(self) -> bool:
        return not await self.listed()

    async def runs(self) -> bool:
        """Return whether it says that it has its task."""
        return any(worker.running for worker in await self.listed())

    async def condition(self) -> Condition | None:
        found = await self.listed()
        return found[0].condition(self.q.clock.now()) if found else None

    async def has_been_silent(self) -> bool:
        return await self.condition() is Condition.SILENT


@pytest.fixture
async def worker(url: str) -> AsyncIterator[Worker]:
    """Return a worker that runs a task."""
    async with Qcore(url, instruments=[]) as q:
        await q.client.enqueue(NewTask("hold", id="held"))
        worker = Worker(q, url)
        try:
            await until(worker.runs, "the announcement of what it runs")
            yield worker
        finally:
            worker.process.kill()
            worker.process.wait()
            await until(worker.is_gone, "its end in the list")


async def test_a_killed_worker_is_gone_when_its_last_announcement_expires(worker: Worker) -> None:
    """With nothing left of it: no other worker, and no operator, has to clear it away."""
    before = await worker.announcement()
    assert before.pid == worker.process.pid
    assert [task.id for task in before.running] == ["held"]
    assert before.expires - before.seen == pytest.approx(3 * EVERY)
    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()
    await until(worker.is_gone, "its end in the list")
    # it was not taken out by anybody: its time was over
    assert worker.q.clock.now() >= before.expires


async def test_a_frozen_worker_is_silent_and_then_gone_and_comes_back(worker: Worker) -> None:
    """The command tells the age of its last announcement, too; thawed, it goes on as itself."""
    before = await worker.announcement()
    worker.process.send_signal(signal.SIGSTOP)
    await until(worker.has_been_silent, "its silence")
    document, status = asked(worker.url)
    # the command takes a moment to start, in which it may have expired
    for told in document["workers"]:
        assert (status, told["state"], told["id"]) == (0, "silent", before.id)
        assert told["seen_seconds_ago"] > 1.5 * EVERY
    await until(worker.is_gone, "its end in the list")
    worker.process.send_signal(signal.SIGCONT)
    after = await worker.announcement()
    assert (after.id, after.started) == (before.id, before.started)


async def test_a_worker_that_is_stopped_takes_itself_off_the_list(worker: Worker) -> None:
    """By the signal that ends a program that runs a worker: it need not expire."""
    worker.process.send_signal(signal.SIGINT)
    worker.process.wait(timeout=30)
    assert await worker.is_gone()
    assert (await worker.q.inspector.counts())["default"] == {State.PENDING: 1}
    document, status = asked(worker.url)
    assert (document["workers"], status) == ([], 3)


def asked(url: str) -> tuple[dict[str, list[dict[str, object]]], int]:
    """Return what `qcore workers` says, and its exit status."""
    command = [sys.executable, "-m", "qcore", "workers", "--json"]
    environment = os.environ | {"QCORE_URL": url}
    said = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return json.loads(said.stdout), said.returncode
