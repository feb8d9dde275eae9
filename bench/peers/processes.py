"""The processes of one system: those that ask for tasks, and the worker."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import PIPE, Popen
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any

from bench.peers.environments import ROOT
from bench.peers.failures import Failure
from qcore.domain.record import record

GRACE = 20.0
"""Seconds that a worker may take longer to answer than it was told to wait."""
LAST_WORDS = 1_500


@record
class Side:
    """How the processes of a system are started."""

    title: str
    interpreter: str
    module: str
    url: str

    def prepare(self, limit: float) -> None:
        """Make what a system needs in an empty store."""
        self._answer(limit, "prepare")

    def ask(self, way: str, count: int, how: str, limit: float) -> float:
        """Ask for tasks; return the seconds that it took."""
        return float(self._answer(limit, "ask", way, str(count), how))

    def probe(self, first: int, count: int, limit: float) -> list[float]:
        """Ask for a task now and then; return when."""
        asked: list[float] = self._answer(limit, "probe", str(first), str(count))
        return asked

    @contextmanager
    def worker(self, tasks: int, probes: int) -> Iterator["Worker"]:
        """Run a worker while the block lasts."""
        with (
            TemporaryFile("w+") as errors,
            Popen(
                self.command("work", str(tasks), str(probes)),
                cwd=ROOT,
                env=self.environment(),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                yield Worker(self.title, process, errors)
            finally:
                process.kill()
                assert process.stdin is not None
                with suppress(BrokenPipeError):
                    process.stdin.close()

    def _answer(self, limit: float, *words: str) -> Any:
        try:
            done = subprocess.run(
                self.command(*words),
                cwd=ROOT,
                env=self.environment(),
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.title}: {words} took more than {limit:.0f} s") from None
        if done.returncode or not done.stdout:
            raise Failure(f"{self.title}: {words} failed: {done.stderr[-LAST_WORDS:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def command(self, *words: str) -> tuple[str, ...]:
        """Return what starts a process of this side."""
        return (self.interpreter, "-m", "bench.peers.systems", self.module, *words)

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes, which says where the server is."""
        return os.environ | {"BENCH_URL": self.url}


class Worker:
    """A worker process, which answers questions."""

    def __init__(self, title: str, process: Popen[str], errors: IO[str]) -> None:
        self._title, self._process, self._errors = title, process, errors

    def drained(self, seconds: float) -> dict[str, Any]:
        """Return what it has to say when it has run its tasks, or after so many seconds."""
        return self._answer("drained", seconds)

    def probed(self, seconds: float) -> dict[str, Any]:
        """Return what it has to say when it has run the probes too, or after so many seconds."""
        return self._answer("probed", seconds)

    def _answer(self, word: str, seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # one that no longer answers is worth no more than one that has ended
        guard = Timer(seconds + GRACE, self._process.kill)
        guard.start()
        try:
            print(word, seconds, file=self._process.stdin, flush=True)
            row = self._process.stdout.readline()
        except BrokenPipeError:
            row = ""
        finally:
            guard.cancel()
        if not row:
            raise Failure(f"{self._title}: its worker ended: {self._said()}")
        answer: dict[str, Any] = json.loads(row)
        return answer

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-LAST_WORDS:]
