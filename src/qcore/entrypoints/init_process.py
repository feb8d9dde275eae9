"""The init process of a container: reap orphans, and pass signals on.

The kernel gives orphans to process 1, which has to wait for each of them, or it stays a zombie. A
worker that is process 1 itself cannot: it does not know an orphan from a child that a handler has
started and will ask for its exit status. So process 1 forks before anything is imported: the child
becomes the worker, and the parent is what `docker run --init` would have put there.
"""

import os
import signal
from contextlib import suppress
from typing import Final

INIT_PID: Final = 1
PASSED_ON: Final = tuple(
    getattr(signal, name)
    for name in (
        "SIGTERM",
        "SIGINT",
        "SIGHUP",
        "SIGQUIT",
        "SIGUSR1",
        "SIGUSR2",
        "SIGTSTP",
        "SIGCONT",
        "SIGWINCH",
    )
    if hasattr(signal, name)
)
SENT_BY_KERNEL: Final = 0x80
"""SI_KERNEL: a terminal has sent the signal to the whole process group, the child included."""
SIGNALLED: Final = 128
"""Added to the number of the signal that ended a process, as shells do for an exit status."""


def fork_if_init() -> None:
    """As process 1, fork: the child returns, and the parent serves it and ends with its status.

    To be called before a thread is started. Other processes just return.
    """
    if os.getpid() != INIT_PID or not hasattr(signal, "sigwaitinfo"):
        return
    # a signal that process 1 has no handler for is dropped, unless it is blocked: then it waits
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(serve(child))


def serve(child: int) -> int:
    """Pass signals on to a child and reap orphans until the child ends; return its exit status.

    The signals that it passes on, and SIGCHLD, must be blocked.
    """
    while True:
        came = signal.sigwaitinfo({*PASSED_ON, signal.SIGCHLD})
        if came.si_signo == signal.SIGCHLD:
            status = _reap(child)
            if status is not None:
                return status
        elif came.si_code != SENT_BY_KERNEL:
            with suppress(ProcessLookupError):
                os.kill(child, came.si_signo)


def _reap(child: int) -> int | None:
    """Wait for all that have ended; return the exit status of `child` if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code
        if pid == 0:
            return None
