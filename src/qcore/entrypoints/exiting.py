"""Leave though something still runs that nobody can stop: a thread, a coroutine that will not end.

asyncio joins the threads of `asyncio.to_thread` when a loop is closed, and the interpreter does so
once more at its end, both without a limit of time. A worker has given its tasks back by then.
"""

import atexit
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread, Timer
from typing import Final

INTERPRETER_EXIT_TIMEOUT: Final = 2.0
"""Seconds for what still runs."""
LOCKED: Final = 0.5
"""Seconds after which what has not been written cannot be: a stuck thread is in its way."""


@contextmanager
def no_longer(code: int = 0) -> Generator[None, None, None]:
    """Exit the process with `code` where the block takes too long."""
    timer = _timer(INTERPRETER_EXIT_TIMEOUT, code)
    try:
        yield
    finally:
        timer.cancel()


def leave_within(seconds: float, code: int) -> None:
    """Exit the process with `code` where it does not come to its end in time."""
    _timer(seconds, code)


def leave_soon(code: int) -> None:
    """Exit the process with `code` where the interpreter is too slow to come to its exit hooks."""
    # hooks run once the threads are joined, the last registered first; they may take their time
    atexit.register(_timer(INTERPRETER_EXIT_TIMEOUT, code).cancel)


def leave_now(code: int, warning: str) -> None:
    """Exit the process with `code`, whatever its main thread is doing, and say so in the log."""
    # whoever is stuck may hold the log, or standard error itself
    warning_thread = Thread(target=_warn, args=(warning,), daemon=True)
    warning_thread.start()
    warning_thread.join(LOCKED)
    _exit(code)


def _warn(text: str) -> None:
    # late, as a process that has yet to handle signals imports this module
    from qcore.log.logger import get_logger

    get_logger().warning(text)


def _timer(seconds: float, code: int) -> Timer:
    timer = Timer(seconds, _exit, (code,))
    timer.daemon = True
    timer.start()
    return timer


def _exit(code: int) -> None:
    flushing = Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(LOCKED)
    os._exit(code)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
