"""Cancel runs at their timeout or deadline, with one timer for all of them."""

import asyncio
import math

from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.worker.run import Run
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports import Clock


class Deadlines:
    """Watch the runs in hand.

    A timer for each run would be made and cancelled fifty thousand times a second, and hardly ever
    fire; here only a deadline earlier than all others restarts the one timer.

    How long a run may take is computed when it starts, and from then on measured by the monotonic
    clock: neither setting the time nor suspending the machine ends a run that still has time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now, self._monotonic = clock.now, clock.monotonic
        self._ends: dict[Run, float] = {}
        """When runs must end, by the monotonic clock."""
        self._alarm = math.inf
        self._sleeper: asyncio.Task[None] | None = None

    def start(self, run: Run) -> None:
        """Start the clock of a run whose handler is about to be called."""
        began = run.began = self._monotonic()
        now = run.started = self._now()
        spec = run.claim.task.spec
        if spec.timeout is None and spec.deadline is None:
            # without a call for tasks that have neither, as most are
            return
        deadline = run.ctx.deadline = deadline_of(spec, now)
        end = self._ends[run] = began + deadline - now
        if end < self._alarm:
            self._restart(end)

    def forget(self, run: Run) -> None:
        """Stop watching a run, which has ended."""
        self._ends.pop(run, None)

    def close(self) -> None:
        """Stop watching."""
        self._ends.clear()
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
        for run in [run for run, end in self._ends.items() if end <= now]:
            del self._ends[run]
            run.cancel(CancelReason.TIMEOUT)
        self._alarm = math.inf
        if self._ends:
            self._restart(min(self._ends.values()))


def deadline_of(spec: NewTask, now: Moment) -> Moment:
    """Return when a run that starts now must end: the earlier of its timeout and its deadline."""
    ends = math.inf if spec.timeout is None else now + spec.timeout
    return ends if spec.deadline is None else min(ends, spec.deadline)
