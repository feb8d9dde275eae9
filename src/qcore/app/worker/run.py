"""A claimed task while a worker has it in hand."""

import asyncio
from enum import Enum, auto
from typing import Any

from qcore.app.tasks.context import Context
from qcore.domain.moments import Moment
from qcore.domain.task import Claim


class CancelReason(Enum):
    """Why a run is cut short."""

    TIMEOUT = auto()
    LEASE_LOST = auto()
    SHUTDOWN = auto()


class Run:
    """One claim, its context, and the coroutine that executes it."""

    __slots__ = ("began", "cancel_reason", "claim", "coroutine", "ctx", "has_ended")

    def __init__(self, claim: Claim, ctx: Context) -> None:
        self.claim = claim
        self.ctx = ctx
        self.cancel_reason: CancelReason | None = None
        self.has_ended = False
        """Whether the handler is over: what follows is not to be cut short."""
        self.began: Moment | None = None
        """When its handler was called."""
        self.coroutine: asyncio.Task[None] | None = None

    def cancel(self, reason: CancelReason) -> None:
        """Ask the handler to end, once for each reason; a later reason outweighs an earlier."""
        if self.has_ended:
            return
        self.cancel_reason = reason
        self.ctx.cancel()
        if self.coroutine is not None:
            self.coroutine.cancel()

    def take_result(self, future: "asyncio.Future[Any]") -> Any:
        """Return what a handler returned, or raise what it raised, before it was cut short.

        The loop was too busy to hear of it in time: that is not the handler's fault. Where the
        lease is lost, nobody asks.
        """
        if self.cancel_reason is not CancelReason.LEASE_LOST:
            self.cancel_reason = None
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return future.result()


def deadline_of(claim: Claim, now: Moment) -> Moment | None:
    """Return when a run that starts now must end: the earlier of its timeout and its deadline."""
    spec = claim.task.spec
    if spec.timeout is None:
        return spec.deadline
    ends = now + spec.timeout
    return ends if spec.deadline is None else min(ends, spec.deadline)
