"""Call a handler where it runs: on the event loop, in a thread, or in a child process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qcore.app.calls.introspection import refuse_unstarted
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.context import Context
from qcore.app.tasks.interactive import is_interactive
from qcore.app.tasks.kind import Kind
from qcore.app.tasks.process_function import ProcessFunction, included, with_arounds
from qcore.app.tasks.router import Router
from qcore.app.tasks.router_tree import AnyHandler, Middleware, Next
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.deadlines import Deadlines
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.run import Run
from qcore.domain.events import TaskStarted
from qcore.domain.task import Task
from qcore.ports import Clock

if TYPE_CHECKING:
    from qcore.app.worker.pools.processes import Reservation


class TooLateToStart(Exception):
    """Say that a task may not start any more; its text is the reason that is stored."""


def check_may_start(task: Task, clock: Clock) -> None:
    """Raise `TooLateToStart` for a task that has expired, or whose deadline has passed."""
    spec = task.spec
    if spec.expires is None and spec.deadline is None:
        return
    now = clock.now()
    if spec.expires is not None and spec.expires <= now:
        raise TooLateToStart("expired")
    if spec.deadline is not None and spec.deadline <= now:
        raise TooLateToStart("its deadline passed before it could run")


class Invoker:
    """Call handlers, each inside the router's middleware, and start the clock of their runs.

    A coroutine starts at once. Plain functions need a slot of the thread or the process pool, and
    the time that they wait for one, and for its process to be ready, does not count towards their
    timeout.
    """

    def __init__(
        self,
        router: Router,
        pools: HandlerPools,
        *,
        deadlines: Deadlines,
        control: WorkerControl,
        clock: Clock,
        emit: Instruments,
    ) -> None:
        self._node = router.node
        self._pools = pools
        self._deadlines = deadlines
        self._control = control
        self._clock = clock
        self._emit = emit
        self._emits_started = emit.wants(TaskStarted)
        self._functions: dict[AnyHandler, Callable[..., Any]] = {}
        """What is called of each handler: its function inside the arounds."""
        self._is_interactive = is_interactive()

    def invoke(
        self, handler: AnyHandler, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Awaitable[object]:
        """Return what the handler returns, or raise what it raises.

        Raises `TooLateToStart` where the task may not start any more once there is a slot for it.
        """
        node = self._node
        # without a call for a handler of the queue itself, as most are
        middleware = node.middlewares if handler.owner is node else node.middlewares_of(handler)
        if handler.kind is Kind.THREAD:
            call = partial(self._in_thread, run, handler, args, kwargs)
            return self._in_thread_slot(run, call, middleware)
        if handler.process_function is not None:
            place = with_arounds(handler.process_function, node.arounds_of(handler))
            if node.configured_in is not None:
                place = included(place, node.configured_in)
            return self._in_process_slot(run, place, args, kwargs, middleware)
        self._begin(run)
        function = self._function_of(handler)
        if not middleware:
            awaitable: Awaitable[object] = function(run.ctx, *args, **kwargs)
            return awaitable
        return wrapped(partial(called, function, args, kwargs), middleware)(run.ctx)

    def _function_of(self, handler: AnyHandler) -> Callable[..., Any]:
        function = self._functions.get(handler)
        if function is None:
            function = handler.enclosed(self._node.arounds_of(handler))
            if not self._is_interactive:
                # there a cell may be run again that declares an around
                self._functions[handler] = function
        return function

    def _begin(self, run: Run) -> None:
        self._deadlines.start(run)
        if self._emits_started:
            self._emit(TaskStarted(run.claim))

    async def _in_thread_slot(
        self, run: Run, call: Next, middleware: Sequence[Middleware]
    ) -> object:
        async with self._pools.slots[Kind.THREAD]:
            return await self._in_slot(run, call, middleware)

    async def _in_process_slot(
        self,
        run: Run,
        function: ProcessFunction,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        middleware: Sequence[Middleware],
    ) -> object:
        pools = self._pools
        async with pools.slots[Kind.PROCESS], pools.processes.reserved(function) as process:
            call = partial(self._in_process, run, process, args, kwargs)
            return await self._in_slot(run, call, middleware)

    async def _in_slot(self, run: Run, call: Next, middleware: Sequence[Middleware]) -> object:
        # it may have waited for long
        check_may_start(run.claim.task, self._clock)
        self._begin(run)
        return await wrapped(call, middleware)(run.ctx)

    async def _in_thread(
        self,
        run: Run,
        handler: AnyHandler,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        ctx: Context,
    ) -> object:
        future = self._pools.threads.submit(self._function_of(handler), ctx, *args, **kwargs)
        while True:
            try:
                return refuse_unstarted(await asyncio.shield(future), "handler")
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    return refuse_unstarted(run.take_result(future), "handler")
                # a thread cannot be ended: it keeps its slot until it has seen ctx.is_cancelled
                run.ctx.cancel()
                if run.cancel_reason is CancelReason.SHUTDOWN or self._control.is_cancelled:
                    raise

    async def _in_process(
        self,
        run: Run,
        process: "Reservation",
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        ctx: Context,
    ) -> object:
        call = process.start(ctx, args, kwargs, now=self._clock.now())
        try:
            return await asyncio.shield(call.reply)
        except asyncio.CancelledError:
            if call.reply.done() and not call.reply.cancelled():
                return run.take_result(call.reply)
            await call.kill()
            raise


def called(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], ctx: Context
) -> Awaitable[object]:
    """Call a coroutine function with a context and arguments."""
    awaitable: Awaitable[object] = function(ctx, *args, **kwargs)
    return awaitable


def wrapped(call: Next, middleware: Sequence[Middleware]) -> Next:
    """Return `call` inside every middleware, the first of them outermost."""
    for each in reversed(middleware):
        call = _around(each, call)
    return call


def _around(middleware: Middleware, call: Next) -> Next:
    # no coroutine itself: each of them between the loop and a handler costs every await
    return lambda ctx: middleware(ctx, call)
