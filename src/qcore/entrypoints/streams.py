"""Standard streams that are closed, or that cannot be written to any more."""

import os
import sys
from contextlib import suppress
from typing import Final, TextIO

STANDARD: Final = (0, 1, 2)


def open_closed_streams() -> None:
    """Open the standard streams that are closed, on nothing.

    Whatever is opened next would be given their numbers: a descriptor of an event loop would be
    taken for standard error, and libuv ends the process when it is to close one of the three.
    """
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            # the lowest number that is free: this one
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def give_up_stdout() -> None:
    """Write nothing to standard output any more, not even what it still holds at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def give_up_stderr() -> None:
    """Write nothing to standard error any more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def give_up_stderr_if_full() -> None:
    """Lose what standard error cannot write: else the interpreter exits with 120."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        give_up_stderr()


class LossyStream:
    """A stream for a log: what cannot be written is lost, as on a full disk or a closed terminal.

    Whoever logs, a handler too, goes on without it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError, ValueError):
            self._stream.flush()
