"""A child process as its worker sees it: start it, give it jobs, kill it."""

import atexit
import multiprocessing
import os
import pickle
import signal
import threading
from multiprocessing.connection import wait
from typing import Final
from weakref import WeakSet

from qcore.app.tasks.context import Context
from qcore.app.tasks.process_function import ProcessFunction
from qcore.app.worker.pools.child_ipc import (
    ChildRequest,
    Job,
    Outcome,
    Raised,
    Returned,
)
from qcore.app.worker.pools.child_main import serve
from qcore.app.worker.pools.child_setup import preparations
from qcore.app.worker.pools.error_record import recorded
from qcore.app.worker.pools.process_end import ProcessEnd
from qcore.app.worker.pools.results import name_of
from qcore.domain.errors import ProcessDied

# a forked child would inherit the worker's threads, locks and connections in mid-flight
_spawning = multiprocessing.get_context("spawn")

CHILD_EXIT_TIMEOUT: Final = 10.0
"""Seconds to wait for a process that was killed, or whose pipe has closed, to be gone."""

START_TIMEOUT: Final = 120.0
"""Seconds for a process to start and to import the module of a handler."""

_children: Final[WeakSet["ChildProcess"]] = WeakSet()
_exiting: Final = threading.Event()


@atexit.register
def _kill_children() -> None:
    """Kill what is left at exit, as of a worker in a thread that just ends with its program.

    `multiprocessing`, whose own exit hook comes after this one, would wait for them: it sends them
    SIGTERM, of which they take no notice.
    """
    _exiting.set()
    for child in list(_children):
        child.kill()


class ChildProcess:
    """A process that does one job after the other."""

    def __init__(self) -> None:
        if _exiting.is_set():
            raise ProcessDied("the worker's own process is about to exit")
        self._pipe, childs_end = _spawning.Pipe()
        self._process = _spawning.Process(
            target=serve, args=(childs_end, *preparations), daemon=True
        )
        self._process.start()
        childs_end.close()
        self._end = ProcessEnd(self._process.pid or 0, self._process.sentinel)
        self._prepared: set[ProcessFunction] = set()
        _children.add(self)

    def is_prepared(self, function: ProcessFunction) -> bool:
        """Return whether the process has prepared itself to call a function."""
        return function in self._prepared

    def prepare(self, function: ProcessFunction) -> None:
        """Have the process import what it needs to call a function, and wait until it has.

        Raises `ProcessDied` if it ends before that, or is not ready in time.
        """
        try:
            self._pipe.send(function)
            self._receive(START_TIMEOUT)
        except (EOFError, OSError):
            raise ProcessDied(self._how_it_ended()) from None
        self._prepared.add(function)

    def do(self, job: Job, ctx: Context) -> Outcome:
        """Send a job and wait for its outcome; meanwhile call on `ctx` what the child requests.

        Raises `ProcessDied` if the process ends before it sends one.
        """
        try:
            self._pipe.send(job)
            while isinstance(message := self._receive(), ChildRequest):
                answer = _answer(message, ctx)
                if message.is_answered:
                    self._pipe.send(answer)
        except (EOFError, OSError):
            raise ProcessDied(self._how_it_ended()) from None
        outcome: Outcome = message
        return outcome

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended: one that is idle may be killed as well."""
        return not self._end.wait(0)

    def kill(self) -> None:
        """End the process at once, with whatever it has started itself."""
        pid = self._process.pid
        if pid is None:
            return  # it never began; and group 0 would be our own
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            # it has no group of its own yet, or is gone
            self._process.kill()

    def close(self) -> None:
        """Kill the process, and wait until it is gone."""
        self.kill()
        _children.discard(self)
        self._end.wait(CHILD_EXIT_TIMEOUT)
        self._end.close()
        self._process.join(0)
        self._pipe.close()

    def _receive(self, timeout: float | None = None) -> ChildRequest | Outcome:
        # not until the pipe closes: something that the process has started may hold it open
        ready = wait([self._pipe, self._end.fileno()], timeout)
        if not ready:
            raise ProcessDied(f"its process was not ready within {timeout} seconds")
        if self._pipe not in ready:
            raise EOFError
        message: ChildRequest | Outcome = self._pipe.recv()
        return message

    def _how_it_ended(self) -> str:
        if not self._end.wait(CHILD_EXIT_TIMEOUT):
            return "its process closed the pipe to its worker"
        # of its group too, before the number of the process may be given to another one
        self.kill()
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"its process ended with exit code {code}"
        return f"its process was ended by {_signal_name(-code)}"


def _answer(request: ChildRequest, ctx: Context) -> Outcome:
    try:
        value = getattr(ctx, request.method)(*request.args)
        return Returned(pickle.dumps(value), name_of(value))
    except BaseException as error:  # noqa: BLE001  (the child's caller gets it)
        return Raised(recorded(error))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # most of the real-time signals have none
        return f"signal {number}"
