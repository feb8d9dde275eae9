"""Conditional writes: a transition of a task, carried out if the task is unchanged."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.details_codec import encode
from qcore.adapters.redis.encoding import StoredId
from qcore.adapters.redis.script_runner import (
    ScriptRunner,
    chunks,
    group_by_queue,
    raise_outage,
)
from qcore.adapters.redis.scripts import TRANSITION
from qcore.domain.audit import AuditRecord
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.statistics import Ending, FieldCounts, tallied

NOT_WRITTEN: Final = b"-"
"""In front of a reply: whose guards held, and nothing was written as not all did."""

MAX_JOINED: Final = 3
"""Fields of statistics that are written as one: an outcome, a wait and a run."""

ConditionalWrite: TypeAlias = tuple[str, StoredId, int, Sequence[Arg], Ending | None]
"""A queue, a stored id, and either a token and nothing, for an active task that is just deleted, or
0 and the arguments of a guard and a change: see lua/transition.lua. Then what it adds to the
statistics, None for nothing."""


async def apply_transitions(
    runner: ScriptRunner,
    writes: Sequence[ConditionalWrite],
    now: Moment,
    audit: AuditRecord | None = None,
) -> list[bool | BrokerRefused]:
    """Carry out writes, each of another task; return whose guards held.

    With a record for their audit trails, none of the tasks is deleted.

    What a call adds to the statistics is the sum of its writes. So where one of these may not be
    carried out none is, and the others are sent again, with the sum of these. A refusal takes the
    place of each write of a call that Redis refuses for its content.
    """
    made: list[bool | BrokerRefused] = [True] * len(writes)
    left = [
        (queue, chunk)
        for queue, places in group_by_queue((write[0], n) for n, write in enumerate(writes)).items()
        for chunk in chunks(_deletions_first(writes, places))
    ]
    while left:
        asked = [
            ([queue], encode_transitions([writes[n] for n in chunk], audit))
            for queue, chunk in left
        ]
        replies = await runner.run_once(TRANSITION, asked, now=now, partial=True)
        raise_outage(replies)
        again: list[tuple[str, Sequence[int]]] = []
        for (queue, chunk), reply in zip(left, replies, strict=True):
            if isinstance(reply, BrokerRefused):
                for n in chunk:
                    made[n] = reply
                continue
            held = reply.removeprefix(NOT_WRITTEN)
            for n, answer in zip(chunk, held, strict=bool(held)):
                made[n] = answer == ord("1")
            if reply != held and (rest := [n for n in chunk if made[n]]):
                again.append((queue, rest))
        left = again
    return made


def _deletions_first(writes: Sequence[ConditionalWrite], places: Sequence[int]) -> list[int]:
    return [n for n in places if writes[n][2]] + [n for n in places if not writes[n][2]]


def encode_transitions(
    writes: Sequence[ConditionalWrite], audit: AuditRecord | None = None
) -> list[Arg]:
    """Return the arguments of lua/transition.lua; deletions go ahead of the others."""
    tokens = [str(write[2]) for write in writes if write[2]]
    words: list[Arg] = [len(tokens), len(writes) - len(tokens), " ".join(tokens)]
    words += [write[1] for write in writes]
    for write in writes[len(tokens) :]:
        words += write[3]
    if len(tokens) < len(writes):
        words.append(b"" if audit is None else encode(audit))
    return words + encode_statistics(tallied([write[4] for write in writes if write[4]]))


def encode_statistics(ended: Mapping[str, FieldCounts]) -> list[Arg]:
    """Return what is added to the statistics, by name; nothing if that is nothing."""
    words: list[Arg] = [len(ended)] if ended else []
    for name, fields in ended.items():
        counts = _joined(fields)
        words += (name, len(counts))
        for stored, number in counts.items():
            words += (stored, number)
    return words


def _joined(counts: FieldCounts) -> FieldCounts:
    """Return counts with one field in place of up to three that grow alike, as of one verdict.

    The server then has one command for them. No more than three: else there would be too many.
    """
    numbers = {*counts.values()}
    if len(numbers) > 1 or len(counts) > MAX_JOINED:
        return counts
    return {"".join(counts): numbers.pop()}
