"""The main function of a child process: call handlers, one after the other."""

import contextvars
import fcntl
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any, cast

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.introspection import refuse_unstarted
from qcore.app.client.client import Client
from qcore.app.tasks.context import Context, RunServices
from qcore.app.tasks.handler import Handler
from qcore.app.tasks.process_function import ProcessFunction, find, names_of
from qcore.app.tasks.router_tree import AnyHandler, RouterNode
from qcore.app.worker.pools.child_ipc import Job, Outcome, PipeRunStorage, Raised, Returned
from qcore.app.worker.pools.child_signals import ChildSignals
from qcore.app.worker.pools.error_record import recorded
from qcore.app.worker.pools.error_stand_in import rebuilt
from qcore.app.worker.pools.process_end import ProcessEnd
from qcore.app.worker.pools.results import name_of, packed
from qcore.domain.error_groups import is_a
from qcore.domain.errors import InvalidOption
from qcore.domain.new_task import NewTask


def serve(pipe: Connection, *at_start: Callable[[], object]) -> None:
    """Call functions that prepare the process, and do jobs until the pipe closes."""
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
    _follow_parent()
    for prepare in at_start:
        prepare()
    while True:
        try:
            message: Job | ProcessFunction = pipe.recv()
        except (EOFError, OSError):
            return
        if isinstance(message, ProcessFunction):
            outcome = _prepare(message)
            signals.ignore()
        else:
            storage = PipeRunStorage(pipe)
            outcome = _do(message, storage)
            signals.ignore()
            storage.close()
        # the process is killed in the end, and what it holds back would be lost
        _flush()
        pipe.send(outcome)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        _be_killed_by_kernel(parent.sentinel)
        args = (parent.pid, parent.sentinel)
        threading.Thread(
            target=_die_with_parent, args=args, name="qcore-parent", daemon=True
        ).start()


def _prepare(function: ProcessFunction) -> Outcome:
    """Import what a job with a function needs: how long that takes is no part of the job."""
    # what is raised here the job raises again
    with suppress(BaseException):
        find(function)
    return Returned(b"", "")


def _do(job: Job, storage: PipeRunStorage) -> Outcome:
    try:
        found = find(job.function)
        client = _client_of(found)
        args, kwargs = _arguments(job, found, client)
        function = _function_of(found, job.function)
        build = None if client is None else partial(_build, client, job.clock_offset)
        services = RunServices(build=build, storage=storage, worker=job.worker)
        ctx = Context(job.claim, services, deadline=job.deadline)
        ctx.give_back(job.follow_ups)
        ctx.own_headers = job.headers
        value = refuse_unstarted(_call(function, ctx, *args, **kwargs), "handler")
    except BaseException as error:  # noqa: BLE001  (the worker judges it)
        return Raised(recorded(error))
    signature = found.signature if isinstance(found, Handler) else None
    result = packed(value, signature, None if client is None else client.codec)
    return Returned(result, name_of(value), ctx.end())


def _function_of(found: Any, where: ProcessFunction) -> Callable[..., Any]:
    """Return what is to be called: the function inside the arounds that its worker has for it."""
    owner = getattr(found, "owner", None)
    handler: AnyHandler | None = found if isinstance(owner, RouterNode) else None
    arounds = owner.root.arounds_of(found) if isinstance(owner, RouterNode) else ()
    names = names_of(arounds)
    if names != where.arounds:
        raise InvalidOption(
            f"the handler of {where.pattern!r} is to run inside the arounds "
            f"{', '.join(where.arounds) or 'none'}, and this process has found "
            f"{', '.join(names) or 'none'}: declare each where a module is imported, and not in a "
            "function or under `if __name__ == ...`"
        )
    # a plain function is found where its module has replaced the handler
    return getattr(found, "function", found) if handler is None else handler.enclosed(arounds)


def _arguments(
    job: Job, found: Any, client: Client | None
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(job.arguments, bytes):
        args, kwargs = pickle.loads(job.arguments)  # noqa: S301  (of our worker)
        return args, kwargs
    if client is None or not isinstance(found, Handler):
        raise rebuilt(job.arguments)
    spec, signature = job.claim.task.spec, found.signature
    return signature.decode(spec.payload, spec.content_type, client.codec)


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
    if error is not None and is_a(error, SystemExit):
        said = cast("SystemExit", error).code
        code = said if isinstance(said, int) else int(said is not None)
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


def _client_of(found: Any) -> Client | None:
    """Return the client of the handler's own queue; None for a function without one."""
    sender = getattr(found, "sender", None)
    # a plain router has none either
    with suppress(InvalidOption):
        return None if sender is None else cast("Client", sender.client)
    return None


def _build(client: Client, clock_offset: float, request: TaskRequest) -> NewTask:
    """Return the task to be stored for a follow-up, at the worker's time."""
    return client.build(request, monotonic() + clock_offset)


def _die_with_parent(parent: int, sentinel: int) -> None:
    """End this process when its worker is gone: no process is left that could settle its task."""
    # the sentinel too, as the process of that number may be another one by now
    wait([ProcessEnd(parent, sentinel).fileno(), sentinel])
    os.killpg(0, signal.SIGKILL)


def _be_killed_by_kernel(sentinel: int) -> None:
    """Have Linux kill the process group when the worker, or its end of the pipe, is gone.

    It also does so where no thread of this process can: code in C holds the interpreter's lock, or
    the process has been stopped.
    """
    with suppress(AttributeError, OSError):
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
        fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
