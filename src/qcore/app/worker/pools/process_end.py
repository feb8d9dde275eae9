"""Learn that another process has ended, by a descriptor that becomes readable."""

import os
from contextlib import suppress
from multiprocessing.connection import wait


class ProcessEnd:
    """The end of a process, to be waited for beside other descriptors.

    `sentinel` is that of `multiprocessing`: the end of a pipe, which stays open as long as any fork
    of the process holds the other end. So on Linux the kernel is asked, by a pidfd.
    """

    def __init__(self, pid: int, sentinel: int) -> None:
        self._fd = sentinel
        self._is_own = False
        with suppress(AttributeError, OSError):
            self._fd = os.pidfd_open(pid)
            self._is_own = True

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._fd

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, for so many seconds; return whether it has come."""
        return bool(wait([self._fd], timeout))

    def close(self) -> None:
        """Close the descriptor, if it is not the sentinel."""
        if self._is_own:
            os.close(self._fd)
            self._is_own = False
