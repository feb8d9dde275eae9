"""A claimed task while a worker has it in hand."""

import asyncio
from enum import Enum, auto

from qcore.app.context import Context
from qcore.domain.moments import Moment
from qcore.domain.task import Claim


class Why(Enum):
    """Why a run is cut short."""

    TIMEOUT = auto()
    LEASE_LOST = auto()
    SHUTDOWN = auto()


class Run:
    """One claim, its context, and the coroutine that executes it."""

    __slots__ = ("began", "claim", "coroutine", "ctx", "why")

    def __init__(self, claim: Claim, ctx: Context) -> None:
        self.claim = claim
        self.ctx = ctx
        self.why: Why | None = None
        self.began: Moment | None = None
        """When its handler was called."""
        self.coroutine: asyncio.Task[None] | None = None

    def cut_short(self, why: Why) -> None:
        """Ask the handler to end, once for each reason; a later reason outweighs an earlier."""
        self.why = why
        self.ctx.cancel()
        if self.coroutine is not None:
            self.coroutine.cancel()


def deadline_of(claim: Claim, now: Moment) -> Moment | None:
    """Return when a run that starts now must end: the earlier of its timeout and its deadline."""
    spec = claim.task.spec
    if spec.timeout is None:
        return spec.deadline
    ends = now + spec.timeout
    return ends if spec.deadline is None else min(ends, spec.deadline)
