"""How soon word gets from one process to another: of a cancellation, and of a result.

`cancelled_ms` is from the order, in this process, to `CancelledError` in the handler, in a
worker's. `result_ms` is from the verdict, which the worker has been told is written, to
the return of `handle.result()` here. Both are on one clock (monotonic is the machine's, not the
process's).
"""

import asyncio
from collections.abc import Sequence
from multiprocessing.connection import Connection
from statistics import median, quantiles
from time import monotonic
from typing import Any

from bench.redis_drains import heard, spawning
from bench.redis_scale import Scale
from bench.redis_store import a_server
from bench.runs import repeated
from qcore import Context, Qcore, State
from qcore.domain.answers import Settled
from qcore.domain.events import Event, TasksSettled, WorkerStarted
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

QUEUE = "bench"
FOR_EVER = 3_600.0
A_WHILE = 0.002
"""Seconds that a handler takes whose result is waited for: so that somebody waits already."""


def figures(scale: Scale) -> dict[str, Any]:
    with a_server() as server:
        return repeated(lambda: run(_once(server.url, scale.pushes)), scale.runs)


async def _once(url: str, times: int) -> dict[str, Any]:
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, url), daemon=True)
    process.start()
    q = _app(url, None)
    try:
        async with q:
            await heard(ours)
            cancelled = [await _cancelled(q, ours) for _ in range(times)]
            results = [await _result(q, ours) for _ in range(times)]
    finally:
        process.kill()
        process.join()
    return {"cancelled_ms": _spread(cancelled), "result_ms": _spread(results)}


async def _cancelled(q: Qcore, pipe: Connection) -> float:
    handle = await q.client.enqueue(_call(q, "bench:hold"))
    await heard(pipe)
    began = monotonic()
    await q.inspector.cancel(handle.queue, [handle.id])
    ended: float = await heard(pipe)
    return ended - began


async def _result(q: Qcore, pipe: Connection) -> float:
    handle = await q.client.enqueue(_call(q, "bench:answer"))
    await handle.result(timeout=30)
    ended = monotonic()
    written: float = await heard(pipe)
    return ended - written


def _call(q: Qcore, name: str) -> Any:
    handler = q.resolve(name)
    assert handler is not None
    return handler.call()


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50": 1e3 * median(seconds), "p99": 1e3 * cuts[98], "max": 1e3 * max(seconds)}


def _serve(pipe: Connection, url: str) -> None:
    """Work until killed: the main function of a worker's process."""
    configure("error")
    run(_work(pipe, url))


async def _work(pipe: Connection, url: str) -> None:
    q = _app(url, pipe)
    async with q:
        await q.worker(queues=[QUEUE]).run()


def _app(url: str, pipe: Connection | None) -> Qcore:
    """Return an application, for the worker with a pipe to tell of what happens."""

    def tell(what: object) -> None:
        if pipe is not None:
            pipe.send(what)

    def settled(event: Event) -> None:
        if isinstance(event, WorkerStarted):
            tell("ready")
        elif isinstance(event, TasksSettled) and Settled(State.COMPLETED) in event.answers:
            tell(monotonic())

    q = Qcore(url, instruments=[settled])

    @q.task("bench:hold", queue=QUEUE, timeout=None)
    async def hold(_: Context) -> None:
        tell("running")
        try:
            await asyncio.sleep(FOR_EVER)
        except asyncio.CancelledError:
            tell(monotonic())
            raise

    @q.task("bench:answer", queue=QUEUE, retention=60)
    async def answer(_: Context) -> int:
        await asyncio.sleep(A_WHILE)
        return 42

    return q
