"""Queues: their formats, foreign keys, and tasks that are in no state."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

from qcore.adapters.links.redis import Node, RedisCommand, Reply
from qcore.adapters.links.redis.server_errors import MENDED
from qcore.adapters.redis.encoding import decode_id
from qcore.adapters.redis.keys import KEY_OF, Key, Keys
from qcore.adapters.redis.script_runner import ScriptRunner, chunks
from qcore.adapters.redis.scripts import READ
from qcore.doctor.redis.server_queries import ServerQueries
from qcore.domain.diagnostics import Finding, advice, error, ok, warning
from qcore.domain.moments import Moment
from qcore.domain.record import record

KNOWN: Final = 2
"""The newest format of a queue that this qcore writes (lua/lib/version.lua)."""
SAVED: Final = 100
"""Bytes that a task which waits in a queue of an older format takes more, in round numbers."""
MOST: Final = 200
"""Queues that are examined."""
TOGETHER: Final = 20
SHOWN: Final = 3
"""Queues of an older format that are named."""
SAMPLE: Final = 100
MAX_DIGITS: Final = 16
"""Of a sequence (lua/lib/version.lua)."""
DUE: Final = 24
"""Characters of the moment at which a member of a group was due."""
READS: Final = 3
"""How often something has to be amiss in turn: tasks change state while they are counted."""

_OWN: Final = tuple(key for key in Key if key is not Key.SESSION)
_HASHES: Final = {Key.META, Key.TASKS, Key.BLOCKS, Key.PROGRESS, Key.UNIQUE, Key.DETAILS}
_KINDS: Final = (
    *(b"hash" if key in _HASHES else b"zset" for key in _OWN),
    *(b"hash", b"zset", b"zset"),
)
"""The types of a queue's keys, those of its entries last."""
_PLACES: Final = tuple(KEY_OF.values())


@record
class QueueReport:
    """What is stored of a queue."""

    queue: str
    meta: str
    """The name of its key META."""
    version: str | None
    sequence: str | None
    foreign: Mapping[str, str]
    """The keys that are of another type than ours, and their types."""
    tasks: int | None
    """None where they could not be counted."""
    records: int
    placed: int
    """Places in the sorted sets of states, each task of a block for itself."""
    pending: int
    """Tasks that could be claimed now."""
    grouped: int = 0
    """Members of groups less the tasks that wait in one."""
    odd_group: str | None = None
    """A member of a group that qcore does not write."""

    @property
    def is_made(self) -> bool:
        """Whether qcore made it, and knows its format."""
        return self.version is not None and self.version.isdigit() and int(self.version) <= KNOWN

    @property
    def is_older(self) -> bool:
        """Whether it is of the format that earlier versions of qcore know, too."""
        return self.version == "1"

    @property
    def stray(self) -> int:
        """Return how many tasks are in no state; less than nothing for places without a task."""
        return 0 if self.tasks is None else self.tasks - self.placed


async def queue_reports(
    nodes: Sequence[Node], keys: Keys, queues: Sequence[str], now: Moment, queries: ServerQueries
) -> list[QueueReport]:
    """Look at queues; on a cluster, whose servers each know some."""
    found: list[QueueReport] = []
    for chunk in chunks(queues, TOGETHER):
        asked = [[*_questions(keys, queue, now)] for queue in chunk]
        size = len(asked[0])
        for node in nodes:
            replies = await queries.ask(node, *[each for row in asked for each in row])
            rows = [replies[n : n + size] for n in range(0, len(replies), size)]
            # whoever does not have the queue does not even tell a type
            pairs = zip(chunk, rows, strict=True)
            found += [_report_of(keys, queue, row) for queue, row in pairs if row[1] is not None]
    return found


def _questions(keys: Keys, queue: str, now: Moment) -> Iterator[RedisCommand]:
    names = keys.of(queue)
    yield "HMGET", names[Key.META - 1], "version", "sequence", "packed"
    yield from (("TYPE", name) for name in _typed(keys, queue))
    yield "HLEN", names[Key.TASKS - 1]
    yield "HLEN", names[Key.PROGRESS - 1]
    yield from (("ZCARD", names[key - 1]) for key in _PLACES)
    for key in (Key.SCHEDULED, Key.RETRY):
        yield "ZCOUNT", names[key - 1], "-inf", repr(now)
    yield "ZCARD", names[Key.GROUPS - 1]
    yield "ZRANGE", names[Key.GROUPS - 1], 0, SAMPLE - 1


def _typed(keys: Keys, queue: str) -> list[str]:
    """Return the names of a queue's keys in the order of `_KINDS`."""
    names = keys.of(queue)
    return [*(names[key - 1] for key in _OWN), *keys.entries(queue)]


def _report_of(keys: Keys, queue: str, row: Sequence[Reply]) -> QueueReport:
    (version, sequence, packed), kinds = row[0] or (None, None, None), row[1 : 1 + len(_KINDS)]
    tasks, records, *rest = row[1 + len(_KINDS) :]
    placed, (*due, members, some) = rest[: len(_PLACES)], rest[len(_PLACES) :]
    names = keys.of(queue)
    foreign = {
        name: kind.decode()
        for name, kind, ours in zip(_typed(keys, queue), kinds, _KINDS, strict=True)
        if kind not in {b"none", ours}
    }
    found = dict(zip(_PLACES, placed, strict=True))
    in_blocks = int(packed) if found[Key.PENDING] and packed and packed.isdigit() else 0
    pending, waiting = (found[Key.PENDING] or 0) + in_blocks, found[Key.AGGREGATING]
    odd = next((each for each in some or () if not _is_member(each)), None)
    return QueueReport(
        queue,
        names[Key.META - 1],
        None if version is None else version.decode(errors="replace"),
        None if sequence is None else sequence.decode(errors="replace"),
        foreign,
        None if tasks is None or None in placed else tasks,
        records or 0,
        sum(each or 0 for each in placed) + in_blocks,
        sum(each or 0 for each in (pending, *due)),
        0 if members is None or waiting is None else members - waiting,
        None if odd is None else repr(odd)[1:],
    )


def _is_member(member: bytes) -> bool:
    """Return whether it is a member of a group as qcore writes them (keys.py)."""
    group, mark, rest = member.partition(b"\1")
    try:
        return bool(group.decode() and mark and len(rest) > DUE and isfinite(float(rest[:DUE])))
    except ValueError:
        return False


def formats(found: Sequence[QueueReport], beyond: int = 0) -> list[Finding]:
    """Tell which queues are not ours, or of another time; `beyond` are those not looked at."""
    bad = [finding for look in found for finding in _format(look)]
    made = sum(look.is_made for look in found)
    more = f"; {beyond:,} more were not looked at" if beyond else ""
    if older := [look for look in found if look.is_older]:
        return [*bad, _older(older, more)]
    return bad or [ok("queues", f"{made:,} there, each of format {KNOWN}{more}")]


def _older(found: Sequence[QueueReport], more: str) -> Finding:
    """Tell which queues are of an older format, and how to have them save memory."""
    names = ", ".join(look.queue for look in found[:SHOWN])
    others = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    waiting = sum(look.pending for look in found)
    each = "" if len(found) == 1 else ", and so for each"
    return advice(
        "queues",
        f"{names}{others}: of format 1, which earlier versions of qcore know too; each of the "
        f"{waiting:,} tasks that wait takes up to {SAVED} bytes more there than in format {KNOWN}"
        f"{more}",
        f"once no process runs an earlier version: HSET {found[0].meta} version {KNOWN}{each}",
    )


def _is_sequence(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS


def _format(look: QueueReport) -> Iterator[Finding]:
    for name, kind in look.foreign.items():
        yield error(
            "queues",
            f"{look.queue}: the key {name} is a {kind}, and not ours: the queue cannot be used",
            "choose another namespace= or database, or remove that key",
        )
    if look.version is None and (look.tasks or look.placed) and not look.foreign:
        yield error(
            "queues",
            f"{look.queue}: its keys are there, and nothing tells by whom they were made: its meta "
            "is missing, or has lost its version",
            f"if qcore made them: HSET {look.meta} version {KNOWN}; else choose another namespace= "
            "or database, or remove those keys",
        )
    if look.version is not None and not look.version.strip("0").isdigit():
        yield error(
            "queues",
            f"{look.queue}: the version in its meta is {look.version!r}: somebody has edited it",
            f"HSET {look.meta} version {KNOWN}",
        )
    elif look.sequence is not None and not _is_sequence(look.sequence):
        yield error(
            "queues",
            f"{look.queue}: the sequence in its meta is {look.sequence!r}: somebody has edited it",
            f"HSET {look.meta} sequence {MENDED['sequence']}",
        )
    elif look.version is not None and not look.is_made:
        yield error(
            "queues",
            f"{look.queue} was written by a newer qcore: format {look.version}, and this one "
            f"knows {KNOWN}",
            "upgrade this qcore",
        )


async def leftovers(
    runner: ScriptRunner,
    nodes: Sequence[Node],
    found: Sequence[QueueReport],
    queries: ServerQueries,
) -> list[Finding]:
    """Tell which queues have tasks that nobody will come across."""
    amiss = [look for look in found if _is_amiss(look)]
    for _ in range(READS - 1):
        names = [look.queue for look in amiss]
        again = await queue_reports(nodes, runner.keys, names, runner.link.time(), queries)
        before = {look.queue: look for look in amiss}
        amiss = [look for look in again if _is_still(before.get(look.queue), look)]
    findings = [each for look in amiss for each in await _leftover(runner, nodes, look, queries)]
    return findings or [ok("leftovers", "each task is in one state")]


def _is_still(before: QueueReport | None, now: QueueReport) -> bool:
    """Return whether what was amiss is so again, and in the same way."""
    if before is None:
        return False
    return (
        before.stray * now.stray > 0
        or before.grouped * now.grouped > 0
        or bool(_odd_records(before) and _odd_records(now))
        or (before.odd_group is not None and before.odd_group == now.odd_group)
    )


def _is_amiss(look: QueueReport) -> bool:
    return bool(look.stray or look.grouped or _odd_records(look) or look.odd_group is not None)


def _odd_records(look: QueueReport) -> int:
    """Return how many records there are more than tasks."""
    return 0 if look.tasks is None else max(0, look.records - look.tasks)


async def _leftover(
    runner: ScriptRunner, nodes: Sequence[Node], look: QueueReport, queries: ServerQueries
) -> list[Finding]:
    if look.grouped or look.odd_group is not None:
        return [_odd_groups(look)]
    if look.stray > 0:
        ids = await _stray(runner, nodes, look.queue, queries)
        such = f", such as {ids[0]}" if ids else ""
        return [
            warning(
                "leftovers",
                f"{look.queue}: {look.stray} tasks are stored and in no state{such}: nobody will "
                "run them",
                "enqueue them again under their ids, which replaces them",
            )
        ]
    if look.stray < 0:
        return [
            advice(
                "leftovers",
                f"{look.queue}: {-look.stray} places are of tasks that are not stored: counts are "
                "too high",
                "leave them: they go when it is their turn",
            )
        ]
    return [
        advice(
            "leftovers",
            f"{look.queue}: {_odd_records(look)} records are of tasks that are not stored",
            "leave them, or let the queue get empty and remove its keys",
        )
    ]


def _odd_groups(look: QueueReport) -> Finding:
    """Tell what does not fit together in the groups of a queue."""
    groups = look.meta.removesuffix("meta") + "groups"
    if look.odd_group is not None:
        return warning(
            "leftovers",
            f"{look.queue}: {groups} has the member {look.odd_group}, which qcore does not write: "
            "it is passed over",
            f"ZREM {groups} {look.odd_group}",
        )
    if look.grouped > 0:
        return advice(
            "leftovers",
            f"{look.queue}: {look.grouped} members of groups are of tasks that do not wait there",
            f"look at ZRANGE {groups} 0 -1, and ZREM those",
        )
    return warning(
        "leftovers",
        f"{look.queue}: {-look.grouped} tasks wait in a group and are no members of one: nobody "
        "will aggregate them",
        "run them now, by an inspector",
    )


async def _stray(
    runner: ScriptRunner, nodes: Sequence[Node], queue: str, queries: ServerQueries
) -> list[str]:
    """Return tasks of a sample that are in no state."""
    tasks = runner.keys.of(queue)[Key.TASKS - 1]
    sample: dict[bytes, None] = {}
    for node in nodes:
        [names] = await queries.ask(node, ("HRANDFIELD", tasks, SAMPLE))
        sample |= dict.fromkeys(names or ())
    if not sample:
        return []
    [reply] = await runner.run_idempotent(READ, [([queue], [0, *sample])])
    return [
        decode_id(name) for name, value in zip(sample, reply[::4], strict=True) if value is None
    ]
