"""Tasks moved from one place to another, each if it still is what it was taken for."""

from collections.abc import Sequence
from typing import TypeAlias

from qcore.adapters.links.redis import Word
from qcore.adapters.redis.names import Name
from qcore.adapters.redis.scripts import MOVE
from qcore.adapters.redis.store import Store, bites, by_queue

Move: TypeAlias = tuple[str, Name, int, Sequence[Word]]
"""A queue, a name, and either a token and no words, for an active task that is just gone, or 0 and
the words of a guard and a change: see lua/move.lua."""


async def carried_out(store: Store, moves: Sequence[Move]) -> list[bool]:
    """Make moves, each of another task; return which were made."""
    made = [True] * len(moves)
    bitten = [
        (queue, bite)
        for queue, places in by_queue((move[0], n) for n, move in enumerate(moves)).items()
        for bite in bites(_leaves_first(moves, places))
    ]
    asked = [([queue], words_of([moves[n] for n in bite])) for queue, bite in bitten]
    for (_, bite), reply in zip(bitten, await store.move(MOVE, asked), strict=True):
        for n, answer in zip(bite, reply, strict=bool(reply)):
            made[n] = answer == ord("1")
    return made


def _leaves_first(moves: Sequence[Move], places: Sequence[int]) -> list[int]:
    return [n for n in places if moves[n][2]] + [n for n in places if not moves[n][2]]


def words_of(moves: Sequence[Move]) -> list[Word]:
    """Return what to tell of moves, those of tasks that are gone ahead of the others."""
    tokens = [move[2] for move in moves if move[2]]
    words: list[Word] = [len(tokens), len(moves) - len(tokens), *(move[1] for move in moves)]
    words += tokens
    for move in moves[len(tokens) :]:
        words += move[3]
    return words
