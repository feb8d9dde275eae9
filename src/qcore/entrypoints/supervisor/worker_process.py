"""A worker as its supervisor sees it: a process, and one end of a socket."""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

from qcore.entrypoints.supervisor.link import VARIABLE, Order, Word

WORDS: Final = {each.value: each for each in Word}
READ_SIZE: Final = 4_096
LONGEST_LINE: Final = 8_192
"""Bytes; of a longer one, which is no word of a worker's, the end is kept."""

Hear = Callable[[Word, str], None]


class WorkerProcess:
    """A worker that was started, until it has ended."""

    def __init__(self, process: Process, channel: socket.socket, hear: Hear) -> None:
        self._process = process
        self._channel = channel
        self._hear = hear
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, command: Sequence[str], hear: Hear) -> Self:
        """Start a command as a worker of this process; call `hear` with each word that it says.

        Raises `OSError` where the operating system has no room for it.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003  (it takes no keywords)
        try:
            with theirs:
                number = theirs.fileno()
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=DEVNULL,
                    env=os.environ | {VARIABLE: str(number)},
                    pass_fds=[number],
                )
        except BaseException:
            ours.close()
            raise
        return cls(process, ours, hear)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def send(self, order: Order) -> None:
        """Give an order. One for which there is no room is lost: the process does not read."""
        with suppress(OSError):
            self._channel.send(f"{order.value}\n".encode())

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait until the process has ended; return its exit status, negative for a signal."""
        status = await self._process.wait()
        # a process that it has forked may hold the socket open
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._channel.close()
        return status

    async def _read(self) -> None:
        loop, rest = asyncio.get_running_loop(), b""
        with suppress(OSError):
            while came := await loop.sock_recv(self._channel, READ_SIZE):
                *lines, rest = (rest[-LONGEST_LINE:] + came).split(b"\n")
                for line in lines:
                    self._take(line.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        word, _, reason = line.partition(" ")
        # others, of a worker that runs another version of qcore, are ignored
        if word in WORDS:
            self._hear(WORDS[word], reason)


def described_end(status: int) -> str:
    """Say how a process has ended."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
