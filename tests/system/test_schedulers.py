"""Ten schedulers on one store, each a process, of which one after the other is killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from qcore import Qcore, State
from tests.system import schedule_application
from tests.system.kit import ROOT
from tests.system.schedule_application import INTERVAL

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SCHEDULERS = 10
KILLS = 8
BETWEEN_KILLS = 4
"""Ticks."""


class Scheduler:
    """A `qcore scheduler`, which is begun anew when it was killed."""

    def __init__(self, url: str, log: Path) -> None:
        self._url, self._log = url, log
        self.process = self._begun()

    def _begun(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "qcore", "scheduler", f"{schedule_application.__name__}:q"]
        with self._log.open("a") as log:
            environment = os.environ | {"QCORE_URL": self._url}
            return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self.process.kill()
        self.process.wait()

    def begin_again(self) -> None:
        """Kill it, and begin anew."""
        self.kill()
        self.process = self._begun()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a store of its own."""
    return f"sqlite:///{tmp_path / 'qcore.db'}"


@pytest.fixture
def schedulers(url: str, tmp_path: Path) -> Iterator[list[Scheduler]]:
    """Return ten schedulers at work, which are killed at the end."""
    made = [Scheduler(url, tmp_path / f"log-{n}") for n in range(SCHEDULERS)]
    yield made
    for each in made:
        each.kill()


async def test_ten_schedulers_of_which_some_are_killed_make_one_task_for_each_tick(
    url: str, schedulers: list[Scheduler]
) -> None:
    """None is made twice, and none is left out."""
    async with Qcore(url, instruments=()) as q, asyncio.timeout(240):
        for victim in [*schedulers[:KILLS], None]:
            before = await ticks_of(q)
            while await ticks_of(q) < before + BETWEEN_KILLS:  # noqa: ASYNC110  (other processes)
                await asyncio.sleep(0.05)
            if victim is not None:
                victim.begin_again()
        for each in schedulers:
            each.kill()
        found = await q.entries.get("report")
        page = await q.inspector.browse("default", State.PENDING, limit=10_000)
    instants = [
        datetime.fromisoformat(task.id.partition("@")[2]).timestamp() for task in page.tasks
    ]
    steps = [later - earlier for earlier, later in pairwise(sorted(instants))]
    assert steps == [pytest.approx(INTERVAL)] * (len(page.tasks) - 1)
    assert found is not None
    assert found.runs == len(page.tasks) >= KILLS * BETWEEN_KILLS


async def ticks_of(q: Qcore) -> int:
    """Return how many ticks were made."""
    return (await q.inspector.counts()).get("default", {}).get(State.PENDING, 0)
