"""Have the broker move what time has moved, above all the tasks of crashed workers."""

import asyncio
from collections.abc import Sequence
from random import SystemRandom
from typing import Final

from qcore.app.worker.heartbeat import Heartbeat
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import Retrying
from qcore.app.worker.settings import WorkerSettings
from qcore.app.worker.sweep_horizon import SweepHorizon
from qcore.domain.answers import Swept
from qcore.domain.events import TasksSwept
from qcore.ports import Broker, Capability, Clock

SWEEP_LIMIT: Final = 1_000
"""Tasks of a kind that one call moves in a queue, so that no call blocks the store for long."""
SWEEPS_PER_LEASE: Final = 6
JITTER: Final = 0.1
"""Share of the interval by which each pause varies, so that workers do not sweep all at once."""


class Sweeper:
    """Sweep a worker's queues every `interval` seconds, give or take a tenth.

    At least six times a lease, so that `SweepHorizon` can tell a sweep that comes late from one
    that is in time. Before a sweep that may take tasks whose leases have ended, the worker renews
    its own.
    """

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        settings: WorkerSettings,
        *,
        heartbeat: Heartbeat,
        quarantine: Quarantine,
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._interval = min(settings.sweep_every, settings.lease / SWEEPS_PER_LEASE)
        self._heartbeat = heartbeat
        self._quarantine = quarantine
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._horizon = SweepHorizon(
            clock, settings.lease, has_others=Capability.SHARED in broker.capabilities
        )
        self.has_judged = asyncio.Event()
        """Set once a sweep was made that could take tasks of crashed workers."""

    async def serve(self) -> None:
        """Sweep until cancelled; again at once while there is more than one call moves."""
        while True:
            answers = await self._retrying.call("sweep", self._sweep)
            for swept in answers:
                if swept.crashed or swept.expired or swept.trimmed:
                    self._emit(TasksSwept(swept))
            if not any(swept.more for swept in answers):
                await self._pause()

    async def _sweep(self) -> Sequence[Swept]:
        """Sweep each queue once."""
        self._moment = self._horizon.begin()
        try:
            answers = await self._quarantine.serve(self._queues, self._call)
        except BaseException:
            self._horizon.disturbed()
            raise
        self._horizon.answered()
        if self._horizon.is_clear:
            self.has_judged.set()
        return answers

    async def _call(self, queues: Sequence[str]) -> Swept:
        # what could not be served could not be renewed by anybody
        moment = self._moment if self._quarantine.fit(queues) else 0.0
        await self._heartbeat.renew_endangered(self._broker, queues)
        return await self._broker.sweep(queues, SWEEP_LIMIT, now=moment)

    async def _pause(self) -> None:
        # the system's dice, not the worker's: those are scripted in tests of retries
        seconds = self._interval * SystemRandom().uniform(1 - JITTER, 1 + JITTER)
        if (left := self._horizon.seconds_left) > 0:
            seconds = min(seconds, left)
        await self._clock.sleep_until(self._quarantine.next_retry(), at_most=seconds)
