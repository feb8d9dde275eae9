"""What signals of the operating system mean to a worker."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

from qcore.app.worker import Worker

STOPPING: Final = ("SIGTERM", "SIGINT")
PAUSING: Final = ("SIGTSTP", "SIGUSR1")
RESUMING: Final = "SIGCONT"
"""By name, as not every system has them."""


@contextmanager
def obey_signals(worker: Worker) -> Generator[None, None, None]:
    """Stop or pause a worker as signals ask for, while the block lasts.

    SIGTERM and SIGINT stop it within its grace, a second one of either at once; SIGTSTP and SIGUSR1
    let it claim no more, SIGCONT lets it claim again, as after a shell's `fg`. To be entered on the
    worker's loop, in the main thread. Afterwards every signal means what it meant before.
    """
    stop = _Stop(worker)
    with ExitStack() as stack:
        for name in STOPPING:
            _handle(name, stop, stack)
        for name in PAUSING:
            _handle(name, worker.pause, stack)
        _handle(RESUMING, worker.resume, stack)
        yield


class _Stop:
    """Stop a worker, less patiently when asked again."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._asked = False

    def __call__(self) -> None:
        """Stop."""
        self._worker.stop(at_once=self._asked)
        self._asked = True


def _handle(name: str, call: Callable[[], None], stack: ExitStack) -> None:
    """Have the loop call `call` on a signal, until the stack is unwound."""
    number = getattr(signal, name, None)
    if number is None:
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    # a handler that was not set from Python is not known, and cannot be set again
    stack.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
    try:
        loop.add_signal_handler(number, call)
    except NotImplementedError:
        # on Windows loops know no signals
        signal.signal(number, _caller(loop, call))
    else:
        stack.callback(loop.remove_signal_handler, number)


def _caller(
    loop: asyncio.AbstractEventLoop, call: Callable[[], None]
) -> Callable[[int, FrameType | None], None]:
    def handler(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)

    return handler
