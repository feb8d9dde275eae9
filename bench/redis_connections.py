"""What our asynchronous connection saves over redis-py's: tasks enqueued one by one, and in bulk.

Both are used in turn in one process, in slices of a few calls, so that whatever else the machine
does slows both alike. `saved` is the median, over all slices, of the part of redis-py's time that
ours saves: of the time that passes, and of this process's CPU time.
"""

from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any

import redis.asyncio

from bench.redis_scale import Scale
from bench.redis_store import a_server
from bench.runs import repeated
from qcore import Context, Qcore
from qcore.adapters.links.redis import link_over, link_to
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.adapters.links.redis.url import parse
from qcore.adapters.redis import RedisBroker
from qcore.entrypoints.loop import run

SLICE = 20
BULK = 500
SLICES_OF_BULK = 20


def figures(scale: Scale) -> dict[str, Any]:
    with a_server() as server:
        return repeated(lambda: run(_once(server.url, scale)), scale.runs)


async def _once(url: str, scale: Scale) -> dict[str, Any]:
    address = parse(url)
    settings = address.connection_settings()

    def theirs() -> Any:
        return redis.asyncio.Connection(
            host=settings.host, port=settings.port, protocol=2, socket_timeout=settings.timeout
        )

    ours = _app(RedisBroker(link_to(address)))
    other = _app(RedisBroker(link_over(theirs, lambda: sync_connection(settings))))
    async with ours, other:
        slices = max(1, scale.one_by_one // SLICE)
        return {
            "one_by_one": await _compared(ours, other, _one_by_one, slices),
            "bulk": await _compared(ours, other, _bulk, min(slices, SLICES_OF_BULK)),
        }


def _app(broker: RedisBroker) -> Qcore:
    q = Qcore(broker=broker)

    @q.task("bench:noop")
    async def noop(_ctx: Context, n: int) -> None: ...

    return q


async def _compared(
    ours: Qcore, theirs: Qcore, use: Callable[[Qcore], Awaitable[int]], slices: int
) -> dict[str, Any]:
    taken: dict[Qcore, list[tuple[float, float]]] = {ours: [], theirs: []}
    for n in range(slices):
        for q in (ours, theirs) if n % 2 else (theirs, ours):
            wall, cpu = perf_counter(), process_time()
            tasks = await use(q)
            spent = perf_counter() - wall, process_time() - cpu
            taken[q].append((spent[0] / tasks * 1e6, spent[1] / tasks * 1e6))
    found: dict[str, Any] = {}
    for n, kind in enumerate(("us", "cpu_us")):
        pairs = [(mine[n], other[n]) for mine, other in zip(*taken.values(), strict=True)]
        found[kind] = median(mine for mine, _ in pairs)
        found[f"redis_py_{kind}"] = median(other for _, other in pairs)
        found[f"saved_{kind}"] = median(1 - mine / other for mine, other in pairs)
    return found


async def _one_by_one(q: Qcore) -> int:
    for n in range(SLICE):
        await q.client.enqueue(_call(q, n))
    return SLICE


async def _bulk(q: Qcore) -> int:
    await q.client.enqueue_many([_call(q, n) for n in range(BULK)])
    return BULK


def _call(q: Qcore, n: int) -> Any:
    handler = q.resolve("bench:noop")
    assert handler is not None
    return handler.call(n=n)
