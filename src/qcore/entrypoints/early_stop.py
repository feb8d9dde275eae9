"""Leave on a stop signal while there is no worker yet: qcore, or the application, is imported.

Theory of operation. The handler raises `StoppedEarly`, an exit with status 0, wherever the main
thread is. That alone is not enough: code that is imported may catch it, may have put a handler of
its own in place, or may be in C and never come back to the interpreter. So a thread reads the
wakeup descriptor, to which the number of a signal is written the moment it comes, and ends the
process when the main thread has not done so soon after. Process 1 needs this more than others: a
signal for which it has no handler is dropped.

`obey_signals` takes over once there is a worker to be stopped. Nothing heavy is imported here: this
is to be ready before anything else.
"""

import os
import signal
import threading
from types import FrameType
from typing import Final, NoReturn

from qcore.entrypoints.exiting import leave_within
from qcore.entrypoints.fork_signals import remember_handler

TIME_TO_LEAVE: Final = 0.5
"""Seconds for the main thread to leave by itself, running exit hooks on its way."""
STOPPING: Final = ("SIGTERM", "SIGINT", "SIGHUP")
"""By name, as not every system has them."""
AT_ONCE: Final = 64


class StoppedEarly(SystemExit):
    """Leave with status 0: the process was asked to stop before it had a worker."""


_asked = threading.Event()


def leave_on_stop() -> None:
    """Leave on SIGTERM, SIGINT or SIGHUP from now on. To be called in the main thread."""
    numbers = stop_signals()
    for number in numbers:
        remember_handler(number)
        signal.signal(number, _leave)
    if os.name != "nt":
        _watch(numbers)


def stop_signals() -> list[int]:
    """Return the signals that stop a worker: SIGTERM, SIGINT, and SIGHUP unless it is ignored."""
    numbers: list[int] = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    hangup = getattr(signal, "SIGHUP", None)
    # as under nohup, which means that the process is to outlive its terminal
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN:
        numbers.remove(hangup)
    return numbers


def leave_if_asked() -> None:
    """Leave if a stop signal has come, though the exception that it raised was caught."""
    if _asked.is_set():
        raise StoppedEarly(0)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    ask_to_leave()
    raise StoppedEarly(0)


def ask_to_leave() -> None:
    """Note that the process is to leave, and see to it that it does."""
    if not _asked.is_set():
        _asked.set()
        leave_within(TIME_TO_LEAVE, 0)


def _watch(numbers: list[int]) -> None:
    """Hear of signals in a thread, whatever the main thread is doing."""
    ours, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(ours, numbers), name="qcore-early", daemon=True).start()


def _listen(ours: int, numbers: list[int]) -> None:
    while came := os.read(ours, AT_ONCE):
        if any(number in numbers for number in came):
            ask_to_leave()
