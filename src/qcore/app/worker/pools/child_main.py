"""The main function of a child process: call handlers, one after the other."""

import contextvars
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any

from qcore.app.calls.call import TaskRequest
from qcore.app.tasks.context import BuildTask, Context, RunServices
from qcore.app.tasks.process_function import find
from qcore.app.worker.pools.child_ipc import Job, Outcome, PipeRunStorage, Raised, Returned
from qcore.app.worker.pools.child_signals import ChildSignals
from qcore.app.worker.pools.error_record import recorded
from qcore.app.worker.pools.process_end import ProcessEnd
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask


def serve(pipe: Connection) -> None:
    """Do jobs until the pipe closes."""
    # a process group of its own: Ctrl-C and Ctrl-Z are for the worker, which decides what they
    # mean, and to kill the group is to kill what a handler has started too
    os.setsid()
    # a daemon of `multiprocessing` may start no processes; a handler may
    multiprocessing.current_process().daemon = False
    signals = ChildSignals()
    signals.ignore()
    signals.restore_in_forks()
    # what a handler starts must not hold the pipe open, nor write to it
    os.set_inheritable(pipe.fileno(), False)  # noqa: FBT003  (it takes no keywords)
    os.register_at_fork(after_in_child=pipe.close)
    threading.Thread(target=_die_with_parent, name="qcore-parent", daemon=True).start()
    while True:
        try:
            job: Job = pipe.recv()
        except (EOFError, OSError):
            return
        storage = PipeRunStorage(pipe)
        outcome = _do(job, storage)
        storage.close()
        # the process is killed in the end, and what it holds back would be lost
        _flush()
        pipe.send(outcome)
        signals.ignore()


def _do(job: Job, storage: PipeRunStorage) -> Outcome:
    try:
        args, kwargs = pickle.loads(job.arguments)  # noqa: S301  (of our worker)
        found = find(job.function)
        # the decorator has put the handler in the function's place
        function = getattr(found, "function", found)
        build = _follow_up_builder(found, job.clock_offset)
        host = RunServices(build=build, storage=storage)
        ctx = Context(job.claim, host, deadline=job.deadline)
        ctx.give_back(job.follow_ups)
        value = pickle.dumps(_call(function, ctx, *args, **kwargs))
    except BaseException as error:  # noqa: BLE001  (the worker judges it)
        return Raised(recorded(error))
    return Returned(value, ctx.end())


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in a context of its own: what it sets there the next one does not find.

    A process that the function forks does not return from here.
    """
    pid = os.getpid()
    context = contextvars.copy_context()
    context.run(_copy_decimal_context)
    try:
        value = context.run(function, *args, **kwargs)
    except BaseException as error:
        if os.getpid() != pid:
            _end_fork(error)
        raise
    if os.getpid() != pid:
        _end_fork()
    return value


def _copy_decimal_context() -> None:
    # it is an object that can be changed, and that copies of contexts share
    if (decimal := sys.modules.get("decimal")) is not None:
        decimal.setcontext(decimal.getcontext().copy())


def _end_fork(error: BaseException | None = None) -> None:
    """End a process that a handler forked, as the interpreter would: it must not go on here."""
    code = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        with suppress(BaseException):
            traceback.print_exception(error)
    _flush()
    os._exit(code & 0xFF)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # a handler may have closed it, or put something else there
        with suppress(Exception):
            stream.flush()


def _follow_up_builder(found: Any, clock_offset: float) -> BuildTask | None:
    """Return what builds follow-ups: the client of the handler's own queue, at the worker's time.

    None for a function that no `Qcore` decorates: it has no client.
    """
    sender = getattr(found, "sender", None)
    if sender is None:
        return None
    build: Callable[[TaskRequest, Moment], NewTask] = sender.client.build
    return lambda request: build(request, monotonic() + clock_offset)


def _die_with_parent() -> None:
    """End this process when its worker is gone: no process is left that could settle its task."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        # the sentinel too, as the process of that number may be another one by now
        wait([ProcessEnd(parent.pid, parent.sentinel).fileno(), parent.sentinel])
        os.killpg(0, signal.SIGKILL)
