"""Signals of the operating system, and what a worker does on each."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread, Timer
from types import FrameType
from typing import Final, Protocol

from qcore.entrypoints.early_stop import stop_signals
from qcore.entrypoints.fork_signals import remember_handler

PAUSING: Final = ("SIGTSTP", "SIGUSR1")
RESUMING: Final = "SIGCONT"
"""By name, as not every system has them."""

PATIENCE: Final = 2.0
"""Seconds in which the loop should hear of a second stop."""
AT_ONCE: Final = 64


class Stoppable(Protocol):
    """What signals stop and pause: a worker, or who looks after several."""

    def stop(self, *, at_once: bool = False) -> None:
        """Stop within the grace, or at once."""
        ...

    def pause(self) -> None:
        """Claim no more until `resume`."""
        ...

    def resume(self) -> None:
        """Claim again."""
        ...


@contextmanager
def obey_signals(
    worker: Stoppable,
    *,
    unheard: Callable[[], None] | None = None,
    at_once: Callable[[], None] | None = None,
) -> Generator[None, None, None]:
    """Stop or pause a worker as signals ask for, while the block lasts.

    SIGTERM, SIGINT and SIGHUP (unless that is ignored, as under nohup) stop it within its grace, a
    second one of any of them at once; SIGTSTP and SIGUSR1 let it claim no more, SIGCONT lets it
    claim again, as after a shell's `fg`. To be entered on the worker's loop, in the main thread.
    Afterwards every signal means what it meant before, and so it does in forked children.

    `at_once` is called, on the loop, when it has heard of a second stop. A loop that a handler
    blocks hears of no signal: `unheard` is called, in a thread of its own, when it has not heard of
    a second stop within 2 seconds. Either may see to it that the process ends. (On Windows
    `unheard` is never called.)
    """
    numbers = stop_signals()
    stop = _Stop(worker, numbers, unheard, at_once)
    with ExitStack() as stack:
        for number in numbers:
            _handle(number, stop, stack)
        for name in PAUSING:
            _handle_named(name, worker.pause, stack)
        _handle_named(RESUMING, worker.resume, stack)
        if unheard is not None and os.name != "nt":
            stack.callback(stop.heard)
            stack.enter_context(_overheard(stop.came))
        yield


class _Stop:
    """Stop a worker, less patiently when asked again."""

    def __init__(
        self,
        worker: Stoppable,
        numbers: Collection[int],
        unheard: Callable[[], None] | None,
        at_once: Callable[[], None] | None,
    ) -> None:
        self._worker = worker
        self._numbers = numbers
        self._unheard = unheard
        self._at_once = at_once
        self._asked = False
        self._came = 0
        self._timer: Timer | None = None

    def came(self, number: int) -> None:
        """Note that there is a signal of which the loop will hear. Called from a thread."""
        if number not in self._numbers:
            return
        self._came += 1
        if self._came > 1 and self._timer is None and self._unheard is not None:
            timer = Timer(PATIENCE, self._unheard)
            timer.daemon = True
            self._timer = timer
            timer.start()

    def __call__(self) -> None:
        """Stop."""
        self._worker.stop(at_once=self._asked)
        if self._asked:
            self.heard()
            if self._at_once is not None:
                self._at_once()
        self._asked = True

    def heard(self) -> None:
        """Wait for the loop no longer: it turns."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


@contextmanager
def _overheard(heed: Callable[[int], None]) -> Generator[None, None, None]:
    """Call `heed`, in a thread, with the number of each signal before the loop may have it.

    Python calls a signal's handler when the main thread comes back to the interpreter, which code
    in C need not do; but it writes the number to the wakeup descriptor when the signal comes.
    """
    ours, wakeup = socket.socketpair()
    with ours, wakeup:
        wakeup.settimeout(0)
        loops = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        thread = Thread(
            target=_pass_on, args=(ours, loops, heed), name="qcore-signals", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(loops)
            # closing would not do: a process that was forked has it open, too
            wakeup.shutdown(socket.SHUT_WR)
            thread.join()


def _pass_on(ours: socket.socket, loops: int, heed: Callable[[int], None]) -> None:
    """Read what comes, and write it to the descriptor of the loop, if it has one."""
    while numbers := ours.recv(AT_ONCE):
        for number in numbers:
            heed(number)
        # full, it has more signals to hear of than it can count
        with suppress(OSError):
            os.write(loops, numbers)


def _handle_named(name: str, call: Callable[[], None], stack: ExitStack) -> None:
    """Do what `_handle` does for a signal that this system may not have."""
    number = getattr(signal, name, None)
    if number is not None:
        _handle(number, call, stack)


def _handle(number: int, call: Callable[[], None], stack: ExitStack) -> None:
    """Have the loop call `call` on a signal, until the stack is unwound."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    stack.callback(remember_handler(number))
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
