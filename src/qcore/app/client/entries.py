"""Entries of periodic tasks, at run time: add, change, pause, run, remove and list them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Unpack

from attrs import evolve

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.periodic_task import EntryOptions, PeriodicTask, entry_fields, schedule_of
from qcore.app.client.auditing import Attribution, Auditor, Emit
from qcore.app.client.client import Client
from qcore.app.client.entry_listing import (
    DEFAULT_ENTRIES,
    EntryPage,
    EntrySearch,
    EntryStatus,
    ListedEntry,
    TickOutcome,
    browse_all,
    entry_page,
    listed_entry,
)
from qcore.app.client.handles import Handle
from qcore.app.client.selection import page_cursor
from qcore.app.client.task_listing import one_or_more
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.moments import Duration, Moment
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.periodic.changes import EntryChange, EntryWritten
from qcore.domain.periodic.editing import added, paused, resumed, run_by_hand
from qcore.domain.periodic.entry import FoundEntry, StoredEntry
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.schedules.texts import schedule_from
from qcore.ports import Periodic, periodic_of

ATTEMPTS: Final = 100
"""How often a change is decided anew, as others change the entry, before it is given up."""


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

    async def page(
        self,
        *,
        limit: int = DEFAULT_ENTRIES,
        cursor: str | None = None,
        text: str = "",
        status: EntryStatus | None = None,
    ) -> EntryPage:
        """Return some entries of all queues, in the order of `list`; the cursor asks for the next.

        `text` stands in the names of the entry, of its task or of its queue. One page looks at no
        more than some 2,000 entries, and may show none of them though more are to come. Raises
        `InvalidOption` for a limit or a cursor that makes no sense.
        """
        limit, cursor = one_or_more("limit", limit), page_cursor(cursor)
        periodic = await self._opened()
        search = EntrySearch(text, status)
        return await entry_page(periodic, self._client.clock.now(), limit, cursor, search)

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
