"""Look at the entries that are due, decide what becomes of them, and write it."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache
from typing import Final

from qcore.app.worker.instruments import Instruments
from qcore.app.worker.quarantine import Quarantine
from qcore.domain.answers import Duplicate
from qcore.domain.errors import BrokerRefused, InvalidOption
from qcore.domain.events import PeriodicFailed, PeriodicMissed, PeriodicTicked
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import (
    DueEntries,
    DueEntry,
    EntryAnswer,
    EntryChange,
    EntryWritten,
)
from qcore.domain.periodic.editing import duplicated, refused
from qcore.domain.periodic.entry import Entry, StoredEntry
from qcore.domain.periodic.ticking import decide
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.schedules.texts import schedule_from
from qcore.ports import Clock, Periodic

LIMIT: Final = 500
"""Entries that are looked at in one call."""
PASSES: Final = 1_000
"""How often due entries are looked for in one go, before others have their turn."""
MAX_WARNED: Final = 1_000

cached_schedule: Final[Callable[[str], Schedule]] = lru_cache(4_096)(schedule_from)
"""Return the schedule of an entry's text."""


class Ticker:
    """Carry out what is due; `may_tick` says of an entry whether its ticks are made here.

    Suspends only in the broker: over one from `blocking()` it never does.
    """

    def __init__(
        self,
        periodic: Periodic,
        *,
        clock: Clock,
        quarantine: Quarantine,
        emit: Instruments,
        may_tick: Callable[[Entry], bool],
    ) -> None:
        self._periodic = periodic
        self._clock = clock
        self._quarantine = quarantine
        self._emit = emit
        self._may_tick = may_tick
        self._warned: set[tuple[str, str]] = set()

    def over(self, periodic: Periodic) -> "Ticker":
        """Return the same over another broker on the store; what was reported is not again."""
        other = copy(self)
        other._periodic = periodic  # noqa: SLF001  (it is of this class)
        return other

    async def tick(self, queues: Sequence[str]) -> Moment | None:
        """Make the ticks that are due; return when the next entry is to be looked at."""
        for _ in range(PASSES):
            now = self._clock.now()
            found = await self._due(queues, now)
            changes = [
                change for due in found.entries if (change := self._decided(due, now)) is not None
            ]
            wakes = await self._write(changes, now)
            if not changes or not (len(found.entries) >= LIMIT or any(w <= now for w in wakes)):
                return min([*wakes, *([] if found.next is None else [found.next])], default=None)
        return self._clock.now()

    async def _due(self, queues: Sequence[str], now: Moment) -> DueEntries:
        """Return what is due in those of the queues that can be read."""
        answers = await self._quarantine.serve(
            queues, lambda some: self._periodic.due_entries(some, LIMIT, now=now)
        )
        return DueEntries(
            [due for each in answers for due in each.entries],
            min((each.next for each in answers if each.next is not None), default=None),
        )

    def _decided(self, due: DueEntry, now: Moment) -> EntryChange | None:
        """Return what is to become of an entry; None of one that others see to."""
        stored = due.stored
        if not (self._may_tick(stored.entry) or stored.is_stale(now)):
            return None
        try:
            schedule = cached_schedule(stored.entry.schedule)
        except InvalidOption as error:
            self._warn(stored, error)
            return None
        return decide(stored, schedule, now=now, lives=due.lives)

    async def _write(self, changes: Sequence[EntryChange], now: Moment) -> list[Moment]:
        """Write changes; return when their entries are to be looked at again."""
        if not changes:
            return []
        try:
            answers = await self._periodic.write_entries(changes, now=now)
        except BrokerRefused as error:
            if len(changes) == 1:
                return await self._write_refused(changes[0], error, now)
            return [wake for each in changes for wake in await self._write([each], now)]
        for change, answer in zip(changes, answers, strict=True):
            await self._tell(change, answer, now)
        return [
            change.entry.state.wake
            for change in changes
            if change.entry is not None and change.entry.state.wake is not None
        ]

    async def _write_refused(
        self, change: EntryChange, error: BrokerRefused, now: Moment
    ) -> list[Moment]:
        """Let an entry go on whose tasks the store does not take."""
        if change.entry is None or not change.tasks:
            raise error
        self._warn(change.entry, error)
        return await self._write([refused(change, change.entry, str(error))], now)

    async def _tell(self, change: EntryChange, answer: EntryAnswer, now: Moment) -> None:
        if not isinstance(answer, EntryWritten) or change.entry is None:
            return
        if change.missed:
            self._emit(PeriodicMissed(change.entry, change.missed))
        if not change.tasks:
            return
        self._emit(PeriodicTicked(change.entry, change.tasks, answer.admissions))
        last = answer.admissions[-1]
        if isinstance(last, Duplicate):
            again = duplicated(change.entry, answer.revision or "", last)
            await self._periodic.write_entries([again], now=now)

    def _warn(self, stored: StoredEntry, error: Exception) -> None:
        """Report an entry that cannot be carried out here, once."""
        key = stored.queue, stored.id
        if key not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(key)
            self._emit(PeriodicFailed(stored.queue, stored.id, error))
