"""The side that asks for tasks, in each of the ways there are."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import perf_counter

from bench.peers.systems.shapes import Awaiting, Blocking, System, run

BATCH = 1_000
PRODUCERS = 32
WARM_UP = 20


def produce(system: System, way: str, numbers: Sequence[int], *, warm: bool) -> float:
    """Ask for tasks of these numbers; return how many seconds that took.

    With `warm`, some are asked for beforehand: connected, compiled, imported. They run twice.
    """
    first = numbers[:WARM_UP] if warm else ()
    if isinstance(system, Awaiting) and way in AWAITED:
        return float(run(_awaited(system, AWAITED[way], first, numbers)))
    assert isinstance(system, Blocking)
    BLOCKING[way](system, first)
    began = perf_counter()
    BLOCKING[way](system, numbers)
    return perf_counter() - began


async def _awaited(
    system: Awaiting,
    way: Callable[[Awaiting, Sequence[int]], Awaitable[object]],
    first: Sequence[int],
    numbers: Sequence[int],
) -> float:
    await system.open()
    await way(system, first)
    began = perf_counter()
    await way(system, numbers)
    return perf_counter() - began


def _put_all(system: Blocking, numbers: Sequence[int]) -> None:
    for n in numbers:
        system.put(n)


def _put_batches(system: Blocking, numbers: Sequence[int]) -> None:
    for batch in _batches(numbers):
        system.put_many(batch)


async def _send_all(system: Awaiting, numbers: Sequence[int]) -> None:
    for n in numbers:
        await system.send(n)


async def _send_at_once(system: Awaiting, numbers: Sequence[int]) -> None:
    await asyncio.gather(*(_send_all(system, numbers[k::PRODUCERS]) for k in range(PRODUCERS)))


async def _send_batches(system: Awaiting, numbers: Sequence[int]) -> None:
    for batch in _batches(numbers):
        await system.send_many(batch)


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))


BLOCKING: dict[str, Callable[[Blocking, Sequence[int]], None]] = {
    "blocking": _put_all,
    "bulk": _put_batches,
}
AWAITED: dict[str, Callable[[Awaiting, Sequence[int]], Awaitable[object]]] = {
    "awaited": _send_all,
    "concurrent": _send_at_once,
    "bulk": _send_batches,
}
