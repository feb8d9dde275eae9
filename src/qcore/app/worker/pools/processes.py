"""A pool of processes for handlers that must be stoppable, or need a processor to themselves.

Not concurrent.futures: its processes cannot be killed one by one.
"""

import asyncio
import pickle
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from qcore.app.tasks.context import Context
from qcore.app.tasks.process_function import ProcessFunction
from qcore.app.worker.pools.child_ipc import Job, Outcome, ProcessDied, Raised
from qcore.app.worker.pools.child_process import ChildProcess
from qcore.app.worker.pools.error_record import ErrorRecord, recorded
from qcore.app.worker.pools.error_stand_in import rebuilt
from qcore.app.worker.pools.results import unpacked
from qcore.app.worker.pools.threads import ThreadPool
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment


class ProcessPool:
    """A pool that grows to `size` child processes as they are needed."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise InvalidOption(f"process_pool is {size!r}: expected at least 1")
        self.size = size
        self._idle: list[ChildProcess] = []
        # a thread for each child talks to it, so that no pipe ever blocks the event loop
        self._threads = ThreadPool(size)

    def start(
        self,
        function: ProcessFunction,
        ctx: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        now: Moment = 0.0,
    ) -> "ProcessCall":
        """Call a function in a process; its progress and follow-ups become `ctx`'s."""
        # not the moment itself: a process that has yet to start reads it later
        runner = _JobRunner(self._idle, function, ctx, args, kwargs, clock_offset=now - monotonic())
        return ProcessCall(runner, self._threads)

    def close(self) -> None:
        """End all processes that are idle."""
        self._threads.close()
        while self._idle:
            self._idle.pop().close()


class ProcessCall:
    """A function that runs in a process, or is about to."""

    def __init__(self, runner: "_JobRunner", threads: ThreadPool) -> None:
        self._runner = runner
        self.reply = threads.submit(runner.run)
        """What the function returns or raises; `ProcessDied` if the process does not reply."""

    async def kill(self) -> None:
        """Kill the process, and wait until it is gone: its slot is not free before."""
        self._runner.kill()
        await asyncio.wait([self.reply])
        self.reply.exception()


class _JobRunner:
    """One job and the child that does it, which may have to be killed from another thread."""

    def __init__(
        self,
        idle: list[ChildProcess],
        function: ProcessFunction,
        ctx: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        clock_offset: float,
    ) -> None:
        self._idle = idle
        self._function = function
        self._ctx = ctx
        self._arguments = (args, kwargs)
        self._clock_offset = clock_offset
        self._lock = threading.Lock()
        self._child: ChildProcess | None = None
        self._is_killed = False

    def run(self) -> Any:
        """Have the job done by an idle child, or a new one; return or raise what its function did.

        Called in a thread of the pool.
        """
        ctx = self._ctx
        job = Job(
            self._function,
            ctx.claim,
            ctx.deadline,
            self._packed_arguments(),
            self._clock_offset,
            ctx.follow_ups,
        )
        outcome = self._outcome(job)
        if isinstance(outcome, Raised):
            raise rebuilt(outcome.error)
        if outcome.follow_ups:
            ctx.give_back(outcome.follow_ups)
        return unpacked(outcome.value, outcome.name)

    def _packed_arguments(self) -> bytes | ErrorRecord:
        try:
            return pickle.dumps(self._arguments)
        except BaseException as error:  # noqa: BLE001  (whatever an argument's class raises)
            return recorded(error)

    def _outcome(self, job: Job) -> Outcome:
        with self._lock:
            if self._is_killed:
                raise ProcessDied("cancelled before it began")
            child = self._child = self._idle_child() or ChildProcess()
        try:
            outcome = child.do(job, self._ctx)
        except BaseException:
            self._forget_child()
            child.close()
            raise
        if self._forget_child():
            child.close()
        else:
            self._idle.append(child)
        return outcome

    def _forget_child(self) -> bool:
        """Let `kill` end nothing from now on; return whether it has been called."""
        with self._lock:
            self._child = None
            return self._is_killed

    def _idle_child(self) -> ChildProcess | None:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            child.close()
        return None

    def kill(self) -> None:
        """Kill the child, whatever it does."""
        with self._lock:
            self._is_killed = True
            if self._child is not None:
                self._child.kill()
