"""Import what was exported: each line is stored as it was, or not at all, and told of."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from attrs import define

from qcore.app.client.export_lines import (
    VERSION,
    BrokenLine,
    End,
    Header,
    Line,
    QueueLimits,
    decode,
    end_of,
    version_of,
)
from qcore.domain.answers import Conflict, Duplicate, Restoration, Restored
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import EntryChange, EntryWritten
from qcore.domain.periodic.entry import StoredEntry
from qcore.domain.queue_limits import NO_LIMITS, Limits, SetInFlight, SetPaused, SetRate
from qcore.domain.snapshots import TaskSnapshot
from qcore.ports import Broker, limiting_of, periodic_of

BATCH: Final = 100
"""Tasks that are stored in one call, and held in memory."""


class NotWhole(ValueError):
    """What is to be imported is no export, or not all of one; nothing was written."""


@define
class ImportReport:
    """What an import has written, and what not."""

    limits: int = 0
    tasks: int = 0
    entries: int = 0
    present: int = 0
    """What was there already, and was left as it is."""
    refused: int = 0
    """Lines of which nothing was written."""


def check_whole(lines: Iterable[bytes]) -> End:
    """Return the end of an export; raise `NotWhole` where it does not agree with the lines.

    It is looked at as a whole before anything of it is written.
    """
    rest = iter(lines)
    first = next(rest, b"")
    version = version_of(first)
    if version is None:
        raise NotWhole("line 1 is not that with which an export begins: nothing was imported")
    if version > VERSION:
        raise NotWhole(
            f"it was exported by a newer qcore, in version {version}: this one reads versions up "
            f"to {VERSION}; nothing was imported"
        )
    number, last = 0, first
    for number, last in enumerate(rest, start=1):  # noqa: B007  (the last of both is what counts)
        pass
    end = end_of(last)
    if end is None:
        raise NotWhole(
            f"it breaks off after {number:,} lines, without the last one, which counts them: "
            "nothing was imported"
        )
    if end.lines != number - 1:
        raise NotWhole(
            f"it has {number - 1:,} lines of limits, tasks and periodic tasks, and its last line "
            f"counts {end.lines:,}: nothing was imported"
        )
    return end


class Import:
    """Stores lines that were exported; what is there already stays as it is."""

    def __init__(
        self, broker: Broker, now: Callable[[], Moment], refuse: Callable[[int, str], None]
    ) -> None:
        self._broker = broker
        self._now = now
        self._tell = refuse
        """Is told the number of each line of which nothing was written, from 1, and why."""
        self.report = ImportReport()

    async def write(self, lines: Iterable[bytes]) -> ImportReport:
        """Write all lines, in the order given; return what was written."""
        numbered = self._decoded(lines)
        while batch := list(islice(numbered, BATCH)):
            tasks: list[tuple[int, TaskSnapshot]] = []
            for number, line in batch:
                if isinstance(line, TaskSnapshot):
                    tasks.append((number, line))
                    continue
                await self._restore(tasks)
                tasks = []
                await self._write(number, line)
            await self._restore(tasks)
        return self.report

    async def look(self, lines: Iterable[bytes]) -> ImportReport:
        """Return what would be written, and write nothing; of tasks, whose id is not stored."""
        numbered = self._decoded(lines)
        while batch := list(islice(numbered, BATCH)):
            for _, line in batch:
                match line:
                    case TaskSnapshot():
                        (found,) = await self._broker.get(line.queue, [line.task.id])
                        self._count("tasks", is_new=found is None)
                    case StoredEntry():
                        self._count("entries", is_new=await self._is_new_entry(line))
                    case QueueLimits():
                        self._count("limits", is_new=await self._limits(line.queue) == NO_LIMITS)
                    case _:
                        pass
        return self.report

    def _decoded(self, lines: Iterable[bytes]) -> Iterator[tuple[int, Line]]:
        for number, line in enumerate(lines, start=1):
            try:
                yield number, decode(line)
            except BrokenLine as why:
                self._refuse(number, str(why))

    def _refuse(self, number: int, why: str) -> None:
        self.report.refused += 1
        self._tell(number, why)

    def _count(self, what: str, *, is_new: bool) -> None:
        if is_new:
            setattr(self.report, what, getattr(self.report, what) + 1)
        else:
            self.report.present += 1

    # --- tasks ----------------------------------------------------------------------------------

    async def _restore(self, tasks: Sequence[tuple[int, TaskSnapshot]]) -> None:
        if not tasks:
            return
        snapshots = [snapshot for _, snapshot in tasks]
        try:
            answers: Sequence[Restoration | None] = await self._broker.restore(
                snapshots, now=self._now()
            )
        except BrokerRefused as error:
            if len(tasks) == 1:
                self._refuse(tasks[0][0], str(error))
                return
            answers = error.answers or [None] * len(tasks)
        for (number, snapshot), answer in zip(tasks, answers, strict=True):
            if answer is None:
                await self._restore([(number, snapshot)])
            else:
                self._note(number, answer)

    def _note(self, number: int, answer: Restoration) -> None:
        match answer:
            case Restored():
                self.report.tasks += 1
            case Conflict():
                self.report.present += 1
            case Duplicate():
                self._refuse(number, f"its unique key is that of {answer.id}, {answer.state}")

    # --- limits and periodic tasks --------------------------------------------------------------

    async def _write(self, number: int, line: Header | QueueLimits | StoredEntry | End) -> None:
        match line:
            case QueueLimits():
                await self._write_limits(number, line)
            case StoredEntry():
                await self._write_entry(number, line)
            case _:
                pass

    async def _limits(self, queue: str) -> Limits:
        limiting = limiting_of(self._broker)
        return NO_LIMITS if limiting is None else (await limiting.limits([queue]))[0]

    async def _write_limits(self, number: int, line: QueueLimits) -> None:
        limiting = limiting_of(self._broker)
        if limiting is None:
            self._refuse(number, "this store has no limits")
            return
        is_new = await self._limits(line.queue) == NO_LIMITS
        self._count("limits", is_new=is_new)
        if not is_new:
            return
        limits, now = line.limits, self._now()
        # paused first: nothing is handed out before the others hold
        if limits.is_paused:
            await limiting.set_limit(line.queue, SetPaused(is_paused=True), now=now)
        if limits.in_flight is not None:
            await limiting.set_limit(line.queue, SetInFlight(limits.in_flight), now=now)
        if limits.rate is not None:
            await limiting.set_limit(line.queue, SetRate(limits.rate), now=now)

    async def _is_new_entry(self, stored: StoredEntry) -> bool:
        periodic = periodic_of(self._broker)
        return periodic is None or (await periodic.entries(stored.queue, [stored.id]))[0] is None

    async def _write_entry(self, number: int, stored: StoredEntry) -> None:
        periodic = periodic_of(self._broker)
        if periodic is None:
            self._refuse(number, "this store has no periodic tasks")
            return
        change = EntryChange(stored.queue, stored.id, None, stored)
        (answer,) = await periodic.write_entries([change], now=self._now())
        self._count("entries", is_new=isinstance(answer, EntryWritten))
