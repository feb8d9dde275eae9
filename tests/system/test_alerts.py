"""Alerts of real workers, told to a real server that is away at first."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qcore import NewTask, Qcore
from tests.entrypoints.test_alerts import Receiver
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.kit import ROOT
from tests.system.yard import until

pytestmark = pytest.mark.system


@contextmanager
def a_worker(url: str, receiver: Receiver, log: Path) -> Iterator[None]:
    """Run a worker that serves the queue of the alerts alone, and end it."""
    hook = f"http://127.0.0.1:{receiver.port}/hook"
    command = ["worker", "tests.system.alerting_application:q", "--queues", "alerts"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "qcore", *command],
            cwd=ROOT,
            env=os.environ | {"QCORE_URL": url, "HOOK": hook},
            stderr=output,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def told(url: str, log: Path) -> list[tuple[object, ...]]:
    """Have a queue served by nobody for a while; return what a server that is away twice got."""
    with Receiver(503, 503) as receiver, a_worker(url, receiver, log):
        async with Qcore(url) as q:
            await q.client.enqueue(NewTask("x", id="1", queue="nobody"))
            await until(lambda: len(receiver.got) == 3, "an alert at the third attempt")
            await q.inspector.delete("nobody", ["1"])
            await until(lambda: len(receiver.got) == 4, "that it is over")
    bodies = [body for _, _, body in receiver.got]
    assert len({each["since"] for each in bodies}) == 1
    return [(each["rule"], each["queue"], each["environment"], each["is_over"]) for each in bodies]


async def test_an_alert_comes_from_every_store_though_its_receiver_is_away(
    tmp_path: Path,
) -> None:
    """It is retried, says which queue and environment, and when it is over."""
    with RedisServer(SERVERS[-1]) as server:
        of_stores = await asyncio.gather(
            told(f"sqlite:///{tmp_path}/q.db", tmp_path / "sqlite.log"),
            told(server.url, tmp_path / "redis.log"),
        )
    wrong = ("no-worker", "nobody", "staging", False)
    for each in of_stores:
        assert each == [wrong, wrong, wrong, (*wrong[:3], True)]
