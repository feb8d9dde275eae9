"""A real terminal without a window: a command in a pty, its keys, and the screen that it draws."""

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

PATIENCE = 60.0
"""Seconds to wait for what is to be seen, on a machine that is busy."""


class Terminal:
    """A command in a terminal of a size."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, width: int, height: int, **more: str
    ) -> None:
        self.screen = pyte.Screen(width, height)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qcore", *arguments],
            cwd=folder,
            env=_environment(more),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the command."""
        self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    @property
    def lines(self) -> list[str]:
        """Return the lines that are seen."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """Return all that is seen."""
        return "\n".join(self.lines)

    @property
    def settings(self) -> object:
        """Return how the terminal is set, such as whether it shows what is typed."""
        return termios.tcgetattr(self._slave)

    def type(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until a text is seen."""
        self.wait_until(lambda: text in self.text, text)

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"{what} is not seen:\n{self.text}"
            self._read(0.2)

    def wait_for_end(self) -> int:
        """Read until the command has ended; return its status."""
        self.wait_until(lambda: self.process.poll() is not None, "the end")
        self._read(0.1)
        return self.process.returncode

    def _read(self, seconds: float) -> None:
        if not select.select([self._master], [], [], seconds)[0]:
            return
        try:
            data = os.read(self._master, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return
        self.raw += data
        self._stream.feed(data)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("QCORE_", "NO_COLOR"))}
    return kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | more
