"""Entries of periodic tasks: write them with their tasks, and read them.

What is stored of one is its revision, a blank, and the entry. Whoever writes gives the revision, at
random, so that none comes again, whatever was removed in between.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final
from uuid import uuid4

from qcore.adapters.links.redis import Arg, ScriptCall
from qcore.adapters.redis.enqueue import ForScript
from qcore.adapters.redis.keys import WITH_ENTRIES, Key, queue_name
from qcore.adapters.redis.script_runner import (
    ScriptRunner,
    chunks,
    raise_outage,
    refuse_in_part,
)
from qcore.adapters.redis.scripts import COUNT_ENTRIES, LIST_ENTRIES, WRITE_ENTRY
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import EntryAnswer, EntryChange, EntryConflict, EntryWritten
from qcore.domain.periodic.entry import EntryId, FoundEntry, UnreadableEntry
from qcore.domain.periodic.stored_form import decode_entry, encode_entry

AT_ONCE: Final = 100
"""Entries that one call reads: the payload of each may be large."""
CONFLICT: Final = b"conflict"
BY_HAND: Final = "?"
"""The revision of what has none in front (lua/write_entry.lua)."""
_REVISION: Final = re.compile(rb"([0-9a-fA-F]+) ")


async def write_entries(
    runner: ScriptRunner, changes: Sequence[EntryChange], now: Moment
) -> list[EntryAnswer]:
    """Write entries that are as they were seen, and enqueue their tasks: a call for each change."""
    writes = [_Write(change, now) for change in changes]
    new = sorted({each.queue for each in changes if each.seen is None})
    # registered first: an unregistered queue is never found, an unused name does no harm
    await _register(runner, new)
    asked = [([write.change.queue], write.words()) for write in writes]
    replies = await runner.run_once(
        WRITE_ENTRY, asked, number=WITH_ENTRIES, durable=True, partial=True
    )
    # and again: a queue of that name may just have been removed
    await _register(runner, new)
    raise_outage(replies)
    answers = [
        reply if isinstance(reply, BrokerRefused) else write.answer(reply)
        for write, reply in zip(writes, replies, strict=True)
    ]
    return refuse_in_part(answers)


async def _register(runner: ScriptRunner, queues: Sequence[str]) -> None:
    if queues:
        for registry in (runner.keys.registry, runner.keys.entry_registry):
            await runner.link.command("SADD", registry, *queues)


class _Write:
    """One change, on its way."""

    def __init__(self, change: EntryChange, now: Moment) -> None:
        self.change = change
        self._tasks = ForScript(change.tasks, now)
        self._revision = None if change.entry is None else uuid4().hex[:16]

    def words(self) -> list[Arg]:
        """Return the arguments of lua/write_entry.lua."""
        entry, seen = self.change.entry, self.change.seen or ""
        value, wake = b"", None
        if entry is not None:
            value, wake = f"{self._revision} ".encode() + encode_entry(entry), entry.state.wake
        at = "" if wake is None else repr(float(wake))
        return [self.change.id, seen, value, at, *self._tasks.words()]

    def answer(self, reply: bytes) -> EntryAnswer:
        """Return the answer in the reply of the script."""
        if reply == CONFLICT:
            return EntryConflict()
        return EntryWritten(self._revision, self._tasks.admissions(reply))


async def entries(
    runner: ScriptRunner, queue: str, ids: Sequence[EntryId]
) -> list[FoundEntry | None]:
    """Return entries by id."""
    stored = runner.keys.entries(queue)[0]
    values = [
        value
        for chunk in chunks(ids, AT_ONCE)
        for value in await runner.link.command("HMGET", stored, *chunk)
    ]
    return [
        None if value is None else decode(queue, entry, value)
        for entry, value in zip(ids, values, strict=True)
    ]


async def browse_entries(
    runner: ScriptRunner, queue: str, limit: int, after: EntryId
) -> list[FoundEntry]:
    """Return entries of a queue, in the order of their ids."""
    found: list[FoundEntry] = []
    keys, last = read_keys(runner, queue), after.encode()
    while len(found) < limit:
        size = min(AT_ONCE, limit - len(found))
        (rows,) = await runner.link.run(LIST_ENTRIES, [ScriptCall(keys, [last, size])])
        found += (
            decode(queue, entry.decode(errors="replace"), value)
            for entry, value in zip(rows[::2], rows[1::2], strict=True)
        )
        if len(rows) < 2 * size:
            break
        last = rows[-2]
    return found


async def entry_queues(runner: ScriptRunner) -> list[str]:
    """Return the queues in which entries lie, of those that the registry names."""
    groups = runner.queue_batches(await registered(runner))
    calls = [ScriptCall([*map(runner.keys.entry_ids, each)], ()) for each in groups]
    counts = await runner.link.run(COUNT_ENTRIES, calls)
    pairs = zip(chain.from_iterable(groups), chain.from_iterable(counts), strict=True)
    return [queue for queue, count in pairs if count]


async def registered(runner: ScriptRunner) -> list[str]:
    """Return the queues that may have entries."""
    known = await runner.link.command("SMEMBERS", runner.keys.entry_registry)
    return sorted(filter(None, map(queue_name, known)))


def read_keys(runner: ScriptRunner, *queues: str) -> list[str]:
    """Return the keys of scripts that read entries: META, and those of the entries."""
    return [key for queue in queues for key in _read_keys(runner, queue)]


def _read_keys(runner: ScriptRunner, queue: str) -> Iterable[str]:
    return (runner.keys.of(queue)[Key.META - 1], *runner.keys.entries(queue))


def decode(queue: str, entry: EntryId, value: bytes | None) -> FoundEntry:
    """Return what is stored under an id; an `UnreadableEntry` where it is no entry."""
    if value is None:
        return UnreadableEntry(queue, entry, "somebody has removed what was stored of it")
    revision = _REVISION.match(value)
    if revision is None:
        why = "no revision stands in front of it, as of one that somebody has stored by hand"
        return UnreadableEntry(queue, entry, why, BY_HAND)
    return decode_entry(queue, entry, value[revision.end() :], revision[1].decode())
