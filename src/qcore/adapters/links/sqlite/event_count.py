"""`EventCount`: a counter in a file, which processes map to wait until it is advanced.

An eventcount (Reed and Kanodia, 1979), by a futex. Who waits for something reads the number, looks,
and then waits for the number to change: if it is advanced after the look, that wait ends. Beside it
are a second number, which is only read, a place to wait in line, and a moment that all may store.
"""

import ctypes
import fcntl
import mmap
import os
import struct
from contextlib import suppress
from stat import S_IMODE
from time import sleep
from typing import Any, Final, Self

from qcore.adapters.links.sqlite.file_identity import Inode, inode_of
from qcore.adapters.links.sqlite.futex import Futexes

WAKES: Final = 2
"""Waiters that `advance` wakes by itself: not one, as that may be stopped, or wait for its GIL."""
WORDS: Final = struct.Struct("=IIIId")
"""The number that is waited for, one that is only read, 0, at which to wait in line, 1 once the
file was removed, and a moment."""
SECOND, LINE, REMOVED, MOMENT = 4, 8, 12, 16
NOT_REMOVED, IS_REMOVED = bytes(4), struct.pack("=I", 1)
LEAVE_TIMEOUT: Final = 0.05
LEAVE_POLL: Final = 0.001
"""Seconds between two tries to lock a file that somebody is about to remove."""


class EventCount:
    """An open counter. Raises `OSError` where the file cannot be opened, mapped or locked."""

    def __init__(self, path: str, *, beside: str | None = None) -> None:
        """Open a counter that is there; make it `beside` a database, as accessible as that."""
        self._path = path
        self._futexes = Futexes()
        self._descriptor = _opened(path, beside)
        try:
            found = os.fstat(self._descriptor)
            self.inode: Inode = (found.st_dev, found.st_ino)
            if beside is not None and found.st_size < WORDS.size:
                os.ftruncate(self._descriptor, WORDS.size)
            self._word = ctypes.c_uint32.from_buffer(_mapped(self._descriptor))
        except BaseException:
            os.close(self._descriptor)
            raise
        self._address = ctypes.addressof(self._word)
        line = self._address + LINE
        self._add_one = self._futexes.adder(self._address, WAKES, other=line)
        self._add_one_to_second = self._futexes.adder(self._address + SECOND, 0, other=line)

    @classmethod
    def listening(cls, path: str, beside: str) -> Self:
        """Return a counter that is there until `leave` at least; make it if there is none."""
        for _ in range(int(LEAVE_TIMEOUT / LEAVE_POLL)):
            count = cls(path, beside=beside)
            try:
                fcntl.flock(count._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if inode_of(path) == count.inode:
                    count._write(REMOVED, NOT_REMOVED)
                    return count
            except BlockingIOError:
                sleep(LEAVE_POLL)
            except BaseException:
                count.close()
                raise
            count.close()
        raise BlockingIOError(f"{path}: somebody keeps an exclusive lock on it")

    def advance(self) -> None:
        """Add 1 to the number; wake `WAKES` who wait for it, and the first in line.

        Each of those who wait for the number is to wake the others.
        """
        self._check(self._add_one())

    def advance_second(self) -> None:
        """Add 1 to the second number; wake the first in line."""
        self._check(self._add_one_to_second())

    def _check(self, answer: int) -> None:
        if answer == -1:
            raise OSError(f"{self._path} was truncated")

    def wake_first(self) -> None:
        """Wake the first in line."""
        self._futexes.wake_one(self._address + LINE)

    def wait_in_line(self, seconds: float) -> None:
        """Wait to be woken as the first in line, and for so long at most."""
        self._futexes.wait(self._address + LINE, 0, seconds)

    def read(self) -> tuple[int, int]:
        """Return both numbers."""
        first, second, _, _, _ = self._read()
        return first, second

    @property
    def is_removed(self) -> bool:
        """Whether the last who listened has removed the file."""
        return bool(self._read()[3])

    @property
    def moment(self) -> float:
        """Return the moment that was stored last, which may be any number."""
        stored: float = self._read()[4]
        return stored

    @moment.setter
    def moment(self, moment: float) -> None:
        self._write(MOMENT, struct.pack("=d", moment))

    def _read(self) -> tuple[Any, ...]:
        # not from the mapping: who reads that of a file which was truncated is killed (SIGBUS)
        stored = os.pread(self._descriptor, WORDS.size, 0)
        if len(stored) < WORDS.size:
            raise OSError(f"{self._path} was truncated")
        return WORDS.unpack(stored)

    def _write(self, position: int, value: bytes) -> None:
        os.pwrite(self._descriptor, value, position)

    def wait(self, number: int, seconds: float) -> None:
        """Wait while the number is this one, and for so long at most; may return early."""
        self._futexes.wait(self._address, number, seconds)

    def wake_behind(self, number: int) -> None:
        """Wake all who wait for the number to change from another one than this."""
        self._futexes.wake_behind(self._address, number)

    def interrupt(self) -> None:
        """Wake those of this process who wait."""
        self._futexes.wake_process(self._address)

    def leave(self) -> None:
        """Remove the file if nobody else listens."""
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if inode_of(self._path) == self.inode:
                self._write(REMOVED, IS_REMOVED)
                os.unlink(self._path)  # noqa: PTH108  (a path of bytes or str, as given)

    def close(self) -> None:
        """Close the file, which releases the lock, unless a fork has copied the descriptor."""
        os.close(self._descriptor)
        # with the last reference the mapping goes, and its own copy of the descriptor
        del self._word


def _opened(path: str, beside: str | None) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    if beside is None:
        return os.open(path, flags)
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    # as SQLite does with log and index: whoever may write to the database may write there
    with suppress(OSError):
        like = os.stat(beside)  # noqa: PTH116
        os.fchmod(descriptor, S_IMODE(like.st_mode))
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)
    return descriptor


def _mapped(descriptor: int) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, WORDS.size)
    except ValueError as error:
        # of a file that is shorter
        raise OSError(str(error)) from error
