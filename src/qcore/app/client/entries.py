"""Entries of periodic tasks, at run time: add, change, pause, run, remove and list them."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, Unpack

from attrs import evolve

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.periodic_task import EntryOptions, PeriodicTask, entry_fields, schedule_of
from qcore.app.client.auditing import Attribution, Auditor, Emit
from qcore.app.client.client import Client
from qcore.app.client.handles import Handle
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.lifecycle import State
from qcore.domain.moments import Duration, Moment
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.periodic.changes import EntryChange, EntryWritten
from qcore.domain.periodic.editing import added, paused, resumed, run_by_hand
from qcore.domain.periodic.entry import Entry, FoundEntry, StoredEntry, TickRecord
from qcore.domain.record import record
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.schedules.texts import schedule_from
from qcore.ports import Periodic, periodic_of

PAGE: Final = 500
"""Entries that are read in one call."""
ATTEMPTS: Final = 100
"""How often a change is decided anew, as others change the entry, before it is given up."""


class EntryStatus(StrEnum):
    """What an entry does."""

    ACTIVE = "active"
    """It ticks."""
    WAITING = "waiting"
    """Its tick waits for the end of the last task."""
    PAUSED = "paused"
    ENDED = "ended"
    """No tick is to come."""
    STALE = "stale"
    """No code declares it any more: it does not tick, and is removed after a week."""
    UNREADABLE = "unreadable"
    """A newer qcore has stored it, or somebody by hand: it is never fired here."""


@record
class TickOutcome:
    """A tick that has been, and what has become of its task."""

    tick: TickRecord
    state: State | None = None
    """Where its task is; None where none was made, or it is no longer stored."""
    error: str | None = None
    """What its task's last failure said."""


@record
class ListedEntry:
    """An entry of a periodic task, as it is shown."""

    queue: str
    name: str
    status: EntryStatus
    schedule: str = ""
    """In words."""
    entry: Entry | None = None
    """What was asked for; None of one that cannot be read."""
    next: Moment | None = None
    """The next tick; None where none is to come, or it is paused."""
    runs: int = 0
    """Tasks made by ticks."""
    history: tuple[TickOutcome, ...] = ()
    """The last ticks, the latest first."""
    why: str = ""
    """Why it cannot be read."""


class Entries:
    """The entries of periodic tasks in a broker; reads and writes what all schedulers share.

    What changes an entry takes `by`, who does it, and the `reason`: instruments are told of both,
    with an `Operated`.
    """

    def __init__(self, client: Client, *, emit: Emit | None = None, by: str | None = None) -> None:
        self._client = client
        self._auditor = Auditor(emit, by)

    async def put(
        self,
        schedule: "str | Duration | Schedule",
        request: TaskRequest,
        *,
        name: str | None = None,
        tz: str | None = None,
        by: str | None = None,
        reason: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> ListedEntry:
        """Add a periodic task, or change the one of its name and queue; return it as it is shown.

        The arguments are those of `PeriodicTask`. Of an entry that is there, its history is kept,
        and whether it is paused; with another schedule it goes on from now. Raises `InvalidTask` or
        `InvalidOption` for what makes no sense; then nothing is changed.
        """
        task = PeriodicTask(schedule, request, name=name, tz=tz, **options)
        return await self.store(task, by=by, reason=reason)

    async def store(
        self, task: PeriodicTask, *, by: str | None = None, reason: str | None = None
    ) -> ListedEntry:
        """Do what `put` does, of a periodic task as a value."""
        who = self._auditor.attribution(by, reason)
        periodic = await self._opened()
        entry = task.entry(self._client.build(task.request, self._client.clock.now()), None)

        def decide(found: FoundEntry | None, now: Moment) -> EntryChange:
            return added(found, entry, task.schedule, now)

        await self._write(periodic, entry.queue, entry.id, decide)
        self._tell(who, "write entry", entry.queue, entry.id)
        return await self._shown(periodic, entry.queue, entry.id)

    async def change(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        schedule: "str | Duration | Schedule | None" = None,
        tz: str | None = None,
        by: str | None = None,
        reason: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> ListedEntry | None:
        """Change the schedule or options of an entry, and leave the rest; None if there is none.

        One that code declares is as declared again when the code is next started.
        """
        who = self._auditor.attribution(by, reason)
        fields: dict[str, Any] = entry_fields(options)
        if schedule is not None:
            fields["schedule"] = schedule_of(schedule, tz).spelled()

        def decide(found: StoredEntry, now: Moment) -> EntryChange:
            entry = evolve(found.entry, **fields)
            return added(found, entry, schedule_from(entry.schedule), now)

        return await self._edit(who, "change entry", queue, name, decide)

    async def pause(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> ListedEntry | None:
        """Have an entry tick no more until it is resumed; None if there is none."""
        who = self._auditor.attribution(by, reason)

        def decide(found: StoredEntry, _: Moment) -> EntryChange:
            return paused(found)

        return await self._edit(who, "pause entry", queue, name, decide)

    async def resume(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> ListedEntry | None:
        """Have an entry tick again from now on: what it was paused for is not missed."""
        who = self._auditor.attribution(by, reason)

        def decide(found: StoredEntry, now: Moment) -> EntryChange:
            return resumed(found, schedule_from(found.entry.schedule), now)

        return await self._edit(who, "resume entry", queue, name, decide)

    async def run_now(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> Handle[Any] | None:
        """Make an entry's task now, beside its schedule; None if there is no such entry."""
        who = self._auditor.attribution(by, reason)
        periodic = await self._opened()
        change = await self._change(periodic, queue, name, run_by_hand)
        if change is None:
            return None
        self._tell(who, "run entry", queue, name)
        return self._client.handle(queue, change.tasks[0].id)

    async def remove(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        by: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Remove an entry, also one that cannot be read; return whether there was one.

        Its tasks stay. One that code declares comes again when the code is next started.
        """
        who = self._auditor.attribution(by, reason)
        periodic = await self._opened()

        def decide(found: FoundEntry | None, _: Moment) -> EntryChange | None:
            return None if found is None else EntryChange(queue, name, found.revision, None)

        if await self._write(periodic, queue, name, decide) is None:
            return False
        self._tell(who, "remove entry", queue, name)
        return True

    async def get(self, name: str, *, queue: str = DEFAULT_QUEUE) -> ListedEntry | None:
        """Return an entry with the outcomes of its last ticks; None if there is none."""
        periodic = await self._opened()
        [found] = await periodic.entries(queue, [name])
        if found is None:
            return None
        listed = listed_entry(found, self._client.clock.now())
        if not isinstance(found, StoredEntry):
            return listed
        return evolve(listed, history=await self._outcomes(found))

    async def list(self, queue: str | None = None) -> Sequence[ListedEntry]:
        """Return the entries of a queue, or of all, in the order of queues and names.

        Their histories are without the outcomes; `get` has those too.
        """
        periodic = await self._opened()
        queues = await periodic.entry_queues() if queue is None else [queue]
        now = self._client.clock.now()
        return [
            listed_entry(found, now)
            for each in queues
            for found in await browse_all(periodic, each)
        ]

    async def _outcomes(self, found: StoredEntry) -> tuple[TickOutcome, ...]:
        ticks = found.state.history[::-1]
        ids = [tick.task for tick in ticks if tick.task is not None]
        tasks = await self._client.broker.get(found.queue, ids)
        by_id = {task.id: task for task in tasks if task is not None}
        outcomes: list[TickOutcome] = []
        for tick in ticks:
            task = by_id.get(tick.task or "")
            outcomes.append(
                TickOutcome(tick) if task is None else TickOutcome(tick, task.state, task.error)
            )
        return tuple(outcomes)

    async def _shown(self, periodic: Periodic, queue: str, name: str) -> ListedEntry:
        [found] = await periodic.entries(queue, [name])
        if found is None:
            raise QcoreError(f"the periodic task {name!r} was removed by somebody else meanwhile")
        return listed_entry(found, self._client.clock.now())

    async def _edit(
        self,
        who: Attribution,
        action: str,
        queue: str,
        name: str,
        decide: Callable[[StoredEntry, Moment], EntryChange],
    ) -> ListedEntry | None:
        periodic = await self._opened()
        if await self._change(periodic, queue, name, decide) is None:
            return None
        self._tell(who, action, queue, name)
        return await self._shown(periodic, queue, name)

    async def _change(
        self,
        periodic: Periodic,
        queue: str,
        name: str,
        decide: Callable[[StoredEntry, Moment], EntryChange],
    ) -> EntryChange | None:
        """Write what is decided of an entry that is there; None if there is none."""

        def decide_readable(found: FoundEntry | None, now: Moment) -> EntryChange | None:
            if found is None:
                return None
            if not isinstance(found, StoredEntry):
                raise InvalidOption(
                    f"the periodic task {name!r} cannot be read: {found.why}; it can be removed"
                )
            return decide(found, now)

        return await self._write(periodic, queue, name, decide_readable)

    async def _write(
        self,
        periodic: Periodic,
        queue: str,
        name: str,
        decide: Callable[[FoundEntry | None, Moment], EntryChange | None],
    ) -> EntryChange | None:
        """Read an entry, decide and write, again while others are faster; return the change."""
        for _ in range(ATTEMPTS):
            [found] = await periodic.entries(queue, [name])
            now = self._client.clock.now()
            change = decide(found, now)
            if change is None:
                return None
            [answer] = await periodic.write_entries([change], now=now)
            if isinstance(answer, EntryWritten):
                return change
        raise QcoreError(f"the periodic task {name!r} keeps being changed by others: try again")

    def _tell(self, who: Attribution, action: str, queue: str, name: str) -> None:
        self._auditor.tell(who, action, queue, self._client.clock.now(), entry=name)

    async def _opened(self) -> Periodic:
        await self._client.open()
        periodic = periodic_of(self._client.broker)
        if periodic is None:
            raise InvalidOption("this broker has no periodic tasks")
        return periodic


async def browse_all(periodic: Periodic, queue: str) -> list[FoundEntry]:
    """Return all entries of a queue, read page by page."""
    found: list[FoundEntry] = []
    while page := await periodic.browse_entries(queue, PAGE, after=found[-1].id if found else ""):
        found += page
        if len(page) < PAGE:
            break
    return found


def listed_entry(found: FoundEntry, now: Moment) -> ListedEntry:
    """Return an entry as it is shown."""
    if not isinstance(found, StoredEntry):
        return ListedEntry(found.queue, found.id, EntryStatus.UNREADABLE, why=found.why)
    entry, state = found.entry, found.state
    try:
        words = schedule_from(entry.schedule).describe()
    except InvalidOption as error:
        # a zone that this machine does not know, or a schedule of a newer qcore
        return ListedEntry(
            found.queue, found.id, EntryStatus.UNREADABLE, entry.schedule, entry, why=str(error)
        )
    return ListedEntry(
        found.queue,
        found.id,
        _status(found, now),
        words,
        entry,
        None if state.is_paused else state.next,
        state.runs,
        tuple(TickOutcome(tick) for tick in state.history[::-1]),
    )


def _status(found: StoredEntry, now: Moment) -> EntryStatus:
    state = found.state
    if found.is_stale(now):
        return EntryStatus.STALE
    if state.is_paused:
        return EntryStatus.PAUSED
    if state.next is None:
        return EntryStatus.ENDED
    return EntryStatus.WAITING if state.is_waiting else EntryStatus.ACTIVE
