"""Producers: the ways to enqueue that are measured, each of which returns the ids of its tasks."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Final, TypeAlias

from qcore.app.calls.call import Refused
from qcore.app.client.handles import Handle
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.entrypoints.benchmark.workload import Workload

BATCH: Final = 1_000
CONCURRENT_PRODUCERS: Final = 32
MIN_PAUSE: Final = 0.01
MAX_PAUSE: Final = 0.05
"""Seconds between two tasks of `jittered`."""

Producer: TypeAlias = Callable[[Workload, int], Awaitable[Sequence[TaskId]]]


@record
class Production:
    """The ids of tasks that were enqueued, and how many a second."""

    tasks: Sequence[TaskId]
    rate: float


async def produce(producer: Producer, workload: Workload, count: int) -> Production:
    """Let a producer enqueue `count` tasks, and time it."""
    began = perf_counter()
    tasks = await producer(workload, count)
    return Production(tasks, len(tasks) / (perf_counter() - began))


async def serial(workload: Workload, count: int) -> Sequence[TaskId]:
    """Enqueue one by one, each when the one before it is stored."""
    return [(await workload.noop.enqueue(n=n)).id for n in range(count)]


async def serial_blocking(workload: Workload, count: int) -> Sequence[TaskId]:
    """Enqueue one by one through the blocking client."""
    return [workload.noop.enqueue_sync(n=n).id for n in range(count)]


async def bulk(workload: Workload, count: int) -> Sequence[TaskId]:
    """Enqueue in batches of `BATCH`."""
    tasks: list[TaskId] = []
    for start in range(0, count, BATCH):
        calls = [workload.noop.call(n=n) for n in range(start, min(start + BATCH, count))]
        tasks += [_stored(answer).id for answer in await workload.q.client.enqueue_many(calls)]
    return tasks


async def concurrent(workload: Workload, count: int) -> Sequence[TaskId]:
    """Enqueue from several coroutines at once, each of them one by one."""
    shares = [len(range(n, count, CONCURRENT_PRODUCERS)) for n in range(CONCURRENT_PRODUCERS)]
    parts = await asyncio.gather(*(serial(workload, share) for share in shares))
    return [task for part in parts for task in part]


async def jittered(workload: Workload, count: int) -> Sequence[TaskId]:
    """Enqueue with random pauses; each task carries the moment at which it was enqueued."""
    tasks: list[TaskId] = []
    for _ in range(count):
        await asyncio.sleep(random.uniform(MIN_PAUSE, MAX_PAUSE))  # noqa: S311  (no secret)
        tasks.append((await workload.timed.enqueue(enqueued_at=perf_counter())).id)
    return tasks


def _stored(answer: Handle[object] | Refused) -> Handle[object]:
    if isinstance(answer, Refused):
        raise answer.error
    return answer
