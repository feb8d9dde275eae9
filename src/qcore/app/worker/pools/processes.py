"""A pool of processes for handlers that must be stoppable, or need a processor to themselves.

Not concurrent.futures: its processes cannot be killed one by one.
"""

import asyncio
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from qcore.app.tasks.context import Context
from qcore.app.tasks.process_function import ProcessFunction
from qcore.app.worker.pools.child_ipc import Job, Outcome, Raised
from qcore.app.worker.pools.child_process import ChildProcess
from qcore.app.worker.pools.error_record import ErrorRecord, recorded
from qcore.app.worker.pools.error_stand_in import rebuilt
from qcore.app.worker.pools.results import unpacked
from qcore.app.worker.pools.threads import ThreadPool
from qcore.domain.errors import InvalidOption, ProcessDied
from qcore.domain.moments import Moment

T = TypeVar("T")


class ProcessPool:
    """A pool that grows to `size` child processes as they are needed."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise InvalidOption(f"process_pool is {size!r}: expected at least 1")
        self.size = size
        self._idle: list[ChildProcess] = []
        # a thread for each child talks to it, so that no pipe ever blocks the event loop
        self._threads = ThreadPool(size)

    def reserved(self, function: ProcessFunction) -> "Reservation":
        """Set a process apart that is ready to call a function, for as long as a block lasts.

        A process that is new has to start and to import the function's module: that is waited for
        where the block begins. Raises `ProcessDied` where it ends meanwhile, or takes too long.
        """
        return Reservation(function, self._idle, self._threads)

    def close(self) -> None:
        """End all processes that are idle."""
        self._threads.close()
        while (child := _popped(self._idle)) is not None:
            child.close()


class Reservation:
    """A process that is set apart for one run, while its block lasts.

    Not by `contextlib`, which sets the traceback of what is raised in the block: a frozen exception
    cannot bear that.
    """

    def __init__(
        self, function: ProcessFunction, idle: list[ChildProcess], threads: ThreadPool
    ) -> None:
        self.children: list[ChildProcess] = []
        """The process, unless it is at work or gone; more where a middleware has called twice."""
        self._function = function
        self._idle = idle
        self._threads = threads

    async def __aenter__(self) -> Self:
        """Wait until the process is ready."""
        try:
            await self._prepare()
        except BaseException:
            self._give_back()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let others have the process."""
        self._give_back()

    def _give_back(self) -> None:
        self._idle += self.children
        self.children.clear()

    async def _prepare(self) -> None:
        child = _popped(self._idle)
        if child is not None:
            self.children.append(child)
            if child.is_alive and child.is_prepared(self._function):
                return
        call = self._call(lambda child: child.prepare(self._function))
        try:
            await asyncio.shield(call.reply)
        except asyncio.CancelledError:
            await call.kill()
            raise

    def start(
        self, ctx: Context, args: Sequence[Any], kwargs: Mapping[str, Any], *, now: Moment = 0.0
    ) -> "ProcessCall[Any]":
        """Call the function in the process; its progress and follow-ups become `ctx`'s."""
        # not the moment itself: the process reads it later
        clock_offset = now - monotonic()

        def do(child: ChildProcess) -> Outcome:
            arguments = _packed(args, kwargs)
            job = Job(
                self._function,
                ctx.claim,
                ctx.deadline,
                arguments,
                clock_offset,
                ctx.follow_ups,
                ctx.own_headers,
                ctx.worker,
            )
            return child.do(job, ctx)

        return self._call(do, partial(_taken, ctx))

    def _call(
        self, use: Callable[[ChildProcess], T], then: Callable[[T], Any] = lambda it: it
    ) -> "ProcessCall[Any]":
        return ProcessCall(_ChildUse(self.children, self._idle, use), then, self._threads)


class ProcessCall(Generic[T]):
    """What a process does, or is about to."""

    def __init__(self, use: "_ChildUse[T]", then: Callable[[T], Any], threads: ThreadPool) -> None:
        self._use = use
        self.reply = threads.submit(lambda: then(use.run()))
        """What the function returns or raises; `ProcessDied` if the process does not reply."""

    async def kill(self) -> None:
        """Kill the process, and wait until it is gone: its slot is not free before."""
        self._use.kill()
        await asyncio.wait([self.reply])
        self.reply.exception()


class _ChildUse(Generic[T]):
    """One use of a child, which may have to be killed from another thread."""

    def __init__(
        self,
        own: list[ChildProcess],
        idle: list[ChildProcess],
        use: Callable[[ChildProcess], T],
    ) -> None:
        self._own = own
        self._idle = idle
        self._use = use
        self._lock = threading.Lock()
        self._child: ChildProcess | None = None
        self._is_killed = False

    def run(self) -> T:
        """Use a child that is there, or a new one, and leave it there. Called in a thread."""
        with self._lock:
            if self._is_killed:
                raise ProcessDied("cancelled before it began")
            child = self._child = self._living_child() or ChildProcess()
        try:
            value = self._use(child)
        except BaseException:
            self._forget_child()
            child.close()
            raise
        if self._forget_child():
            child.close()
        else:
            self._own.append(child)
        return value

    def _forget_child(self) -> bool:
        """Let `kill` end nothing from now on; return whether it has been called."""
        with self._lock:
            self._child = None
            return self._is_killed

    def _living_child(self) -> ChildProcess | None:
        while (child := _popped(self._own) or _popped(self._idle)) is not None:
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


def _popped(children: list[ChildProcess]) -> ChildProcess | None:
    """Return one of them and remove it; None for none, as another thread may have taken it."""
    try:
        return children.pop()
    except IndexError:
        return None


def _packed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes | ErrorRecord:
    try:
        return pickle.dumps((args, kwargs))
    except BaseException as error:  # noqa: BLE001  (whatever an argument's class raises)
        return recorded(error)


def _taken(ctx: Context, outcome: Outcome) -> Any:
    """Return or raise what a function did, and take its follow-ups."""
    if isinstance(outcome, Raised):
        raise rebuilt(outcome.error)
    if outcome.follow_ups:
        ctx.give_back(outcome.follow_ups)
    return unpacked(outcome.value, outcome.name)
