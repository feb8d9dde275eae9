"""The main function of a child process: call handlers, one after the other."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection, wait
from operator import attrgetter
from time import monotonic
from typing import Any, Final

from qcore.app.calls.call import TaskRequest
from qcore.app.tasks.context import BuildTask, Context, RunServices
from qcore.app.worker.pools.child_ipc import (
    Job,
    Outcome,
    PipeRunStorage,
    Raised,
    Returned,
    picklable,
)
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask

SIGNALS_CHILDREN_IGNORE: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP, signal.SIGUSR1)
"""What a supervisor or a terminal may send to all of a service's processes."""


def serve(pipe: Connection) -> None:
    """Do jobs until the pipe closes."""
    # a process group of its own: Ctrl-C and Ctrl-Z are for the worker, which decides what they
    # mean, and to kill the group is to kill what a handler has started too
    os.setsid()
    for number in SIGNALS_CHILDREN_IGNORE:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        storage = PipeRunStorage(pipe)
        outcome = _do(job, storage)
        storage.close()
        pipe.send(outcome)


def _do(job: Job, storage: PipeRunStorage) -> Outcome:
    try:
        found = attrgetter(job.function)(import_module(job.module))
        # the decorator has put the handler in the function's place
        function = getattr(found, "function", found)
        build = _follow_up_builder(found, job.clock_offset)
        host = RunServices(build=build, storage=storage)
        ctx = Context(job.claim, host, deadline=job.deadline)
        ctx.give_back(job.follow_ups)
        value = function(ctx, *job.args, **job.kwargs)
        pickle.dumps(value)
    except BaseException as error:  # noqa: BLE001  (the worker judges it)
        return Raised(picklable(error))
    return Returned(value, ctx.end())


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
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
