"""A child process as its worker sees it: start it, give it jobs, kill it."""

import multiprocessing
import os
import signal
from typing import Final

from qcore.app.tasks.context import Context
from qcore.app.worker.pools.child_ipc import (
    ChildRequest,
    Job,
    Outcome,
    ProcessDied,
    Raised,
    Returned,
    picklable,
)
from qcore.app.worker.pools.child_main import serve

# a forked child would inherit the worker's threads, locks and connections in mid-flight
_spawning = multiprocessing.get_context("spawn")

CHILD_EXIT_TIMEOUT: Final = 10.0
"""Seconds to wait for a process that was killed, or whose pipe has closed, to be gone."""


class ChildProcess:
    """A process that does one job after the other."""

    def __init__(self) -> None:
        self._pipe, childs_end = _spawning.Pipe()
        self._process = _spawning.Process(target=serve, args=(childs_end,), daemon=True)
        self._process.start()
        childs_end.close()

    def do(self, job: Job, ctx: Context) -> Outcome:
        """Send a job and wait for its outcome; meanwhile call on `ctx` what the child requests.

        Raises `ProcessDied` if the process ends before it sends one.
        """
        try:
            self._pipe.send(job)
            while isinstance(message := self._pipe.recv(), ChildRequest):
                answer = _answer(message, ctx)
                if message.is_answered:
                    self._pipe.send(answer)
        except (EOFError, OSError):
            self._process.join(CHILD_EXIT_TIMEOUT)
            raise ProcessDied(_how_it_ended(self._process.exitcode)) from None
        outcome: Outcome = message
        return outcome

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
        self._process.join(CHILD_EXIT_TIMEOUT)
        self._pipe.close()


def _answer(request: ChildRequest, ctx: Context) -> Outcome:
    try:
        return Returned(getattr(ctx, request.method)(*request.args))
    except BaseException as error:  # noqa: BLE001  (the child's caller gets it)
        return Raised(picklable(error))


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"its process was ended by {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code}"
