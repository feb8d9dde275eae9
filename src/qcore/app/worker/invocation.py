"""Call a handler where it runs: on the event loop, in a thread, or in a child process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from qcore.app.calls.introspection import refuse_unstarted
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.context import Context
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
from qcore.domain.new_task import NewTask
from qcore.ports import Clock

if TYPE_CHECKING:
    from qcore.app.worker.pools.processes import Reservation

Invoke: TypeAlias = Callable[[Run, Sequence[Any], Mapping[str, Any]], Awaitable[object]]
"""Returns what a handler returns, or raises what it raises; or raises `TooLateToStart`."""


class TooLateToStart(Exception):
    """Say that a task may not start any more; its text is the reason that is stored."""


def check_may_start(spec: NewTask, clock: Clock) -> None:
    """Raise `TooLateToStart` for a task that has expired, or whose deadline has passed."""
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
        self._begin = self._start_and_tell if emit.wants(TaskStarted) else deadlines.start

    def prepare(self, handler: AnyHandler) -> Invoke:
        """Return what calls a handler.

        It raises `TooLateToStart` where the task may not start any more once there is a slot.
        """
        node = self._node
        arounds, middleware = node.arounds_of(handler), tuple(node.middlewares_of(handler))
        if handler.process_function is not None:
            place = with_arounds(handler.process_function, arounds)
            if node.configured_in is not None:
                place = included(place, node.configured_in)
            return partial(self._in_process_slot, place, middleware)
        function = handler.enclosed(arounds)
        if handler.kind is Kind.THREAD:
            return partial(self._in_thread_slot, function, middleware)
        if middleware:
            return partial(self._in_middleware, function, middleware)
        begin = self._begin

        def on_loop(run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Awaitable[object]:
            begin(run)
            # without a dict of names where there are none, as is usual
            awaitable: Awaitable[object] = (
                function(run.ctx, *args, **kwargs) if kwargs else function(run.ctx, *args)
            )
            return awaitable

        return on_loop

    def _in_middleware(
        self,
        function: Callable[..., Any],
        middleware: Sequence[Middleware],
        run: Run,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Awaitable[object]:
        self._begin(run)
        return wrapped(partial(called, function, args, kwargs), middleware)(run.ctx)

    def _start_and_tell(self, run: Run) -> None:
        self._deadlines.start(run)
        self._emit(TaskStarted(run.claim))

    async def _in_thread_slot(
        self,
        function: Callable[..., Any],
        middleware: Sequence[Middleware],
        run: Run,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> object:
        call = partial(self._in_thread, run, function, args, kwargs)
        async with self._pools.slots[Kind.THREAD]:
            return await self._in_slot(run, call, middleware)

    async def _in_process_slot(
        self,
        function: ProcessFunction,
        middleware: Sequence[Middleware],
        run: Run,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> object:
        pools = self._pools
        async with pools.slots[Kind.PROCESS], pools.processes.reserved(function) as process:
            call = partial(self._in_process, run, process, args, kwargs)
            return await self._in_slot(run, call, middleware)

    async def _in_slot(self, run: Run, call: Next, middleware: Sequence[Middleware]) -> object:
        # it may have waited for long
        check_may_start(run.claim.task.spec, self._clock)
        self._deadlines.compare_clocks()
        self._begin(run)
        return await wrapped(call, middleware)(run.ctx)

    async def _in_thread(
        self,
        run: Run,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        ctx: Context,
    ) -> object:
        future = self._pools.threads.submit(function, ctx, *args, **kwargs)
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
