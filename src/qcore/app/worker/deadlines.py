"""Cut runs short at their moment, with one sleeper for all of them."""

import asyncio
import math

from qcore.app.worker.run import CancelReason, Run
from qcore.domain.moments import Moment
from qcore.ports import Clock


class Deadlines:
    """Watch the runs in hand.

    A timer for each would be made and cancelled fifty thousand times a second, nearly always in
    vain; here only a deadline earlier than all others moves the alarm.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moments: dict[Run, Moment] = {}
        self._alarm = math.inf
        self._sleeper: asyncio.Task[None] | None = None

    def watch(self, run: Run, moment: Moment) -> None:
        """Cut a run short at a moment unless it has ended by then."""
        self._moments[run] = moment
        if moment < self._alarm:
            self._set(moment)

    def forget(self, run: Run) -> None:
        """Watch a run no more."""
        self._moments.pop(run, None)

    def close(self) -> None:
        """Watch nothing any more."""
        self._moments.clear()
        self._alarm = math.inf
        if self._sleeper is not None:
            self._sleeper.cancel()

    def _set(self, moment: Moment) -> None:
        if self._sleeper is not None:
            self._sleeper.cancel()
        self._alarm = moment
        self._sleeper = asyncio.create_task(self._sleep(moment))

    async def _sleep(self, moment: Moment) -> None:
        await self._clock.sleep_until(moment)
        self._sleeper = None
        now = self._clock.now()
        for run in [run for run, ends in self._moments.items() if ends <= now]:
            del self._moments[run]
            run.cancel(CancelReason.TIMEOUT)
        self._alarm = math.inf
        if self._moments:
            self._set(min(self._moments.values()))
