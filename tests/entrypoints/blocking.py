"""The application for worker processes under test, with handlers that block their event loop."""

import ctypes
import time

from qcore import Context
from tests.system.application import GLANCE, KEPT, files, q, write

__all__ = ["block", "block_in_c", "grow", "q"]

SIZE_OF_A_MUTEX = 256
"""Bytes, at least."""


@q.task("block", retention=KEPT)
async def block(ctx: Context, folder: str) -> str:
    """Keep the loop from turning until there is a file "release"."""
    write(folder, ctx)
    while not files(folder, "release"):
        time.sleep(GLANCE)  # noqa: ASYNC251
    return "done"


@q.task("block in C", retention=KEPT)
async def block_in_c(ctx: Context, folder: str) -> str:
    """Never come back to the interpreter, unless there is a file "release"."""
    if not files(folder, "release"):
        library = ctypes.CDLL(None)
        mutex = ctypes.create_string_buffer(SIZE_OF_A_MUTEX)
        library.pthread_mutex_init(mutex, None)
        library.pthread_mutex_lock(mutex)
        write(folder, ctx)
        # signals do not interrupt it
        library.pthread_mutex_lock(mutex)
    return "done"


_grown: list[bytes] = []


@q.task("grow", retention=KEPT)
async def grow(ctx: Context, megabytes: int) -> None:
    """Use so much memory from now on."""
    _grown.append(b"x" * (megabytes << 20))
