"""Cancel runs at their timeout or deadline, with one timer for all of them."""

import asyncio
import math

from qcore.app.worker.run import CancelReason, Run, deadline_of
from qcore.domain.moments import Moment
from qcore.ports import Clock


class Deadlines:
    """Watch the runs in hand.

    A timer for each run would be made and cancelled fifty thousand times a second, and hardly ever
    fire; here only a deadline earlier than all others restarts the one timer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moments: dict[Run, Moment] = {}
        self._alarm = math.inf
        self._sleeper: asyncio.Task[None] | None = None

    def start(self, run: Run) -> None:
        """Start the clock of a run whose handler is about to be called."""
        now = run.began = self._clock.now()
        deadline = run.ctx.deadline = deadline_of(run.claim, now)
        if deadline is None:
            return
        self._moments[run] = deadline
        if deadline < self._alarm:
            self._restart(deadline)

    def forget(self, run: Run) -> None:
        """Stop watching a run, which has ended."""
        self._moments.pop(run, None)

    def close(self) -> None:
        """Stop watching."""
        self._moments.clear()
        self._alarm = math.inf
        if self._sleeper is not None:
            self._sleeper.cancel()

    def _restart(self, moment: Moment) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._alarm = moment
        self._sleeper = asyncio.create_task(self._sleep(moment))

    async def _sleep(self, moment: Moment) -> None:
        await self._clock.sleep_until(moment)
        self._sleeper = None
        now = self._clock.now()
        for run in [run for run, deadline in self._moments.items() if deadline <= now]:
            del self._moments[run]
            run.cancel(CancelReason.TIMEOUT)
        self._alarm = math.inf
        if self._moments:
            self._restart(min(self._moments.values()))
