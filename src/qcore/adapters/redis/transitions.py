"""Conditional writes: a transition of a task, carried out if the task is unchanged."""

from collections.abc import Sequence
from typing import TypeAlias

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.encoding import StoredId
from qcore.adapters.redis.script_runner import (
    ScriptRunner,
    chunks,
    group_by_queue,
    raise_outage,
)
from qcore.adapters.redis.scripts import TRANSITION
from qcore.domain.errors import BrokerRefused

ConditionalWrite: TypeAlias = tuple[str, StoredId, int, Sequence[Arg]]
"""A queue, a stored id, and either a token and nothing, for an active task that is just deleted, or
0 and the arguments of a guard and a change: see lua/transition.lua."""


async def apply_transitions(
    runner: ScriptRunner, writes: Sequence[ConditionalWrite]
) -> list[bool | BrokerRefused]:
    """Carry out writes, each of another task; return whose guards held.

    A refusal takes the place of each write of a call that Redis refuses for its content.
    """
    made: list[bool | BrokerRefused] = [True] * len(writes)
    chunked = [
        (queue, chunk)
        for queue, places in group_by_queue((write[0], n) for n, write in enumerate(writes)).items()
        for chunk in chunks(_deletions_first(writes, places))
    ]
    asked = [([queue], encode_transitions([writes[n] for n in chunk])) for queue, chunk in chunked]
    replies = await runner.run_once(TRANSITION, asked, partial=True)
    raise_outage(replies)
    for (_, chunk), reply in zip(chunked, replies, strict=True):
        if isinstance(reply, BrokerRefused):
            for n in chunk:
                made[n] = reply
            continue
        for n, answer in zip(chunk, reply, strict=bool(reply)):
            made[n] = answer == ord("1")
    return made


def _deletions_first(writes: Sequence[ConditionalWrite], places: Sequence[int]) -> list[int]:
    return [n for n in places if writes[n][2]] + [n for n in places if not writes[n][2]]


def encode_transitions(writes: Sequence[ConditionalWrite]) -> list[Arg]:
    """Return the arguments of lua/transition.lua; deletions go ahead of the others."""
    tokens = [write[2] for write in writes if write[2]]
    words: list[Arg] = [len(tokens), len(writes) - len(tokens), *(write[1] for write in writes)]
    words += tokens
    for write in writes[len(tokens) :]:
        words += write[3]
    return words
