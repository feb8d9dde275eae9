"""A program in a terminal of its own: keys go in, and what is drawn comes out."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

COLUMNS: Final = 80
ROWS: Final = 24
DEADLINE: Final = 60.0
"""Seconds after which a terminal that has not shown something is given up."""


class Terminal:
    """The other end of a program's terminal."""

    def __init__(self, descriptor: int, pid: int) -> None:
        self._descriptor = descriptor
        self._pid = pid
        self.shown = ""
        """All that was drawn since the keys that were typed last."""

    def type(self, keys: str) -> None:
        """Press keys."""
        self.read(0.0)
        self.shown = ""
        os.write(self._descriptor, keys.encode())

    def read(self, seconds: float) -> bool:
        """Read what is drawn within a time; return whether there will be more."""
        while select.select([self._descriptor], [], [], seconds)[0]:
            try:
                drawn = os.read(self._descriptor, 65_536)
            except OSError:
                # of a terminal whose program has ended
                return False
            if not drawn:
                return False
            self.shown += drawn.decode(errors="replace")
            seconds = 0.0
        return True

    def wait_for(self, text: str, *, seconds: float = DEADLINE) -> bool:
        """Return whether a text is shown, once it is, or the time is over."""
        latest = time.monotonic() + seconds
        while text not in self.shown and time.monotonic() < latest and self.read(0.05):
            pass
        return text in self.shown

    def end(self) -> int:
        """Read on to the end of the program, and return its exit status."""
        latest = time.monotonic() + DEADLINE
        while time.monotonic() < latest and self.read(0.05):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@contextmanager
def terminal(
    *command: str, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run a program in a terminal of 80 columns and 24 rows; it is killed when the block ends."""
    pid, descriptor = pty.fork()
    if pid == 0:
        # whoever runs the tests may ignore them, as `nohup` and a shell's background jobs do
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(folder)
        changed = {**os.environ, "TERM": "xterm", **(environment or {})}
        os.execvpe(command[0], command, changed)  # noqa: S606  (the caller names it)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    try:
        yield Terminal(descriptor, pid)
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(descriptor)


def command_in(folder: Path) -> Path:
    """Write `qcore`, of this very interpreter, into a folder for programs, and return that."""
    folder.mkdir()
    program = folder / "qcore"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qcore "$@"\n')
    program.chmod(0o755)
    return folder
