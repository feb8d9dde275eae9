"""Stop a worker: drain what runs within the grace, release the rest, flush the last verdicts."""

import asyncio
from typing import Final

from qcore.app.client.wakeup import first_completed
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.error_hooks import ErrorHooks
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.outbox import Outbox
from qcore.app.worker.run import Run
from qcore.app.worker.settings import WorkerSettings
from qcore.domain.events import WorkerStopped, WorkerStopping
from qcore.domain.transitions import Released
from qcore.ports import Clock

CANCEL_TIMEOUT: Final = 1.0
"""Seconds, of real time, that a handler has to end after it was cancelled at shutdown."""
AT_ONCE_TIMEOUT: Final = 1.0
"""Seconds, of real time, that calls to the broker have left once `stop(at_once=True)` was asked."""


class Shutdown:
    """The steps between the request to stop and the end of `Worker.run`."""

    def __init__(
        self,
        running: set[Run],
        outbox: Outbox,
        settings: WorkerSettings,
        *,
        hooks: ErrorHooks,
        control: WorkerControl,
        clock: Clock,
        emit: Instruments,
    ) -> None:
        self._running = running
        self._outbox = outbox
        self._grace = settings.grace
        self._lease = settings.lease
        self._hooks = hooks
        self._control = control
        self._clock = clock
        self._emit = emit

    async def claim_timeout(self) -> None:
        """Return when a worker that is to stop has waited long enough for a claim in flight."""
        await self._control.stopping.wait()
        await first_completed(self._clock.sleep(self._grace), self._at_once_timeout())

    async def drain(self) -> None:
        """Let runs end within the grace, release the others, and write the last verdicts."""
        self._emit(WorkerStopping(self._grace, len(self._running)))
        await first_completed(
            self._clock.sleep(self._control.rest_of(self._grace)),
            self._control.stopping_at_once.wait(),
            self._all_ended(),
        )
        released = await self._release()
        # after that their leases are over, and another worker may have the tasks
        self._outbox.give_up_at = self._clock.monotonic() + self._lease
        # a second request does not wait for a broker that is unavailable; nor does anybody, for
        # longer than a lease, for a call that hangs
        await first_completed(
            self._outbox.emptied(), self._at_once_timeout(), self._clock.sleep(self._lease)
        )
        self._emit(WorkerStopped(released))

    async def _release(self) -> int:
        """Cancel what still runs and give its tasks back, no budget burned; return how many."""
        if not self._running:
            return 0
        # the verdict on a run whose handler has ended stands: it waits for error hooks alone
        runs = [run for run in self._running if not run.has_ended]
        for run in runs:
            run.cancel(CancelReason.SHUTDOWN)
        self._hooks.abandon()
        await asyncio.wait(self._coroutines(), timeout=CANCEL_TIMEOUT)
        for run in list(self._running):
            # its handler ignores the cancellation: the task is released all the same, and a
            # daemon thread ends with this process
            self._running.discard(run)
            if not run.has_lost_lease:
                self._outbox.put(run, Released())
        return sum(not run.has_lost_lease for run in runs)

    async def _all_ended(self) -> None:
        while self._running:
            await asyncio.wait(self._coroutines(), return_when=asyncio.FIRST_COMPLETED)

    async def _at_once_timeout(self) -> None:
        await self._control.stopping_at_once.wait()
        await asyncio.sleep(AT_ONCE_TIMEOUT)

    def _coroutines(self) -> list[asyncio.Task[None]]:
        return [run.coroutine for run in self._running if run.coroutine is not None]
