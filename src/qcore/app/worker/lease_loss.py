"""Cancel a run whose lease is lost: its task is another worker's now, or was taken back."""

import asyncio
from contextlib import suppress

from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.run import Run
from qcore.domain.events import LeaseWasLost


class LeaseLoss:
    """Bring the news that a lease is lost to the event loop, and cancel the run there.

    Three sources report it: the heartbeat (from its thread), the broker's notifications (from any
    thread), and the progress writer.
    """

    def __init__(
        self, running: set[Run], loop: asyncio.AbstractEventLoop, emit: Instruments
    ) -> None:
        self._running = running
        self._loop = loop
        self._emit = emit

    def report(self, run: Run) -> None:
        """Cancel a run soon. Thread-safe."""
        # a subscription may outlive the loop for a moment, and a closed loop takes no calls
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel, run)

    def report_token(self, queue: str, token: int) -> None:
        """Cancel the run that has this lease, if one here does. Thread-safe."""
        # the event loop changes the set meanwhile; `copy` is one atomic step
        for run in self._running.copy():
            lease = run.claim.lease
            if (lease.token, lease.queue) == (token, queue):
                self.report(run)

    def _cancel(self, run: Run) -> None:
        if run in self._running:
            self._emit(LeaseWasLost(run.claim))
            run.cancel(CancelReason.LEASE_LOST)
