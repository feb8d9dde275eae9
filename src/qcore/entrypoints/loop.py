"""Run a coroutine on the best loop there is."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from qcore.app.calls.user_code import log_failure
from qcore.entrypoints.exiting import no_longer

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns; on uvloop if it is installed.

    A `SystemExit` in any task ends an event loop: in one that a handler has made it is logged here,
    and the loop goes on.
    """
    runner = asyncio.Runner(loop_factory=_factory())
    try:
        value = _run_to_end(runner, main)
    except BaseException:
        with no_longer(1):
            runner.close()
        raise
    with no_longer():
        runner.close()
    return value


def _run_to_end(runner: asyncio.Runner, main: Coroutine[Any, Any, T]) -> T:
    task = runner.get_loop().create_task(main)
    with _same_sigint_handler():
        while True:
            try:
                return runner.run(_result_of(task))
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                log_failure(error, "a task has tried to end the process", task.get_coro())


@contextmanager
def _same_sigint_handler() -> Generator[None, None, None]:
    """Put back the handler of SIGINT, as a runner does with its own if no other is in its place.

    Where a loop has ended and goes on, the worker puts back the one of the run that has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        # a handler that was not set from Python is not known, and cannot be set again
        if before is not None and signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


async def _result_of(task: asyncio.Task[T]) -> T:
    return await task


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop, None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
