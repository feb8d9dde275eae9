"""Builders of entries of periodic tasks, and short forms of the verbs that write them."""

from collections.abc import Sequence
from math import floor
from typing import Any, Final

from attrs import evolve

from qcore.domain.moments import Moment
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask
from qcore.domain.periodic.changes import (
    DueEntries,
    EntryAnswer,
    EntryChange,
    EntryConflict,
    EntryWritten,
)
from qcore.domain.periodic.editing import added
from qcore.domain.periodic.entry import Entry, EntryId, FoundEntry, StoredEntry, Ticks
from qcore.domain.periodic.ticking import decide, removal
from qcore.domain.record import record
from qcore.ports import Broker
from qcore.testing.builders import NOW
from qcore.testing.optional_ports import periodic


@record
class EverySoOften:
    """A schedule that ticks at each multiple of so many seconds."""

    seconds: float = 60.0

    def after(self, moment: Moment) -> Moment | None:
        """Return the next multiple."""
        return (floor(moment / self.seconds) + 1) * self.seconds


MINUTELY: Final = EverySoOften()
"""`NOW` is one of its ticks."""


def an_entry(
    id: EntryId = "report",  # noqa: A002  (what it is called)
    *,
    queue: str = DEFAULT_QUEUE,
    task: dict[str, Any] | None = None,
    **options: Any,
) -> Entry:
    """Return an entry with the defaults for all that is not named; `task` are its task's."""
    asked: dict[str, Any] = {"name": "test:task", **(task or {})}
    options.setdefault("schedule", "* * * * *")
    return Entry(NewTask(id=id, queue=queue, **asked), **options)


async def write(broker: Broker, change: EntryChange | None, *, now: Moment = NOW) -> EntryAnswer:
    """Write one change; fail where there is none."""
    assert change is not None, "there was nothing to change"
    answers = await periodic(broker).write_entries([change], now=now)
    assert len(answers) == 1
    return answers[0]


async def written(broker: Broker, change: EntryChange | None, *, now: Moment = NOW) -> EntryWritten:
    """Write one change; fail unless it is made."""
    answer = await write(broker, change, now=now)
    assert isinstance(answer, EntryWritten)
    return answer


async def put_entry(
    broker: Broker, entry: Entry, *, schedule: Ticks = MINUTELY, now: Moment = NOW
) -> StoredEntry:
    """Add an entry, or change the one that is there; return it as it is stored."""
    found = await find_entry(broker, entry.id, queue=entry.queue)
    await written(broker, added(found, entry, schedule, now), now=now)
    return await stored_entry(broker, entry.id, queue=entry.queue)


async def find_entry(
    broker: Broker, entry: EntryId = "report", *, queue: str = DEFAULT_QUEUE
) -> FoundEntry | None:
    """Return what lies under an id."""
    found = await periodic(broker).entries(queue, [entry])
    assert len(found) == 1
    return found[0]


async def stored_entry(
    broker: Broker, entry: EntryId = "report", *, queue: str = DEFAULT_QUEUE
) -> StoredEntry:
    """Return an entry; fail unless there is one that can be read."""
    found = await find_entry(broker, entry, queue=queue)
    assert isinstance(found, StoredEntry), f"there is no entry {entry}: {found}"
    return found


async def due(
    broker: Broker, *queues: str, limit: int = 1_000, now: Moment = NOW + 60
) -> DueEntries:
    """Return the entries of the default queue, or of these, that are due."""
    return await periodic(broker).due_entries(queues or (DEFAULT_QUEUE,), limit, now=now)


async def decided(
    broker: Broker, *queues: str, schedule: Ticks = MINUTELY, now: Moment = NOW + 60
) -> list[EntryChange]:
    """Look, and return what a scheduler decides of what is due."""
    found = (await due(broker, *queues, now=now)).entries
    changes = (decide(each.stored, schedule, now=now, lives=each.lives) for each in found)
    return [change for change in changes if change is not None]


async def tick(
    broker: Broker, *queues: str, schedule: Ticks = MINUTELY, now: Moment = NOW + 60
) -> Sequence[EntryAnswer]:
    """Do what a scheduler does when it wakes: look, decide, write; return the answers."""
    changes = await decided(broker, *queues, schedule=schedule, now=now)
    return await periodic(broker).write_entries(changes, now=now)


def removed(stored: StoredEntry) -> EntryChange:
    """Return the change that removes an entry."""
    return removal(stored)


def with_revision(stored: StoredEntry, revision: str = "") -> StoredEntry:
    """Return an entry as if it had another revision, to compare two of them."""
    return evolve(stored, revision=revision)


def made(answers: Sequence[EntryAnswer]) -> int:
    """Return how many changes were made."""
    return sum(not isinstance(answer, EntryConflict) for answer in answers)


def changed_entry(seen: StoredEntry | None, stored: StoredEntry) -> EntryChange:
    """Return the change that puts an entry in the place of what was seen."""
    revision = None if seen is None else seen.revision
    return EntryChange(stored.queue, stored.id, revision, stored)
