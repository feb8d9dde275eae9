"""One run: a claim while this worker executes it."""

import asyncio
from math import inf
from typing import Any

from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.context import Context
from qcore.domain.moments import Moment
from qcore.domain.task import Claim


class Run:
    """One claim, the context that its handler gets, and the coroutine that executes it."""

    __slots__ = (
        "began",
        "claim",
        "coroutine",
        "ctx",
        "has_ended",
        "has_lost_lease",
        "must_end",
        "started",
        "unknown_format",
    )

    started: Moment
    """When its handler was called, by the wall clock; set together with `began`."""

    def __init__(self, claim: Claim, ctx: Context) -> None:
        self.claim = claim
        self.ctx = ctx
        self.has_ended = False
        """Whether the handler has returned or raised: the verdict on it must not be cancelled."""
        self.has_lost_lease = False
        """Whether its task is no longer this worker's: no verdict counts, whatever ends it."""
        self.began: float | None = None
        """When its handler was called, by the monotonic clock."""
        self.coroutine: asyncio.Task[Any] | None = None
        """The task that executes it; None up to its first wait, where it was started eagerly."""
        self.must_end = inf
        """When its time is over, by the monotonic clock."""
        self.unknown_format: str | None = None
        """Why its task cannot be read by this version, where that is why it is put back."""

    def cancel(self, reason: CancelReason) -> None:
        """Cancel the handler; a later reason takes the place of an earlier one."""
        if self.has_ended:
            return
        if reason is CancelReason.LEASE_LOST:
            self.has_lost_lease = True
        self.ctx.cancel_reason = reason
        self.ctx.cancel()
        if self.coroutine is not None:
            self.coroutine.cancel()

    @property
    def cancel_reason(self) -> CancelReason | None:
        """Why the worker cancels it; None where it does not."""
        return self.ctx.cancel_reason

    @property
    def is_cancelled(self) -> bool:
        """Whether its coroutine was cancelled, by the worker or by anybody else."""
        return self.coroutine is not None and self.coroutine.cancelling() > 0

    def is_current(self) -> bool:
        """Return whether its coroutine is being run by its event loop, rather than closed."""
        try:
            return asyncio.current_task() is self.coroutine or self.coroutine is None
        except RuntimeError:
            # no loop runs
            return False

    def take_result(self, future: "asyncio.Future[Any]") -> Any:
        """Return or raise the result that a handler had before it was cancelled, uncancelled.

        The event loop was too busy to take the result in time, which is not the handler's fault.
        A lost lease stays the reason: no verdict counts then.
        """
        if not self.has_lost_lease:
            self.ctx.cancel_reason = None
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return future.result()
