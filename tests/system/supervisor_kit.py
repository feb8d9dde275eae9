"""`qcore worker --workers N` under test: a supervisor, and the workers that it has started."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from qcore import Qcore
from qcore.entrypoints.health.ask import ask
from qcore.entrypoints.health.vital_signs import Health
from tests.system.kit import ROOT, Shop, WorkerProcess, is_alive, until

APPLICATION = "tests.entrypoints.blocking:q"


class SupervisorProcess(WorkerProcess):
    """A supervisor of an application that has handlers of any kind."""

    def __init__(
        self,
        log: Path,
        *options: str,
        app: str = APPLICATION,
        before: tuple[str, ...] = (),
        cwd: Path = ROOT,
        **environment: str,
    ) -> None:
        command = [*before, sys.executable, "-m", "tests.system.impatient", "worker", app, *options]
        self._log = log
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        )
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=os.environ | environment,
                stderr=output,
                preexec_fn=obey_signals,  # noqa: PLW1509  (no other thread runs here)
            )
        self._known: set[int] = set()

    def lines(self, event: str) -> list[dict[str, object]]:
        """Return what it and its workers have logged of a kind, whole lines alone."""
        found = []
        for line in self.log.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                said = json.loads(line)
                if said["event"] == event:
                    found.append(said)
        return found

    async def says(self, event: str, times: int = 1) -> list[dict[str, object]]:
        """Wait until it has logged something so many times."""
        await until(
            lambda: len(self.lines(event)) >= times or self._has_ended(),
            f"{times} times {event!r} in its log",
        )
        found = self.lines(event)
        assert len(found) >= times, f"it ended without {times} times {event!r}:\n{self.log}"
        return found

    def workers(self) -> list[int]:
        """Return the processes that are its workers now."""
        children = [each.pid for each in psutil.Process(self.pid).children()]
        self._known.update(children)
        return children

    async def served_by(self, number: int) -> list[int]:
        """Wait until so many workers have come to serve; return the processes of all that have."""
        return [int(str(each["pid"])) for each in await self.says("worker serves", number)]

    async def asked(self, path: str, *, is_well: bool) -> str:
        """Ask about its health until the answer is as expected; return what it says."""
        [served] = await self.says("health is served")
        port, answer = int(str(served["port"])), Health(is_well=not is_well, text="")

        def is_as_expected() -> bool:
            nonlocal answer
            answer = ask("127.0.0.1", port, path, 5.0)
            return answer.is_well is is_well

        await until(is_as_expected, f"{path}: {is_well}")
        return answer.text

    def end(self) -> None:
        if self.process.poll() is None:
            self.workers()
        super().end()
        for pid in self._known:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def obey_signals() -> None:
    """Obey what whoever runs the tests may ignore, as `nohup` and a shell's background jobs do."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


class Plant(Shop):
    """A store, an application on it, and supervisors."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        super().__init__(folder)
        if url is not None:
            self.url = url
            self.q = Qcore(url)
        self._supervisors: list[SupervisorProcess] = []

    def supervise(
        self,
        *options: str,
        app: str = APPLICATION,
        before: tuple[str, ...] = (),
        cwd: Path = ROOT,
        **environment: str,
    ) -> SupervisorProcess:
        """Start a supervisor."""
        log = self.folder / f"supervisor-{len(self._supervisors)}.log"
        environment["QCORE_URL"] = self.url
        made = SupervisorProcess(log, *options, app=app, before=before, cwd=cwd, **environment)
        self._supervisors.append(made)
        return made

    def end(self) -> None:
        for each in self._supervisors:
            each.end()
        super().end()


@contextmanager
def planted(folder: Path, url: str | None = None) -> Iterator[Plant]:
    """Open a plant, and leave no process behind."""
    plant = Plant(folder, url)
    try:
        yield plant
    finally:
        plant.end()
