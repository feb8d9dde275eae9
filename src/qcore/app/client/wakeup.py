"""Wake a coroutine of an event loop from any thread, wait for the first of several, cancel one."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from threading import get_ident
from typing import Any


class Wakeup:
    """An event that wakes one coroutine; set while nobody waits, it is kept.

    Unlike `asyncio.Event.set`, it may be called from any thread. Make it on the loop's own thread.
    Each wait has a future: an event around it costs an idle worker 15 µs more, with cold caches.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = get_ident()
        self._waiter: asyncio.Future[None] | None = None
        self.is_set = False
        """Whether it wakes already: a call would change nothing."""

    def __call__(self) -> None:
        """Wake the coroutine."""
        if not self.is_set:
            self.is_set = True
            if get_ident() == self._thread:
                # on the loop's thread its self-pipe need not be written to
                self._wake()
                return
            # nobody waits on a loop that is closed, which may be at this very moment
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Unset it."""
        self.is_set = False

    async def wait(self) -> None:
        """Wait until it is set, and unset it."""
        if not self.is_set:
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        self.is_set = False


async def first_completed(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Wait until one of the coroutines has ended, and cancel the others."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def hide_from_cancel_all(task: asyncio.Task[Any]) -> None:
    """Keep a task out of `asyncio.all_tasks()`, for whoever cancels and awaits it himself.

    At the end of a program `asyncio.run` cancels all of those at once, in no certain order, and
    with them the calls that they await, whose answers are lost. See "Task lifetime support" in
    Python's documentation of how to extend asyncio.
    """
    asyncio._unregister_task(task)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


class CutShort(Exception):
    """Say that the block of `cancelled_after` was cancelled."""


@asynccontextmanager
async def cancelled_after(waiting: Coroutine[Any, Any, object]) -> AsyncGenerator[None]:
    """Cancel the block when `waiting` has ended, as `asyncio.timeout` does when its time is over.

    The block then raises `CutShort`.
    """
    loop, limit, is_over = asyncio.get_running_loop(), asyncio.timeout(None), False

    def expire(waiter: asyncio.Task[object]) -> None:
        if not is_over and not waiter.cancelled():
            limit.reschedule(loop.time())

    try:
        async with limit:
            waiter = asyncio.create_task(waiting)
            waiter.add_done_callback(expire)
            try:
                yield
            finally:
                is_over = True
                waiter.cancel()
    except TimeoutError:
        if limit.expired():
            raise CutShort from None
        raise
