"""`timeouts`: a time limit by task name, for tasks that were enqueued without one of their own."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import cast

from qcore.app.tasks.context import Context
from qcore.app.tasks.router_tree import Middleware, Next
from qcore.domain.moments import Duration
from qcore.middleware.by_name import ByName
from qcore.middleware.clock_and_dice import HasClockAndDice, setting
from qcore.ports import Clock


def timeouts(q: HasClockAndDice, limits: Mapping[str, Duration | None]) -> Middleware:
    """Return a middleware that cuts runs short, by exact name or longest prefix; None for never.

    As with a timeout of the task's own, of which the earlier counts: the run has failed with a
    `TimeoutError` and is retried by its policy. A coroutine is cancelled; a thread sees
    `ctx.is_cancelled`, keeps its place until it has ended, and what it returns no longer counts; a
    process is killed. The time is that of `q`'s clock, and begins with the run, not in the line for
    a thread or a process. Raises `InvalidOption` for a limit that is none.
    """
    named = ByName(
        {
            name: None if limit is None else setting(limit, f"the timeout of {name!r}")
            for name, limit in limits.items()
        }
    )

    async def cut_short(ctx: Context, run: Next) -> object:
        limit = named.get(ctx.name)
        if limit is None:
            return await run(ctx)
        clock, before = q.clock, ctx.deadline
        ends = clock.now() + limit
        if before is not None and before <= ends:
            # the task's own deadline is earlier: the worker holds it to that
            return await run(ctx)
        ctx.deadline = ends
        try:
            with _Alarm(ctx, clock, limit):
                return await run(ctx)
        finally:
            ctx.deadline = before

    return cut_short


class _Alarm:
    """Cancel a run after `limit` seconds, as its worker would at its deadline.

    Not `asyncio.timeout`: that goes by the loop's time rather than by the clock, and a run that
    suppresses its cancellation and returns too late would count as a success.
    """

    def __init__(self, ctx: Context, clock: Clock, limit: float) -> None:
        self._ctx = ctx
        self._clock = clock
        self._limit = limit
        self._has_rung = False

    def __enter__(self) -> None:
        self._running = cast("asyncio.Task[object]", asyncio.current_task())
        self._cancelled_before = self._running.cancelling()
        self._sleeper = asyncio.create_task(self._ring())

    async def _ring(self) -> None:
        await self._clock.sleep(self._limit)
        self._has_rung = True
        self._ctx.cancel()
        self._running.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise `TimeoutError` for a run that ended because of this, unless with its own error."""
        self._sleeper.cancel()
        if self._is_why() and (error is None or isinstance(error, asyncio.CancelledError)):
            raise TimeoutError(f"the handler ran for longer than {self._limit} seconds") from None

    def _is_why(self) -> bool:
        """Undo this cancellation; return whether the run was cancelled by it and by nobody else.

        A run that was done when the alarm rang has undone it by then: it was in time.
        """
        running, before = self._running, self._cancelled_before
        return self._has_rung and running.cancelling() > before and running.uncancel() <= before
