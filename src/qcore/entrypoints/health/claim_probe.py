"""Find out whether a worker can claim, by a claim of no tasks."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from qcore.app.worker.worker import Worker
from qcore.domain.errors import BrokerUnusable
from qcore.domain.retry import described
from qcore.domain.task import Demand
from qcore.ports import Broker, Clock

INTERVAL: Final = 5.0
"""Seconds between two probes."""
TIMEOUT: Final = 5.0
"""Seconds for a broker to answer one."""


class ClaimProbe:
    """Claim no tasks, every 5 seconds, and report what keeps that from working, or None.

    A claim with a limit of zero goes the way of every claim: over the worker's event loop and its
    connections, through the broker's script or transaction, which writes. A loop that is blocked
    makes no report at all.
    """

    def __init__(
        self, broker: Broker, clock: Clock, report: Callable[[str | None], object]
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._report = report

    async def serve(self, worker: Worker, queues: Sequence[str]) -> None:
        """Probe until cancelled."""
        while True:
            self._report("it is paused" if worker.is_paused else await self._obstacle(queues))
            await asyncio.sleep(INTERVAL)

    async def _obstacle(self, queues: Sequence[str]) -> str | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._claim_nothing(queues)
        except TimeoutError:
            return f"the broker has not answered for {TIMEOUT:g} s"
        except Exception as error:  # noqa: BLE001  (whatever keeps a broker from handing out tasks)
            return described(error)
        return None

    async def _claim_nothing(self, queues: Sequence[str]) -> None:
        """Raise what a claim raises, unless one queue at least can be served."""
        try:
            await self._claim_of(queues)
        except BrokerUnusable:
            # one queue that cannot be served fails a claim of all; a worker serves the others
            for queue in queues:
                with suppress(BrokerUnusable):
                    await self._claim_of([queue])
                    return
            raise

    async def _claim_of(self, queues: Sequence[str]) -> None:
        now = self._clock.now()
        await self._broker.claim(Demand(0, dict.fromkeys(queues, 0)), now=now, until=now)
