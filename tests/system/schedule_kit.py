"""Schedulers that are processes, and a count of the tasks that they make."""

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from qcore import Qcore, State
from tests.system import schedule_application
from tests.system.kit import ROOT
from tests.system.schedule_application import DEATH, INTERVAL
from tests.system.yard import until

QUEUE: Final = "default"
ENTRY: Final = "report"


class SchedulerProcess:
    """A `qcore scheduler`.

    `death` is the step at which it is killed, None for none; `clock` is by how many seconds the
    clock of its machine is wrong.
    """

    def __init__(self, url: str, log: Path, *, death: str | None = None, clock: float = 0) -> None:
        self._url, self._log, self._clock = url, log, clock
        self.process = self._begun(death)

    def _begun(self, death: str | None = None) -> "subprocess.Popen[bytes]":
        module = ["tests.system.wrong_clock", str(self._clock)] if self._clock else ["qcore"]
        command = [sys.executable, "-m", *module, "scheduler", f"{schedule_application.__name__}:q"]
        environment = os.environ | {"QCORE_URL": self._url}
        if death is not None:
            environment[DEATH] = death
        with self._log.open("a") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)

    @property
    def is_dead(self) -> bool:
        """Return whether it was killed; fail if it has ended otherwise."""
        status = self.process.poll()
        assert status in {None, -signal.SIGKILL}, self._log.read_text()
        return status is not None

    async def died(self) -> None:
        """Wait until it was killed at its step."""
        await until(lambda: self.is_dead, "the death of a scheduler")

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self.process.kill()
        self.process.wait()

    def begin_again(self) -> None:
        """Kill it, and begin anew, to live."""
        self.kill()
        self.process = self._begun()


class Collector:
    """Takes the tasks of ticks out of a store, so that one that is made again is counted again."""

    def __init__(self, q: Qcore) -> None:
        self._q = q
        self.taken: Counter[str] = Counter()

    async def take(self) -> None:
        """Take all that there are."""
        page = await self._q.inspector.browse(QUEUE, State.PENDING, limit=1_000)
        ids = [task.id for task in page.tasks]
        self.taken.update(ids)
        if ids:
            await self._q.inspector.delete(QUEUE, ids)

    async def ticked(self, times: int) -> None:
        """Wait for so many ticks."""
        before = self.taken.total()

        async def have_come() -> bool:
            await self.take()
            return self.taken.total() >= before + times

        await until(have_come, f"{times} ticks")

    async def check(self) -> None:
        """Fail unless each tick since the first was made once, as often as the entry says."""
        await self.take()
        found = await self._q.entries.get(ENTRY)
        assert found is not None
        assert set(self.taken.values()) == {1}, self.taken
        assert found.runs == len(self.taken)
        texts = [id_.removeprefix(f"{ENTRY}@") for id_ in self.taken]
        instants = sorted(datetime.fromisoformat(text).timestamp() for text in texts)
        steps = [later - earlier for earlier, later in pairwise(instants)]
        assert steps == [pytest.approx(INTERVAL)] * (len(instants) - 1)
