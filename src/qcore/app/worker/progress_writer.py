"""Write what runs report, progress and partial work, from the worker to the broker."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from qcore.app.client.division import divided
from qcore.app.client.inline import run_inline
from qcore.app.client.wakeup import Wakeup, first_completed
from qcore.app.tasks.run_details import progress_note, saved_note
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import Retrying
from qcore.domain.answers import LeaseLost
from qcore.domain.errors import InvalidTask
from qcore.domain.events import BrokerFailed
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Lease
from qcore.ports import Broker, Clock

WRITE_INTERVAL: Final = 0.5
"""Seconds between two calls that write progress."""
FLUSH_TIMEOUT: Final = 1.0
"""Seconds for which a verdict waits until the progress of its run is written."""

_Answer: TypeAlias = DetailsSaved | LeaseLost | Exception


class ProgressWriter:
    """Write the newest progress of all runs in one call, and partial work at once.

    The first progress is written soon, what comes after it no sooner than half a second later;
    what still waits when a run ends is written before its verdict. A failure to write progress is
    sent to instruments, and harms no task.

    Made on the worker's event loop. `blocking` is the same broker with a link that blocks, for
    handlers in threads; `lost` is called with a lease that turns out to be lost.
    """

    def __init__(
        self,
        broker: Broker,
        blocking: Broker,
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
        *,
        max_saved: int,
        lost: Callable[[str, int], None],
    ) -> None:
        self._broker = broker
        self._blocking = blocking
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._max_saved = max_saved
        self._lost = lost
        self._lock = threading.Lock()
        """Guards `_waiting`, which handlers in threads write to."""
        self._waiting: dict[tuple[str, int], DetailsUpdate] = {}
        self._writing = asyncio.Lock()
        self._wakeup = Wakeup(asyncio.get_running_loop())

    # --- what contexts of runs call ------------------------------------------------------------

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Keep how far a run has come, to be written soon. Thread-safe."""
        update = progress_note(lease, self._clock.now(), fraction, message)
        with self._lock:
            self._waiting[lease.queue, lease.token] = update
        self._wakeup()

    async def save(self, lease: Lease, data: bytes) -> None:
        """Write partial work; raise CancelledError where the lease is lost: the run is over."""
        update = saved_note(lease, data, self._max_saved)
        answers = await self._broker.save_details([update])
        if self._report_lost([update], answers):
            # let the reported loss cancel the run first, so that its reason is known
            await asyncio.sleep(0)
            raise asyncio.CancelledError("the lease was lost: this run is over")

    def save_sync(self, lease: Lease, data: bytes) -> None:
        """Do what `save` does, in a thread."""
        update = saved_note(lease, data, self._max_saved)
        answers = run_inline(self._blocking.save_details([update]))
        if self._report_lost([update], answers):
            raise asyncio.CancelledError("the lease was lost: this run is over")

    async def saved(self, lease: Lease) -> bytes | None:
        """Return the partial work that was saved last."""
        return _saved(await self._broker.details(lease.queue, [lease.id]))

    def saved_sync(self, lease: Lease) -> bytes | None:
        """Do what `saved` does, in a thread."""
        return _saved(run_inline(self._blocking.details(lease.queue, [lease.id])))

    # --- what the worker calls -----------------------------------------------------------------

    async def serve(self) -> None:
        """Write progress as it comes, until cancelled."""
        while True:
            await self._wakeup.wait()
            await self._retrying.call("save_details", self._write)
            await self._clock.sleep(WRITE_INTERVAL)

    @property
    def has_any(self) -> bool:
        """Whether any progress waits to be written."""
        return bool(self._waiting)

    async def flush(self, leases: Iterable[Lease]) -> None:
        """Try to write the progress of these runs before their verdicts; then forget it."""
        keys = [(lease.queue, lease.token) for lease in leases]
        with self._lock:
            if self._waiting.keys().isdisjoint(keys):
                return
        await first_completed(self._try_to_write(), self._clock.sleep(FLUSH_TIMEOUT))
        with self._lock:
            for key in keys:
                self._waiting.pop(key, None)

    async def _try_to_write(self) -> None:
        try:
            await self._write()
        except Exception as error:  # noqa: BLE001  (a verdict is worth more than progress)
            self._emit(BrokerFailed("save_details", error, 0.0))

    async def _write(self) -> None:
        """Write all that waits; what could not be written waits on, if nothing newer does."""
        # one call at a time, so that the newest is written last
        async with self._writing:
            with self._lock:
                updates, self._waiting = self._waiting, {}
            if not updates:
                return
            try:
                lost = await self._save([*updates.values()])
            except BaseException:
                with self._lock:
                    self._waiting = updates | self._waiting
                raise
        for lease in lost:
            self._lost(lease.queue, lease.token)

    async def _save(self, updates: Sequence[DetailsUpdate]) -> list[Lease]:
        """Write updates; return the leases that are lost. What the broker refuses is reported."""
        try:
            answers: Sequence[_Answer] = await self._broker.save_details(updates)
        except Exception as error:  # noqa: BLE001  (whatever a broker raises)
            answers = await divided(
                self._broker.save_details,
                updates,
                error,
                queue_of=lambda update: update.lease.queue,
            )
        for answer in answers:
            if isinstance(answer, InvalidTask):
                self._emit(BrokerFailed("save_details", answer, 0.0))
            elif isinstance(answer, Exception):
                raise answer
        return _lost_leases(updates, answers)

    def _report_lost(self, updates: Sequence[DetailsUpdate], answers: Sequence[_Answer]) -> bool:
        """Report the leases that turned out to be lost; return whether there are any."""
        lost = _lost_leases(updates, answers)
        for lease in lost:
            self._lost(lease.queue, lease.token)
        return bool(lost)


def _lost_leases(updates: Sequence[DetailsUpdate], answers: Sequence[_Answer]) -> list[Lease]:
    return [
        update.lease
        for update, answer in zip(updates, answers, strict=True)
        if isinstance(answer, LeaseLost)
    ]


def _saved(details: Sequence[Details | None]) -> bytes | None:
    return None if details[0] is None else details[0].saved
