"""What signals mean in forked children, set before one can reach them.

A child begins with the handlers and the wakeup descriptor of its parent. A signal that came before
both are replaced would be taken for one to the parent, and the child would go on. So the thread
that forks blocks the signals in question; the child unblocks them once it has restored what they
mean, and gets then what came meanwhile.
"""

import os
import signal
import threading
from collections.abc import Callable, Collection


def restore_in_forks(restore: Callable[[], None], signals: Callable[[], Collection[int]]) -> None:
    """Call `restore` in each process forked from this one before it gets any of `signals()`.

    Nothing is done on systems that do not fork.
    """
    if hasattr(os, "register_at_fork"):
        hooks = _Hooks(restore, signals)
        os.register_at_fork(
            before=hooks.block, after_in_parent=hooks.unblock, after_in_child=hooks.begin
        )


class _Hooks:
    """What is done around a fork; several threads may fork at once."""

    def __init__(self, restore: Callable[[], None], signals: Callable[[], Collection[int]]) -> None:
        self._restore = restore
        self._signals = signals
        self._thread = threading.local()

    def block(self) -> None:
        self._thread.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals())

    def unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._thread.blocked)

    def begin(self) -> None:
        self._restore()
        self.unblock()
