"""Futexes, by system calls: wait for a word of shared memory to change, and wake who waits.

A futex in a file that several processes map is found by the file's inode and the offset, whatever
path, mount or container they reach it by (futex(2)). A waiter is registered in the kernel alone,
which forgets it when its process is killed.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

SYSTEM_CALLS: Final = {
    "x86_64": 202,
    "aarch64": 98,
    "loongarch64": 98,
    "riscv64": 98,
    "ppc64le": 221,
    "s390x": 238,
}
"""The number of the system call by machine: the C library has no function for it."""
POINTER_SIZE: Final = 8
WAKE, WAKE_OP, WAIT_BITSET, WAKE_BITSET = 1, 5, 9, 10
ADD_ONE: Final = 1 << 28 | 1 << 24 | 1 << 12 | 0xFFF
"""Of `WAKE_OP`: add 1 to the second word, and wake its waiters unless it was -1, which no waiter
notices in years: there is no "always"."""
ALL: Final = (1 << 31) - 1
VALUES: Final = 24
"""Bits of a waiter's mask of which one stands for the value that it waits for to change; the others
stand for processes."""
PROCESSES: Final = 8


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Futexes:
    """The system calls, about the word at an address. Raises `OSError` where there are none."""

    def __init__(self) -> None:
        number = SYSTEM_CALLS.get(platform.machine())
        if sys.platform != "linux" or number is None or struct.calcsize("P") != POINTER_SIZE:
            raise OSError(errno.ENOSYS, f"no futex is known on {sys.platform} {platform.machine()}")
        self._number = number
        # PyDLL keeps the GIL: to give it away for a microsecond may cost milliseconds
        self._waiting = _typed(ctypes.CDLL(None, use_errno=True))
        self._quick = _typed(ctypes.PyDLL(None, use_errno=True))
        self._untyped = ctypes.PyDLL(None).syscall
        self._untyped.restype = ctypes.c_long

    def adder(self, address: int, wakes: int, *, other: int) -> Callable[[], int]:
        """Return what adds 1 to a word, wakes up to `wakes` of its waiters and one of the `other`.

        It returns -1 where the file that is mapped there was truncated.
        """
        # of values converted once, and without errno: half the time of `_quick`
        arguments = (self._number, other, WAKE_OP, 1, wakes, address, ADD_ONE)
        return partial(self._untyped, *map(ctypes.c_long, arguments))

    def wake_one(self, address: int) -> None:
        """Wake one who waits for a word, the one that has waited longest."""
        _check(self._quick(self._number, address, WAKE, 1, 0, 0, 0))

    def wait(self, address: int, value: int, seconds: float) -> None:
        """Wait to be woken, for `seconds` at most; not at all if the word is not `value`."""
        ends = monotonic() + seconds
        limit = _Timespec(int(ends), int(ends % 1 * 1e9))
        until, bits = ctypes.addressof(limit), _value_bit(value) | _process_bit()
        answer = self._waiting(self._number, address, WAIT_BITSET, value, until, 0, bits)
        _check(answer, ignored=(errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR))

    def wake_behind(self, address: int, value: int) -> None:
        """Wake all who wait for another value than this one to change."""
        self._wake(address, ((1 << VALUES) - 1) & ~_value_bit(value))

    def wake_process(self, address: int) -> None:
        """Wake those of this process who wait; one in eight others is woken in vain."""
        self._wake(address, _process_bit())

    def _wake(self, address: int, bits: int) -> None:
        _check(self._quick(self._number, address, WAKE_BITSET, ALL, 0, 0, bits))


def _value_bit(value: int) -> int:
    return 1 << value % VALUES


def _process_bit() -> int:
    return 1 << VALUES + os.getpid() % PROCESSES


def _typed(library: ctypes.CDLL) -> Callable[..., int]:
    syscall = library.syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = (
        ctypes.c_long,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_uint32,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_uint32,
    )
    return syscall


def _check(answer: int, ignored: tuple[int, ...] = ()) -> None:
    if answer == -1 and (code := ctypes.get_errno()) not in ignored:
        raise OSError(code, os.strerror(code))
