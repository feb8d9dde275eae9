"""What five browsers that watch the dashboard cost a Redis that does a thousand tasks a second.

`python -m bench.dashboard_live`. A producer and a worker keep their pace in one process, the
dashboard is served by another, and five clients do what the script of a live page does: a stream of
events each, and the page again when it tells of changes, `LEAST` seconds after the last at the
earliest. The judge is the processor time of the server, with the browsers and without, in turn.
QCORE_BENCH_SECONDS is how long each turn takes.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Any, Final

import httpx
import psutil

from bench.redis_store import Meter, a_server
from qcore import Context, Qcore
from qcore.entrypoints.loop import run
from qcore.statistics import totals
from tests.servers.ports import free_port

SECONDS: Final = float(os.environ.get("QCORE_BENCH_SECONDS", "60"))
TURNS: Final = 3
RATE: Final = 1_000
BEAT: Final = 0.05
LEAST: Final = 2.5
"""Seconds between two loads of a page, and ten times what a load has taken: static/live.js."""
PAGES: Final[Sequence[tuple[str, Mapping[str, str]]]] = (
    ("", {}),
    ("", {}),
    ("", {"span": "day"}),
    ("queue", {"queue": "default"}),
    ("queue", {"queue": "default", "state": "completed"}),
)


def figures() -> dict[str, Any]:
    """Return the percent of a processor that the server used, with browsers and without."""
    return run(_measured())


async def _measured() -> dict[str, Any]:
    with a_server() as server, Meter(server) as meter:
        port = free_port()
        async with (
            _process("-m", "bench.dashboard_live", "work", server.url),
            _process("-m", "qcore", "dashboard", "--url", server.url, "--port", str(port)) as board,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
        ):
            await _until_served(http)
            turns: list[dict[str, float]] = []
            for _ in range(TURNS):
                without = await _turn(meter, board)
                async with _browsers(http) as loads:
                    with_them = await _turn(meter, board)
                turns.append(
                    {
                        "without": without["server"],
                        "with": with_them["server"],
                        "dashboard": with_them["dashboard"],
                        "pages_a_second": round(len(loads) / SECONDS, 2),
                        "page_ms": round(1_000 * median(loads), 1),
                    }
                )
            tasks = await _tasks_a_second(server.url)
    added = [each["with"] - each["without"] for each in turns]
    return {
        "tasks_a_second": tasks,
        "added_percent": round(median(added), 3),
        "percent_of_a_processor": turns,
    }


async def _tasks_a_second(url: str) -> float:
    """Return how many tasks have ended in the last minute that is over."""
    async with Qcore(url, instruments=[]) as q:
        rows = await q.inspector.statistics(by="minute")
        by_minute = [each.succeeded for each in totals(rows, "start").values()]
    return round(by_minute[-2] / 60, 1) if len(by_minute) > 1 else 0.0


async def _turn(meter: Meter, board: Process) -> dict[str, float]:
    """Return percents of a processor: of the server, and of the dashboard; and tasks a second."""
    process = psutil.Process(board.pid)
    await asyncio.sleep(1)
    before, used, began = meter.read(), _seconds(process), perf_counter()
    await asyncio.sleep(SECONDS)
    after, seconds = meter.read(), perf_counter() - began
    return {
        "server": round((after.cpu - before.cpu) / 1e4 / seconds, 2),
        "dashboard": round(100 * (_seconds(process) - used) / seconds, 2),
    }


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@asynccontextmanager
async def _process(*words: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, *words)
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _until_served(http: httpx.AsyncClient) -> None:
    for _ in range(300):
        try:
            await http.get("/")
        except httpx.TransportError:
            await asyncio.sleep(0.1)
        else:
            return
    sys.exit("the dashboard was not served within 30 s")


@asynccontextmanager
async def _browsers(http: httpx.AsyncClient) -> AsyncIterator[list[float]]:
    """Have the pages watched; yield the seconds that their loads take."""
    loads: list[float] = []
    async with AsyncExitStack() as stack:
        for path, parameters in PAGES:
            watching = asyncio.create_task(_watch(http, path, parameters, loads))
            stack.callback(watching.cancel)
        yield loads


async def _watch(
    http: httpx.AsyncClient, path: str, parameters: Mapping[str, str], loads: list[float]
) -> None:
    changed = asyncio.Event()
    loading = asyncio.create_task(_load(http, path, parameters, changed, loads))
    queue = {"queue": parameters["queue"]} if "queue" in parameters else {}
    try:
        async with http.stream("GET", "/live", params=queue) as stream:
            async for line in stream.aiter_lines():
                if line == "event: changed":
                    changed.set()
    finally:
        loading.cancel()


async def _load(
    http: httpx.AsyncClient,
    path: str,
    parameters: Mapping[str, str],
    changed: asyncio.Event,
    loads: list[float],
) -> None:
    while await changed.wait():
        changed.clear()
        began = perf_counter()
        (await http.get(f"/{path}", params=parameters)).raise_for_status()
        loads.append(perf_counter() - began)
        await asyncio.sleep(max(LEAST, 10 * loads[-1]))


async def _work(url: str) -> None:
    """Enqueue and run a thousand tasks a second."""
    q = Qcore(url, instruments=[])

    @q.task("bench:noop")
    async def noop(ctx: Context, number: int) -> None:
        pass

    async def produce() -> None:
        began, made = perf_counter(), 0
        while True:
            due = int((perf_counter() - began) * RATE)
            await q.client.enqueue_many([noop.call(number=n) for n in range(made, due)])
            made = due
            await asyncio.sleep(BEAT)

    producing = asyncio.create_task(produce())
    try:
        await q.worker().run()
    finally:
        producing.cancel()


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        run(_work(sys.argv[2]))
    else:
        print(json.dumps(figures(), indent=2))
