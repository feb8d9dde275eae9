"""What runs say of themselves, on its way from a worker to the broker."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from qcore.app.client.inline import run_inline
from qcore.app.client.wakeup import Wakeup, first
from qcore.app.tasks.run_details import progress_note, saved_note
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import Retrying
from qcore.domain.answers import LeaseLost
from qcore.domain.events import BrokerFailed
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Lease
from qcore.ports import Broker, Clock

EVERY: Final = 0.5
"""Seconds between two calls that write how far runs have come."""
LONGEST_WAIT: Final = 1.0
"""Seconds for which a verdict waits until what its run has said is written."""


class ProgressWriter:
    """Keep what runs say: progress the newest of each and all together, saved work at once.

    The first word of progress goes soon, and those after it no sooner than half a second later;
    what is still here when a run ends goes before its verdict. Trouble with progress is told to
    instruments, and harms no task.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
        *,
        max_saved: int,
        lost: Callable[[str, int], None],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._max_saved = max_saved
        self._lost = lost
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, int], DetailsUpdate] = {}
        self._writing = asyncio.Lock()
        self._wakeup: Callable[[], None] = _nobody
        self._blocking = broker

    # --- what runs call ------------------------------------------------------------------------

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Take note of how far a run has come. May be called from any thread."""
        note = progress_note(lease, self._clock.now(), fraction, message)
        with self._lock:
            self._waiting[lease.queue, lease.token] = note
        self._wakeup()

    async def save(self, lease: Lease, data: bytes) -> None:
        """Keep partial work; raise CancelledError where the lease is lost: the run is over."""
        note = saved_note(lease, data, self._max_saved)
        answers = await self._broker.save_details([note])
        if self._is_lost(note, answers):
            # who is cancelled is told why
            await asyncio.sleep(0)
            raise asyncio.CancelledError("the lease was lost: this run is over")

    def save_sync(self, lease: Lease, data: bytes) -> None:
        """Do what `save` does, in a thread."""
        note = saved_note(lease, data, self._max_saved)
        answers = run_inline(self._blocking.save_details([note]))
        if self._is_lost(note, answers):
            raise asyncio.CancelledError("the lease was lost: this run is over")

    async def saved(self, lease: Lease) -> bytes | None:
        """Return the work that was saved last."""
        return _saved(await self._broker.details(lease.queue, [lease.id]))

    def saved_sync(self, lease: Lease) -> bytes | None:
        """Return the work that was saved last, in a thread."""
        return _saved(run_inline(self._blocking.details(lease.queue, [lease.id])))

    # --- what the worker calls -----------------------------------------------------------------

    def open(self, blocking: Broker) -> None:
        """Get ready, on the loop that is to write; `blocking` is the broker for threads."""
        self._blocking = blocking
        self._writing = asyncio.Lock()
        self._wakeup = self._woken = Wakeup(asyncio.get_running_loop())

    async def serve(self) -> None:
        """Write what comes, for ever."""
        while True:
            await self._woken.wait()
            await self._retrying.call("save_details", self._write)
            await self._clock.sleep_until(self._clock.now() + EVERY)

    @property
    def has_any(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._waiting)

    async def written(self, leases: Iterable[Lease]) -> None:
        """Write what these runs have said, as well as may be: their verdicts wait for it."""
        keys = [(lease.queue, lease.token) for lease in leases]
        with self._lock:
            if self._waiting.keys().isdisjoint(keys):
                return
        longest = self._clock.now() + LONGEST_WAIT
        await first(self._tried(), self._clock.sleep_until(longest))
        with self._lock:
            for key in keys:
                self._waiting.pop(key, None)

    async def _tried(self) -> None:
        try:
            await self._write()
        except Exception as error:  # noqa: BLE001  (a verdict is worth more than a note)
            self._emit(BrokerFailed("save_details", error, 0.0))

    async def _write(self) -> None:
        """Write all that waits; what could not be written waits on, if nothing newer does."""
        # one after the other, so that the newest is the last
        async with self._writing:
            with self._lock:
                notes, self._waiting = self._waiting, {}
            if not notes:
                return
            try:
                answers = await self._broker.save_details(list(notes.values()))
            except BaseException:
                with self._lock:
                    self._waiting = notes | self._waiting
                raise
        for note, answer in zip(notes.values(), answers, strict=True):
            self._is_lost(note, [answer])

    def _is_lost(self, note: DetailsUpdate, answers: "Sequence[DetailsSaved | LeaseLost]") -> bool:
        """Say whether a run has lost its lease, and have it cancelled if so."""
        if not isinstance(answers[0], LeaseLost):
            return False
        self._lost(note.lease.queue, note.lease.token)
        return True


def _saved(details: Sequence[Details | None]) -> bytes | None:
    return None if details[0] is None else details[0].saved


def _nobody() -> None:
    """Wake nobody: the worker has not begun."""
