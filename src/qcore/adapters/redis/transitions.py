"""Tasks moved from one place to another, each if it still is what it was taken for."""

from collections.abc import Sequence
from typing import TypeAlias

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.encoding import StoredId
from qcore.adapters.redis.script_runner import ScriptRunner, chunks, group_by_queue
from qcore.adapters.redis.scripts import TRANSITION

ConditionalWrite: TypeAlias = tuple[str, StoredId, int, Sequence[Arg]]
"""A queue, a name, and either a token and no words, for an active task that is just gone, or 0 and
the words of a guard and a change: see lua/move.lua."""


async def apply_transitions(runner: ScriptRunner, moves: Sequence[ConditionalWrite]) -> list[bool]:
    """Make moves, each of another task; return which were made."""
    made = [True] * len(moves)
    chunked = [
        (queue, chunk)
        for queue, places in group_by_queue((move[0], n) for n, move in enumerate(moves)).items()
        for chunk in chunks(_leaves_first(moves, places))
    ]
    asked = [([queue], encode_transitions([moves[n] for n in chunk])) for queue, chunk in chunked]
    for (_, chunk), reply in zip(chunked, await runner.run_once(TRANSITION, asked), strict=True):
        for n, answer in zip(chunk, reply, strict=bool(reply)):
            made[n] = answer == ord("1")
    return made


def _leaves_first(moves: Sequence[ConditionalWrite], places: Sequence[int]) -> list[int]:
    return [n for n in places if moves[n][2]] + [n for n in places if not moves[n][2]]


def encode_transitions(moves: Sequence[ConditionalWrite]) -> list[Arg]:
    """Return what to tell of moves, those of tasks that are gone ahead of the others."""
    tokens = [move[2] for move in moves if move[2]]
    words: list[Arg] = [len(tokens), len(moves) - len(tokens), *(move[1] for move in moves)]
    words += tokens
    for move in moves[len(tokens) :]:
        words += move[3]
    return words
