"""Processes for handlers that must be stoppable, or need a processor to themselves.

Not concurrent.futures: its processes cannot be killed one by one.
"""

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection, wait
from operator import attrgetter
from time import monotonic
from typing import Any, Final, TypeAlias

from qcore.app.calls.call import TaskRequest
from qcore.app.tasks.context import BuildTask, Context, RunServices
from qcore.app.worker.pools.child_ipc import ChildProgressWriter, ChildRequest
from qcore.app.worker.pools.threads import ThreadPool
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.retry import described
from qcore.domain.task import Claim

# a forked child would inherit the worker's threads, locks and connections in mid-flight
_spawning = multiprocessing.get_context("spawn")

CHILD_EXIT_TIMEOUT: Final = 10.0
SIGNALS_CHILDREN_IGNORE: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP, signal.SIGUSR1)
"""What a supervisor may send to all of a service's processes."""


class ProcessDied(QcoreError):
    """Say that a handler's process ended before it answered: killed, out of memory, or a crash."""


class RemoteError(QcoreError):
    """Stand in for an error that could not travel from the process that raised it."""


@record
class Job:
    """What a process is asked to run."""

    module: str
    function: str
    claim: Claim
    deadline: Moment | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    ahead: float
    """Seconds by which the worker's clock is ahead of this machine's stopwatch."""
    follow_ups: Sequence[NewTask]
    """What was asked for before, by a middleware."""


_Reply: TypeAlias = tuple[bool, Any, Sequence[NewTask]]
"""Whether it went well, the value or the error, and what was asked for."""


class ProcessPool:
    """A pool that grows to `size` child processes as they are needed."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise InvalidOption(f"processes is {size!r}: expected at least 1")
        self.size = size
        self._idle: list[_Child] = []
        # a thread for each child speaks with it, so that no pipe ever blocks the loop
        self._threads = ThreadPool(size)

    def start(
        self,
        function: Callable[..., Any],
        ctx: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        now: Moment = 0.0,
    ) -> "Started":
        """Run a module's function in a process; what it asks for there is asked of `ctx`."""
        module, name = function.__module__, function.__qualname__
        # a process that has yet to begin begins late
        ahead = now - monotonic()
        job = Job(module, name, ctx.claim, ctx.deadline, args, kwargs, ahead, ctx.follow_ups)
        return Started(job, _JobRunner(self._idle, ctx), self._threads)

    def close(self) -> None:
        """End all processes."""
        self._threads.close()
        while self._idle:
            self._idle.pop().end()


class Started:
    """A function that runs in a process, or is about to."""

    def __init__(self, job: Job, talk: "_JobRunner", threads: ThreadPool) -> None:
        self._talk = talk
        self.reply = threads.submit(self._talk.run, job)
        """What the function returns, or raises; `ProcessDied` if the process does not answer."""

    async def kill(self) -> None:
        """End the process, and wait until it is gone: its slot is not free before."""
        self._talk.kill()
        await asyncio.wait([self.reply])
        self.reply.exception()


class _JobRunner:
    """One job and the child that does it, which may have to be killed from another thread."""

    def __init__(self, idle: "list[_Child]", ctx: Context) -> None:
        self._idle = idle
        self._ctx = ctx
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._killed = False

    def run(self, job: Job) -> Any:
        """Have the job done by an idle child, or a new one; return or raise what it does."""
        good, value, follow_ups = self._asked(job)
        if not good:
            raise value
        if follow_ups:
            self._ctx.give_back(follow_ups)
        return value

    def _asked(self, job: Job) -> _Reply:
        with self._lock:
            if self._killed:
                raise ProcessDied("cancelled before it began")
            child = self._child = self._idle.pop() if self._idle else _Child()
        try:
            reply = child.ask(job, self._ctx)
        except BaseException:
            child.end()
            raise
        with self._lock:
            self._child = None
            if not self._killed:
                self._idle.append(child)
        return reply

    def kill(self) -> None:
        """End the child, whatever it does."""
        with self._lock:
            self._killed = True
            if self._child is not None:
                self._child.kill()


class _Child:
    """A process that runs one job after the other."""

    def __init__(self) -> None:
        self._pipe, theirs = _spawning.Pipe()
        self._process = _spawning.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, job: Job, ctx: Context) -> _Reply:
        """Send a job and wait for its reply; what it says meanwhile is said to `ctx`."""
        try:
            self._pipe.send(job)
            while isinstance(reply := self._pipe.recv(), ChildRequest):
                self._hear(reply, ctx)
        except (EOFError, OSError):
            self._process.join(CHILD_EXIT_TIMEOUT)
            raise ProcessDied(_how(self._process.exitcode)) from None
        whole: _Reply = reply
        return whole

    def _hear(self, said: ChildRequest, ctx: Context) -> None:
        """Do what a handler asks for of its run."""
        answer = _answered(said, ctx)
        if said.verb != "progress":
            self._pipe.send(answer)

    def kill(self) -> None:
        """End at once, with whatever it has started itself."""
        pid = self._process.pid
        if pid is None:
            return  # it never began; and group 0 would be our own
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            # it has no group of its own yet, or is gone
            self._process.kill()

    def end(self) -> None:
        """End, and wait until it has."""
        self.kill()
        self._process.join(CHILD_EXIT_TIMEOUT)
        self._pipe.close()


def _answered(said: ChildRequest, ctx: Context) -> tuple[bool, Any]:
    try:
        return True, getattr(ctx, said.verb)(*said.args)
    except BaseException as error:  # noqa: BLE001  (who asked gets it)
        return False, _portable(error)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def serve(pipe: Connection) -> None:
    """Run jobs until the pipe closes: the main function of a child."""
    # a group of its own: Ctrl-C and Ctrl-Z are for the worker, who decides what they mean, and to
    # kill the group is to kill what a handler has started too
    os.setsid()
    for name in SIGNALS_CHILDREN_IGNORE:
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        keeper = ChildProgressWriter(pipe)
        reply = _done(job, keeper)
        keeper.end()
        pipe.send(reply)


def _done(job: Job, keeper: ChildProgressWriter) -> _Reply:
    try:
        found = attrgetter(job.function)(import_module(job.module))
        # the name in the module is the handler that the decorator made
        function = getattr(found, "function", found)
        build = _builder(found, job.ahead)
        ctx = Context(job.claim, RunServices(build=build, storage=keeper), deadline=job.deadline)
        ctx.give_back(job.follow_ups)
        value = function(ctx, *job.args, **job.kwargs)
        pickle.dumps(value)
    except BaseException as error:  # noqa: BLE001  (the worker judges it)
        return False, _portable(error), ()
    return True, value, ctx.end()


def _builder(found: Any, ahead: float) -> BuildTask | None:
    """Return what builds what a handler asks for: the client of the queue that it belongs to here.

    The time is the worker's.
    """
    sender = getattr(found, "sender", None)
    if sender is None:
        return None
    build: Callable[[TaskRequest, Moment], NewTask] = sender.client.build
    return lambda asked: build(asked, monotonic() + ahead)


def _portable(error: BaseException) -> Exception:
    """Return the error, or one that says the same and can travel."""
    if not isinstance(error, Exception):
        return RemoteError(described(error))
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (its own bytes)
    except Exception:  # noqa: BLE001  (whatever a class's own pickling raises)
        return RemoteError(described(error))
    return error


def _die_with_parent() -> None:
    """End this process when its worker is gone: nobody is left who could settle its task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
