"""How much memory this process uses."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1_048_576
STATM: Final = Path("/proc/self/statm")
RESIDENT: Final = 1
"""The place of the resident pages in it (proc_pid_statm(5))."""


def memory_in_mb() -> float:
    """Return the memory of this process that is resident, in MiB.

    Where there is no /proc it is the most that it has ever been (getrusage(2)), as a process that
    has grown over a limit is to be replaced all the same.
    """
    with suppress(OSError):
        pages = int(STATM.read_text().split()[RESIDENT])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    # not everywhere, as on Windows
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # in bytes on macOS, in KiB elsewhere
    return peak / MEGABYTE if sys.platform == "darwin" else peak / 1_024
