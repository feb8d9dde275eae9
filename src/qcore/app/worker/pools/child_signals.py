"""Signals in a child process: those for its worker do not end a handler, but what it has started.

A signal that is *ignored* stays so across `exec`, in all programs that a handler starts: they could
not be terminated. One with a handler of its own is back at its default there. A process that is
forked keeps both, so that the defaults are restored in it, before it can get a signal.
"""

import signal
from types import FrameType
from typing import Final

from qcore.app.worker.pools.fork_hooks import restore_in_forks

SIGNALS_CHILDREN_IGNORE: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP, signal.SIGUSR1)
"""What a supervisor or a terminal may send to all of a service's processes."""


class ChildSignals:
    """The signals that a child process takes no notice of."""

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNALS_CHILDREN_IGNORE}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._blocked = blocked.difference(SIGNALS_CHILDREN_IGNORE)

    def ignore(self) -> None:
        """Take no notice of them, whatever a handler has set or blocked, nor of its alarm.

        To be called in the main thread.
        """
        signal.alarm(0)
        for number in SIGNALS_CHILDREN_IGNORE:
            signal.signal(number, _do_nothing)
            # code in C need not know that there was one
            signal.siginterrupt(number, False)  # noqa: FBT003  (it takes no keywords)
        # after that, as one that was blocked may be waiting
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def restore_in_forks(self) -> None:
        """Let them mean in every process forked from this one what they meant before."""
        restore_in_forks(self._restore, lambda: SIGNALS_CHILDREN_IGNORE)

    def _restore(self) -> None:
        for number, before in self._before.items():
            # not what the handler has set itself
            if signal.getsignal(number) is _do_nothing:
                signal.signal(number, before)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
