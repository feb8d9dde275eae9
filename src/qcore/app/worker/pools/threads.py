"""A pool of daemon threads for handlers that block.

Not concurrent.futures: its threads are joined at exit, so that one handler that never ends keeps a
whole worker from leaving.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from qcore.domain.error_groups import is_a
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown

T = TypeVar("T")

Job: TypeAlias = Callable[[], None]

_in_flight: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


def in_flight(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many calls made from a loop run in threads, or wait for one.

    A clock of virtual time must not jump while there are any.
    """
    return _in_flight.get(loop, 0)


class ThreadPool:
    """A pool that grows to `size` daemon threads as they are needed."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise InvalidOption(f"threads is {size!r}: expected at least 1")
        self.size = size
        self._calls = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(
        self, function: Callable[..., T], /, *args: Any, **kwargs: Any
    ) -> "asyncio.Future[T]":
        """Call a function in a thread, with the caller's context variables.

        The future is of the loop that this is called on.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            try:
                value = context.run(function, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001  (the caller gets it)
                _call_soon(loop, _set_exception, future, error)
            else:
                _call_soon(loop, _set_result, future, value)

        self._calls += 1
        _in_flight[loop] = in_flight(loop) + 1
        future.add_done_callback(self._call_ended)
        self._start(job)
        return future

    def _start(self, job: Job) -> None:
        if self._calls > len(self._threads) and len(self._threads) < self.size:
            self._grow()
        self._jobs.put(job)

    def close(self) -> None:
        """Let each thread end once the calls that were submitted are done."""
        for _ in self._threads:
            self._jobs.put(None)
        self._threads.clear()

    def _call_ended(self, future: "asyncio.Future[Any]") -> None:
        self._calls -= 1
        _in_flight[future.get_loop()] -= 1

    def _grow(self) -> None:
        name = f"qcore-handler-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: Any) -> None:
    # a loop that is closed takes no calls, and nobody waits for the future any more
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)


def _set_result(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


def _set_exception(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        # a future takes no StopIteration, as a coroutine could not raise it; and a thread gets no
        # Ctrl-C, so that a KeyboardInterrupt is the handler's own, and would end the event loop
        if is_a(error, (StopIteration, KeyboardInterrupt, GeneratorExit)):
            error = RuntimeError(f"the handler raised {shown(error)}")
        future.set_exception(error)
