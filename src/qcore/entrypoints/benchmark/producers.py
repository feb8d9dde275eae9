"""The side that asks for work, in each of the ways there are; all return the ids of their tasks."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Final, TypeAlias

from qcore.app.calls.call import Refused
from qcore.app.client.handles import Handle
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.entrypoints.benchmark.workload import Rig

BATCH: Final = 1_000
PRODUCERS: Final = 32
SHORTEST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.05

Way: TypeAlias = Callable[[Rig, int], Awaitable[Sequence[TaskId]]]


@record
class Asked:
    """Tasks that were asked for, and how many a second."""

    tasks: Sequence[TaskId]
    rate: float


async def measured(way: Way, rig: Rig, count: int) -> Asked:
    """Ask for `count` tasks in some way, and say how fast that was."""
    began = perf_counter()
    tasks = await way(rig, count)
    return Asked(tasks, len(tasks) / (perf_counter() - began))


async def serial(rig: Rig, count: int) -> Sequence[TaskId]:
    """Ask one by one, each when the one before it is stored."""
    return [(await rig.noop.enqueue(n=n)).id for n in range(count)]


async def serial_blocking(rig: Rig, count: int) -> Sequence[TaskId]:
    """Ask one by one, through the client that blocks."""
    return [rig.noop.enqueue_sync(n=n).id for n in range(count)]


async def bulk(rig: Rig, count: int) -> Sequence[TaskId]:
    """Ask in batches."""
    tasks: list[TaskId] = []
    for start in range(0, count, BATCH):
        calls = [rig.noop.call(n=n) for n in range(start, min(start + BATCH, count))]
        tasks += [_stored(answer).id for answer in await rig.q.client.enqueue_many(calls)]
    return tasks


async def concurrent(rig: Rig, count: int) -> Sequence[TaskId]:
    """Ask from several producers at once, each of them one by one."""
    shares = [len(range(n, count, PRODUCERS)) for n in range(PRODUCERS)]
    parts = await asyncio.gather(*(serial(rig, share) for share in shares))
    return [task for part in parts for task in part]


async def jittered(rig: Rig, count: int) -> Sequence[TaskId]:
    """Ask now and then, each time telling when."""
    tasks: list[TaskId] = []
    for _ in range(count):
        await asyncio.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))  # noqa: S311
        tasks.append((await rig.timed.enqueue(asked=perf_counter())).id)
    return tasks


def _stored(answer: Handle[object] | Refused) -> Handle[object]:
    if isinstance(answer, Refused):
        raise answer.error
    return answer
