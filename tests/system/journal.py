"""What workers did, written down so that not even SIGKILL takes it back."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from attrs import frozen

from qcore import Context
from qcore.domain.answers import LeaseLost
from qcore.domain.events import Event, TasksSettled
from qcore.domain.task import Lease

FOLDER: Final = "QCORE_JOURNAL"
"""The variable that names the folder of the journals, one of each process."""
BEGAN, LOST = "began", "lost"


@frozen
class Entry:
    """A run that began, or the answer to its verdict; in the machine's monotonic time."""

    pid: int
    what: str
    """`BEGAN`; or what the broker said to its verdict, `LOST` or the state that it led to."""
    at: float
    queue: str
    id: str
    token: int


class Scribe:
    """Writes the journal of this process, and is an instrument of its worker.

    What a process has handed to the system outlives it: no more is needed here.
    """

    wants = frozenset({TasksSettled})

    def __init__(self) -> None:
        self._file: int | None = None

    def began(self, ctx: Context) -> None:
        """Write down that a handler began."""
        self._write([_line(BEGAN, ctx.lease)])

    def __call__(self, event: Event) -> None:
        """Write down what became of verdicts."""
        assert isinstance(event, TasksSettled)
        pairs = zip(event.verdicts, event.answers, strict=True)
        self._write(
            _line(LOST if isinstance(answer, LeaseLost) else answer.state, verdict.lease)
            for verdict, answer in pairs
        )

    def _write(self, lines: Iterable[str]) -> None:
        if self._file is None:
            path = Path(os.environ[FOLDER], f"journal-{os.getpid()}")
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(self._file, "".join(lines).encode())


def _line(what: str, lease: Lease) -> str:
    return f"{what} {monotonic()} {lease.queue} {lease.id} {lease.token}\n"


class Journal:
    """All that the processes of a folder have written so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._entries: list[Entry] = []

    def entries(self) -> Sequence[Entry]:
        """Return everything, each process's in its order."""
        for path in self._folder.glob("journal-*"):
            pid = int(path.name.removeprefix("journal-"))
            self._entries += (_entry(pid, line) for line in self._new_lines(path))
        return self._entries

    def runs(self, *, since: float = 0.0) -> list[Entry]:
        """Return the runs that began, in the order of their tokens, after a moment."""
        began = [each for each in self.entries() if each.what == BEGAN and each.at > since]
        return sorted(began, key=lambda each: each.token)

    def runs_by_id(self) -> Mapping[str, Sequence[Entry]]:
        """Return the runs of each task."""
        return _by_id(self.runs())

    def settled_by_id(self) -> Mapping[str, Sequence[Entry]]:
        """Return the verdicts of each task of which a worker knows that they counted."""
        return _by_id(each for each in self.entries() if each.what not in {BEGAN, LOST})

    def _new_lines(self, path: Path) -> list[str]:
        begin = self._read.get(path, 0)
        with path.open("rb") as file:
            file.seek(begin)
            new = file.read()
        # the last line of a process that was killed may be torn
        end = new.rfind(b"\n") + 1
        self._read[path] = begin + end
        return new[:end].decode().splitlines()


def _entry(pid: int, line: str) -> Entry:
    what, at, queue, task, token = line.split()
    return Entry(pid, what, float(at), queue, task, int(token))


def _by_id(entries: Iterable[Entry]) -> Mapping[str, Sequence[Entry]]:
    found: dict[str, list[Entry]] = {}
    for each in entries:
        found.setdefault(each.id, []).append(each)
    return found
