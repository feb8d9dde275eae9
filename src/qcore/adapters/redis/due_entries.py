"""Entries that a scheduler has to look at: of all queues in one pipeline, page by page."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from qcore.adapters.links.redis import Arg, Reply, ScriptCall
from qcore.adapters.redis.entries import AT_ONCE, decode, read_keys, registered
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.adapters.redis.scripts import DUE_ENTRIES
from qcore.adapters.redis.snapshot import living
from qcore.domain.errors import QcoreError
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.periodic.changes import DueEntries, DueEntry
from qcore.domain.periodic.entry import EntryId, StoredEntry

FIRST_PAGE: Final[tuple[Arg, Arg]] = ("", "")


async def due_entries(
    runner: ScriptRunner, queues: Sequence[str], limit: int, now: Moment
) -> DueEntries:
    """Return the entries to look at now, and when there will be others.

    A queue that cannot be read keeps no others from being found: it is an error where none can.
    """
    if not runner.link.is_multi_slot:
        # a call for each queue, of which few have entries: schedulers ask every few seconds
        known = {*await registered(runner)}
        queues = [queue for queue in queues if queue in known]
    search = _Search(runner, queues, limit, now)
    await search.run()
    found = search.found()[: max(0, limit)]
    last = {(each.queue, task) for each in found if (task := each.state.last_task) is not None}
    alive = await living(runner, last)
    return DueEntries(
        [DueEntry(each, (each.queue, each.state.last_task) in alive) for each in found],
        search.next,
    )


class _Search:
    """The pages that were read of each queue."""

    def __init__(
        self, runner: ScriptRunner, queues: Sequence[str], limit: int, now: Moment
    ) -> None:
        self._runner = runner
        self._limit = limit
        self._now = now
        self._size = max(0, min(AT_ONCE, limit))
        self._left: dict[str, tuple[Arg, Arg]] = dict.fromkeys(queues, FIRST_PAGE)
        """The queues that may have more, and the score and id of the last one that was read."""
        self._found: dict[str, dict[EntryId, StoredEntry]] = {queue: {} for queue in queues}
        self.next: Moment | None = None

    def found(self) -> list[StoredEntry]:
        """Return what can be read, the earliest first."""
        return sorted(
            chain.from_iterable(each.values() for each in self._found.values()),
            key=lambda each: (each.state.wake or 0.0, each.queue, each.id),
        )

    async def run(self) -> None:
        """Read of each queue as many as are asked for in all, or all there are."""
        while self._left:
            groups = self._runner.queue_batches(self._left)
            calls = [
                ScriptCall(read_keys(self._runner, *group), [*self._words(group)])
                for group in groups
            ]
            replies = await self._runner.link.run(DUE_ENTRIES, calls, partial=True)
            failures = [reply for reply in replies if isinstance(reply, QcoreError)]
            if len(failures) == len(replies):
                raise failures[0]
            for group, reply in zip(groups, replies, strict=True):
                rows = [()] * len(group) if isinstance(reply, QcoreError) else reply
                for queue, each in zip(group, rows, strict=True):
                    self._take(queue, each)

    def _words(self, group: Sequence[str]) -> Iterator[Arg]:
        yield repr(self._now)
        yield self._size
        for queue in group:
            yield from self._left[queue]

    def _take(self, queue: str, reply: Sequence[Reply]) -> None:
        """Take a page of a queue; nothing of one that cannot be read."""
        later, rows = reply[:1], reply[1:]
        self.next = min(
            (each for each in (self.next, *_moments(later)) if each is not None), default=None
        )
        found = self._found[queue]
        for name, value in zip(rows[::3], rows[2::3], strict=True):
            entry = decode(queue, name.decode(errors="replace"), value)
            if isinstance(entry, StoredEntry) and self._is_due(entry):
                found[entry.id] = entry
        if len(rows) < 3 * self._size or len(found) >= self._limit:
            del self._left[queue]
        else:
            self._left[queue] = (rows[-2], rows[-3])

    def _is_due(self, entry: StoredEntry) -> bool:
        """Return whether it says so itself: somebody may have edited the score it is found by."""
        return entry.state.wake is not None and entry.state.wake <= self._now


def _moments(scores: Sequence[bytes]) -> Iterator[Moment]:
    for score in scores:
        if score and (moment := float(score)) < LAST_MOMENT:
            yield moment
