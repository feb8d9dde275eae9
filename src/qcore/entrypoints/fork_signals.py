"""Signals in processes that are forked from this one: they mean what they meant before qcore.

A fork, as by `multiprocessing` with its method "fork", copies handlers and the wakeup descriptor. A
child that was sent SIGTERM would not end: it would write to the descriptor, which it shares with
its parent, and so stop the worker.
"""

import signal
from collections.abc import Callable
from typing import Any, Final

from qcore.app.worker.pools.fork_hooks import restore_in_forks

_before: Final[dict[int, Any]] = {}
"""The handler of each signal before the first one of ours."""


def remember_handler(number: int) -> Callable[[], None]:
    """Keep the handler of a signal for forked children; return what forgets it.

    To be called before a handler of ours is set; what another such call keeps already stays.
    """
    if number in _before:
        return lambda: None
    handler = signal.getsignal(number)
    # a handler that was not set from Python is not known, and cannot be set again
    _before[number] = signal.SIG_DFL if handler is None else handler
    return lambda: _before.pop(number, None)


def _restore() -> None:
    if not _before:
        return
    signal.set_wakeup_fd(-1)
    for number, handler in _before.items():
        signal.signal(number, handler)
    _before.clear()


restore_in_forks(_restore, lambda: _before)
