"""Tasks moved from one place to another, each if it still is what it was taken for."""

from collections.abc import Sequence

from qcore.adapters.links.redis import Word
from qcore.adapters.redis.names import Name
from qcore.adapters.redis.scripts import MOVE
from qcore.adapters.redis.store import Store, bites, by_queue


async def carried_out(
    store: Store, queue: str, moves: Sequence[tuple[Name, Sequence[Word]]]
) -> list[bool]:
    """Make moves of tasks of one queue, each of another task; return which were made."""
    return await all_carried_out(store, [(queue, name, words) for name, words in moves])


async def all_carried_out(
    store: Store, moves: Sequence[tuple[str, Name, Sequence[Word]]]
) -> list[bool]:
    """Make moves of tasks, each of another task; return which were made."""
    made = [False] * len(moves)
    bitten = [
        (queue, bite)
        for queue, places in by_queue((move[0], n) for n, move in enumerate(moves)).items()
        for bite in bites(places)
    ]
    asked: list[tuple[Sequence[str], Sequence[Word]]] = []
    for queue, bite in bitten:
        words: list[Word] = [len(bite), *(moves[n][1] for n in bite)]
        for n in bite:
            words += moves[n][2]
        asked.append(([queue], words))
    for (_, bite), reply in zip(bitten, await store.move(MOVE, asked), strict=True):
        for n, answer in zip(bite, reply.decode(), strict=True):
            made[n] = answer == "1"
    return made
