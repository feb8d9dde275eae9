"""When the next task of a worker's queues becomes due, asked of the broker and remembered."""

import asyncio
from collections.abc import Sequence
from typing import Final

from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import Retrying
from qcore.domain.moments import Moment
from qcore.ports import Clock, Consumer

JUMP: Final = 1.0
"""Seconds by which the time moves against the monotonic clock if it was set, not merely slewed."""


class NextDue:
    """Ask for the next due moment only when the last answer may not hold any more.

    A broker sends wake-ups, so an idle worker need not ask again and again: the answer holds until
    that moment has passed, a wake-up came, a queue entered or left quarantine, or the time jumped.
    """

    def __init__(
        self,
        broker: Consumer,
        quarantine: Quarantine,
        *,
        clock: Clock,
        retrying: Retrying,
        stopping: asyncio.Event,
    ) -> None:
        self._broker = broker
        self._quarantine = quarantine
        self._clock = clock
        self._retrying = retrying
        self._stopping = stopping
        self._is_stale = True
        self._moment: Moment | None = None
        self._ahead = 0.0
        """The time less the monotonic clock, when it was asked."""
        self._queues: Sequence[str] = ()
        """The queues that the remembered answer is about."""

    def invalidate(self) -> None:
        """Note that something may be due earlier than was answered. Thread-safe."""
        self._is_stale = True

    def next_retry(self) -> Moment:
        """Return when a queue that could not be asked about is asked about again."""
        return self._quarantine.next_retry()

    async def of(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next task of these queues is due; None if none is scheduled.

        Raises `GaveUp` if the broker is unavailable and the worker is asked to stop.
        """
        now = self._clock.now()
        has_passed = (self._moment is not None and self._moment <= now) or self.next_retry() <= now
        ahead = now - self._clock.monotonic()
        has_jumped = abs(ahead - self._ahead) > JUMP
        if self._is_stale or has_passed or has_jumped or self._queues != queues:
            # before the call: a wake-up during it may be about what its answer does not show
            self._is_stale, self._ahead = False, ahead
            self._moment, self._queues = await self.ask(queues), queues
        return self._moment

    async def ask(self, queues: Sequence[str]) -> Moment | None:
        """Ask the broker, whatever is remembered."""
        answers = await self._retrying.call(
            "next_due",
            lambda: self._quarantine.serve(queues, self._broker.next_due),
            stop=self._stopping,
        )
        return min((moment for moment in answers if moment is not None), default=None)
