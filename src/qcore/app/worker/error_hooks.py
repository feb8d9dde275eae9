"""Call the error hooks: each within a time limit, and plain ones in threads of their own.

A hook is told of an error and decides nothing. So one that raises, hangs or blocks delays the
verdict on its own task by the limit at most; meanwhile the event loop turns, and another task may
have the place of this one.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Final, Protocol

from qcore.app.calls.introspection import unwraps_to
from qcore.app.calls.user_code import is_from_outside, log_failure, name_of
from qcore.app.tasks.context import Context
from qcore.app.tasks.router_tree import ErrorHook
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.pools.threads import ThreadPool
from qcore.domain.text import trace_of
from qcore.log.logger import get_logger

HOOK_TIMEOUT: Final = 5.0
"""Seconds, of real time, that an error hook may take, with the time that it waits for a thread."""


class CallErrorHooks(Protocol):
    """Calls error hooks."""

    async def call(self, hooks: Sequence[ErrorHook], ctx: Context, error: BaseException) -> None:
        """Call hooks one after the other; what they raise is logged."""
        ...


class HooksInPlace:
    """Call hooks in this thread, without a time limit; plain ones in a block of `around`."""

    def __init__(self, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._around = around

    async def call(self, hooks: Sequence[ErrorHook], ctx: Context, error: BaseException) -> None:
        """Call hooks one after the other."""
        for hook in hooks:
            try:
                if unwraps_to(iscoroutinefunction, hook):
                    await _awaited(hook, ctx, error)
                    continue
                with self._around():
                    made = _called(hook, ctx, error)
                if isawaitable(made):
                    await made
            except BaseException as trouble:
                if is_from_outside(trouble):
                    raise
                log_failure(trouble, "error hook failed", hook, task_id=ctx.id)


class ErrorHooks:
    """Call hooks one after the other; what they do harms nobody.

    Made on the worker's event loop. `threads` bounds how many plain hooks run at a time, beside the
    handlers; `on_call` is called when the hooks of a run are about to be called.
    """

    def __init__(
        self,
        threads: int,
        *,
        control: WorkerControl,
        on_call: Callable[[], None],
    ) -> None:
        self._threads = ThreadPool(threads)
        self._control = control
        self._on_call = on_call
        self._abandoned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._cut_short: set[asyncio.Task[None]] = set()
        """Cancelled, and not ended yet: asyncio itself keeps no reference to them."""
        self.in_hand = 0
        """Runs whose hooks are being called: their handlers have ended, so they need no place."""

    async def call(self, hooks: Sequence[ErrorHook], ctx: Context, error: BaseException) -> None:
        """Call hooks; return when each has ended or has had its time."""
        if not hooks:
            return
        self.in_hand += 1
        self._on_call()
        try:
            for hook in hooks:
                await self._call(hook, ctx, error)
        finally:
            self.in_hand -= 1

    def abandon(self) -> None:
        """Wait for no hook any more, as the worker leaves; those still to come are not called."""
        if not self._abandoned.done():
            self._abandoned.set_result(None)

    def close(self) -> None:
        """End idle threads; one whose hook blocks ends with the hook, or with the process."""
        self._threads.close()

    async def _call(self, hook: ErrorHook, ctx: Context, error: BaseException) -> None:
        calling = asyncio.create_task(self._called(hook, ctx, error))
        await self._wait_for(calling)
        if not calling.done():
            self._cut_short.add(calling)
            calling.add_done_callback(self._cut_short.discard)
            calling.cancel()
            get_logger().error(
                "error hook cut short", code=name_of(hook), task_id=ctx.id, limit=HOOK_TIMEOUT
            )

    async def _wait_for(self, calling: asyncio.Task[None]) -> None:
        """Wait until a hook has ended or has had its time, whoever cancels the run meanwhile.

        No worker cancels one whose handler has ended. The program does as it ends, and the verdict
        stands all the same; and a handler may have cancelled its own task.
        """
        while True:
            try:
                await asyncio.wait(
                    [calling, self._abandoned],
                    timeout=HOOK_TIMEOUT,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            except asyncio.CancelledError:
                if self._control.is_cancelled:
                    self.abandon()
            else:
                return

    async def _called(self, hook: ErrorHook, ctx: Context, error: BaseException) -> None:
        try:
            if unwraps_to(iscoroutinefunction, hook):
                await _awaited(hook, ctx, error)
                return
            # shielded, as the thread goes on: the pool must not take it for free
            made = await asyncio.shield(self._threads.submit(_called, hook, ctx, error))
            if isawaitable(made):
                await made
        except BaseException as trouble:
            if is_from_outside(trouble):
                raise
            log_failure(trouble, "error hook failed", hook, task_id=ctx.id)


def _called(hook: Callable[..., Any], ctx: Context, error: BaseException) -> Any:
    """Call a plain hook as in an `except` block, where error trackers and loggers look."""
    trace = trace_of(error)
    try:
        raise error  # noqa: TRY301  (it was raised by the handler)
    except BaseException:  # noqa: BLE001  (it is the error that the hook is told of)
        # past the `__setattr__` of a class whose errors are frozen
        BaseException.with_traceback(error, trace)
        return hook(ctx, error)


async def _awaited(hook: Callable[..., Any], ctx: Context, error: BaseException) -> None:
    """Await a coroutine hook as in an `except` block."""
    trace = trace_of(error)
    try:
        raise error  # noqa: TRY301  (it was raised by the handler)
    except BaseException:  # noqa: BLE001  (it is the error that the hook is told of)
        # past the `__setattr__` of a class whose errors are frozen
        BaseException.with_traceback(error, trace)
        await hook(ctx, error)
