"""A trial: processes are started, killed, frozen and started again; then the store is audited."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.entrypoints.connect import connect
from qcore.entrypoints.crash_test.roles import LEASE, lines_of
from qcore.entrypoints.facade import Qcore
from qcore.ports import Capability

PAUSE: Final = 0.2
"""Seconds from the first sign of a process to its end by a kill."""
GLANCE: Final = 0.02
JOURNALS: Final = {"produce": "acknowledged", "work": "begun"}
"""What a process writes, by its role."""
LONGEST_START: Final = 3.0
"""Seconds that are waited for the first sign."""
PATIENCE: Final = 120.0
"""Seconds after which a process that has to end by itself never will."""
PAGE: Final = 500


class TrialFailed(Exception):
    """Say which process has ended, or has not, as it should not have."""


@record
class Report:
    """What a trial has found."""

    acknowledged: int
    completed: int
    lost: tuple[str, ...]
    """Tasks whose enqueue was acknowledged, and that are not completed."""
    begun_again: int
    """Tasks that began more than once: those that a killed or frozen worker had."""
    kills: int


class Trial:
    """The processes of one trial, in a queue of its own."""

    def __init__(self, url: str, queue: str, folder: Path, tasks: int) -> None:
        self._url, self._queue, self._folder, self._tasks = url, queue, folder, tasks
        self._kills = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, kills: int) -> None:
        """Enqueue and run all tasks, while processes are killed so many times.

        Whatever it raises, no process of the trial goes on.
        """
        try:
            if Capability.SHARED in connect(self._url).capabilities:
                self._together(kills)
            else:
                self._one_by_one(kills)
            # each process is another: this one begins with what the store has kept
            self._ends(self._started("work", "--to-the-end"))
        finally:
            for process in self._processes:
                process.kill()
                process.wait()

    def _together(self, kills: int) -> None:
        """Kill one of a producer and two workers at a time, and freeze a worker past its lease."""
        roles = ["work", "produce", "work"]
        running = [self._started(role) for role in roles]
        for number in range(kills):
            each = number % len(roles)
            self._busy(roles[each])
            self._kill(running[each])
            running[each] = self._started(roles[each])
        running[0].send_signal(signal.SIGSTOP)
        sleep(1.5 * LEASE)
        running[0].send_signal(signal.SIGCONT)
        self._ends(running.pop(1))
        for worker in running:
            self._kill(worker)

    def _one_by_one(self, kills: int) -> None:
        """Kill a producer, then workers, none beside another: the store is for one process."""
        for number in range(kills):
            role = "work" if number % 2 else "produce"
            process = self._started(role)
            self._busy(role)
            self._kill(process)
        self._ends(self._started("produce"))

    def _started(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        module = "qcore.crash_test"
        where = ["--queue", self._queue, "--folder", str(self._folder)]
        command = [sys.executable, "-m", module, self._url, "--tasks", str(self._tasks), *where]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen([*command, "--role", role, *options], env=environment)
        self._processes.append(process)
        return process

    def _busy(self, role: str) -> None:
        """Wait until a process of a role is at its work, or has had time for all there was."""
        file = self._folder / JOURNALS[role]
        before, deadline = _size(file), monotonic() + LONGEST_START
        while _size(file) == before and monotonic() < deadline:
            sleep(GLANCE)
        sleep(PAUSE)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        status = process.wait()
        if status not in {0, -signal.SIGKILL}:
            raise TrialFailed(f"a process has ended by itself, with the status {status}")
        self._kills += 1

    def _ends(self, process: subprocess.Popen[bytes]) -> None:
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise TrialFailed(f"a process has not ended within {PATIENCE:.0f} s") from None
        if status:
            raise TrialFailed(f"a process has ended with the status {status}")

    async def audit(self) -> Report:
        """Compare what was acknowledged with what the store has; leave nothing of the queue."""
        acknowledged = lines_of(self._folder / "acknowledged")
        begun = lines_of(self._folder / "begun")
        async with Qcore(self._url) as q:
            completed = {task.id async for task in _tasks(q, self._queue, State.COMPLETED)}
            await q.inspector.remove_queue(self._queue, force=True)
        return Report(
            len(acknowledged),
            len(completed),
            tuple(sorted(acknowledged.keys() - completed, key=int)),
            sum(times > 1 for times in begun.values()),
            self._kills,
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


async def _tasks(q: Qcore, queue: str, state: State) -> AsyncIterator[Task]:
    cursor: str | None = None
    while True:
        page = await q.inspector.browse(queue, state, limit=PAGE, cursor=cursor)
        for task in page.tasks:
            yield task
        if page.cursor is None:
            return
        cursor = page.cursor
