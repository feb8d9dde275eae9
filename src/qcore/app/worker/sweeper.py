"""Have the broker move what time has moved, above all the tasks of crashed workers."""

from collections.abc import Sequence
from random import SystemRandom
from typing import Final

from qcore.app.worker.instruments import Instruments
from qcore.app.worker.outbox import Outbox
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import Retrying
from qcore.domain.answers import Swept
from qcore.domain.events import TasksSwept
from qcore.ports import Clock, Consumer

SWEEP_LIMIT: Final = 1_000
"""Tasks of a kind that one call moves in a queue, so that no call blocks the store for long."""
JITTER: Final = 0.1
"""Share of the interval by which each pause varies, so that workers do not sweep all at once."""


class Sweeper:
    """Sweep a worker's queues every `interval` seconds, give or take a tenth."""

    def __init__(
        self,
        broker: Consumer,
        queues: Sequence[str],
        interval: float,
        *,
        quarantine: Quarantine,
        outbox: Outbox,
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._interval = interval
        self._quarantine = quarantine
        self._outbox = outbox
        self._clock = clock
        self._retrying = retrying
        self._emit = emit

    async def serve(self) -> None:
        """Sweep until cancelled; again at once while there is more than one call moves."""
        while True:
            # verdicts that waited for an unavailable broker go first: a sweep would take their
            # tasks, whose leases have run out, for crashed
            await self._outbox.emptied()
            if not await self._sweep():
                # the system's dice, not the worker's: those are scripted in tests of retries
                jitter = SystemRandom().uniform(1 - JITTER, 1 + JITTER)
                await self._clock.sleep_until(self._clock.now() + self._interval * jitter)

    async def _sweep(self) -> bool:
        """Sweep each queue once; return whether there is more."""
        answers = await self._retrying.call(
            "sweep", lambda: self._quarantine.serve(self._queues, self._call)
        )
        for swept in answers:
            if swept.crashed or swept.expired:
                self._emit(TasksSwept(swept))
        return any(swept.more for swept in answers)

    async def _call(self, queues: Sequence[str]) -> Swept:
        return await self._broker.sweep(queues, SWEEP_LIMIT, now=self._clock.now())
