"""The side that works: a process which answers the driver's questions over its standard streams."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TextIO

from bench.peers.systems import ledger
from bench.peers.systems.shapes import System


class Answerer:
    """Answers what the driver asks, from a thread of its own; ends the process when it is gone."""

    def __init__(self, tasks: int, probes: int) -> None:
        self._tasks, self._probes = tasks, probes
        marks = ledger.prepare(tasks + probes, tasks, tasks + probes)
        self._drained, self._probed = marks
        self._questions, self._answers = _streams()

    def listen(self) -> None:
        for question in self._questions:
            word, seconds = question.split()
            answer = {"drained": self._after_drain, "probed": self._after_probes}[word]
            print(json.dumps(answer(float(seconds))), file=self._answers, flush=True)
        # the systems have various notions of leaving; there is nothing left to save
        os._exit(0)

    def _after_drain(self, seconds: float) -> dict[str, float]:
        self._drained.wait(seconds)
        return {
            "ran": sum(map(bool, ledger.runs[: self._tasks])),
            "rate": ledger.rate(self._tasks),
            "rss_mb": peak_mb(),
        }

    def _after_probes(self, seconds: float) -> dict[str, object]:
        self._probed.wait(seconds)
        return {
            "starts": list(ledger.starts[self._tasks :]),
            "lost": ledger.runs.count(0),
            "duplicated": sum(ledger.runs) - sum(map(bool, ledger.runs)),
        }


def work(system: Callable[[], System], tasks: int, probes: int) -> None:
    """Be a worker, and answer questions about it."""
    Thread(target=Answerer(tasks, probes).listen, daemon=True).start()
    system().work()


def peak_mb() -> float:
    """Return the most memory that this process has had, in units of 2²⁰ bytes."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("VmHWM")).split()[1]) / 1024


def _streams() -> tuple[TextIO, TextIO]:
    """Take the standard streams, so that nothing that a system prints gets among the answers."""
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return questions, answers
