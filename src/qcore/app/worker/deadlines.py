"""Cancel runs at their timeout or deadline, with one timer for all of them."""

import asyncio
import math
from collections.abc import Set as AbstractSet

from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.worker.run import Run
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports import Clock


class Deadlines:
    """Watch the runs in hand, which are `running`.

    A timer for each run would be made and cancelled fifty thousand times a second, and hardly ever
    fire; here only a deadline earlier than all others restarts the one timer.

    How long a run may take is computed when it starts, and from then on measured by the monotonic
    clock: neither setting the time nor suspending the machine ends a run that still has time.
    """

    def __init__(self, clock: Clock, running: AbstractSet[Run]) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._ahead = 0.0
        """By how much the wall clock is ahead of the monotonic one."""
        self._running = running
        self._alarm = math.inf
        """When the timer ends, by the monotonic clock."""
        self._sleeper: asyncio.Task[None] | None = None

    def compare_clocks(self) -> None:
        """Find out by how much the clocks differ, for the runs that start in this turn of the loop.

        The time of a store takes longer to tell than the monotonic clock.
        """
        self._ahead = self._clock.now() - self._monotonic()

    def start(self, run: Run) -> None:
        """Start the clock of a run whose handler is about to be called."""
        began = run.began = self._monotonic()
        now = run.started = began + self._ahead
        spec = run.claim.task.spec
        timeout = spec.timeout
        if spec.deadline is not None:
            deadline = run.ctx.deadline = deadline_of(spec, now)
            timeout = deadline - now
        elif timeout is None:
            return
        else:
            # without a call, as most tasks have this alone
            run.ctx.deadline = now + timeout
        end = run.must_end = began + timeout
        if end < self._alarm:
            self._restart(end)

    def close(self) -> None:
        """Stop watching."""
        self._alarm = math.inf
        if self._sleeper is not None:
            self._sleeper.cancel()

    def _restart(self, end: float) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._alarm = end
        self._sleeper = asyncio.create_task(self._sleep(end))

    async def _sleep(self, end: float) -> None:
        while (rest := end - self._clock.monotonic()) > 0:
            await self._clock.sleep(rest)
        self._sleeper = None
        now = self._clock.monotonic()
        next_end = math.inf
        for run in self._running:
            if run.must_end <= now:
                run.must_end = math.inf
                run.cancel(CancelReason.TIMEOUT)
            else:
                next_end = min(next_end, run.must_end)
        self._alarm = math.inf
        if next_end < math.inf:
            self._restart(next_end)


def deadline_of(spec: NewTask, now: Moment) -> Moment:
    """Return when a run that starts now must end: the earlier of its timeout and its deadline."""
    ends = math.inf if spec.timeout is None else now + spec.timeout
    return ends if spec.deadline is None else min(ends, spec.deadline)
