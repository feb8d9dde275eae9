"""The Redis broker on a server of its own that keeps nothing on the disk.

`python -m bench.redis [--quick] [section …]` runs it by itself.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from psutil import Process

from bench import redis_connections, redis_lives, redis_million, redis_pushes
from bench.proxy import delayed
from bench.redis_drains import Crew, drained
from bench.redis_scale import FULL, QUICK, Scale
from bench.redis_store import Meter, a_server
from bench.runs import repeated
from qcore.entrypoints.benchmark.producers import bulk, produce, serial_blocking
from qcore.entrypoints.benchmark.run import measure
from qcore.entrypoints.benchmark.workload import Workload
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run

ROUND_TRIP_MS = 2.0
MORE_AT_ONCE = 1_000
CORES_OF_TWO = 3
"""Wanted by two workers and their Redis."""
QUICK_OPTION = "--quick"


def figures(scale: Scale = FULL, sections: tuple[str, ...] = ()) -> dict[str, Any]:
    configure("warning")
    with a_server() as server, Meter(server) as meter:
        about = {"server": meter.version(), "cores": os.cpu_count()}
    return about | {name: SECTIONS[name](scale) for name in sections or SECTIONS}


def _one_worker(scale: Scale) -> dict[str, Any]:
    """Ask in every way, drain, and be idle: `qcore bench`."""
    with a_server() as server:
        return repeated(lambda: _once(server.url, scale), scale.runs)


def _once(url: str, scale: Scale) -> dict[str, Any]:
    blocking = run(_one_by_one(url, scale))
    report = run(measure(url, scale.tasks))
    assert report.is_clean, report
    return report.figures() | {"enqueue_serial_blocking_per_s": round(blocking)}


async def _one_by_one(url: str, scale: Scale) -> float:
    workload = Workload(url, "qcore-bench-blocking")
    async with workload.q:
        # as in `measure`, where there are tasks already
        await bulk(workload, scale.tasks)
        production = await produce(serial_blocking, workload, scale.one_by_one)
        await workload.clear()
    return production.rate


def _drains(scale: Scale) -> dict[str, Any]:
    """Drain with one worker and with others, in turn.

    `two_to_one` says how two workers scale only where there are cores to spare: Redis and two
    workers want three, and two have none left to share. `two_to_one_by_cpu` says how they would if
    nobody had to wait for a core: by what a task costs a worker, alone and beside another, and at
    most as often as Redis could.
    """
    with a_server() as server, delayed(server.port, ROUND_TRIP_MS) as far:
        near, process = server.url, Process(server.pid)
        crews = {
            "one": Crew(near),
            f"one_{MORE_AT_ONCE}_at_once": Crew(near, concurrency=MORE_AT_ONCE),
            f"one_{ROUND_TRIP_MS:g}_ms_away": Crew(near.replace(f":{server.port}", f":{far}")),
            "two": Crew(near, workers=2),
        }
        rates = repeated(lambda: _round(near, crews, scale, process), scale.runs)
    return rates | {"cores_to_spare_with_two": (os.cpu_count() or 1) - CORES_OF_TWO}


def _round(url: str, crews: Mapping[str, Crew], scale: Scale, server: Process) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: drained(url, crew, scale.drained, server) for name, crew in crews.items()
    }
    one, two = found["one"], found["two"]
    most = 1e6 / two["server_cpu_us_per_task"]
    return found | {
        "two_to_one": two["drain_per_s"] / one["drain_per_s"],
        "two_to_one_by_cpu": min(
            2 * one["worker_cpu_us_per_task"] / two["worker_cpu_us_per_task"],
            most / one["drain_per_s"],
        ),
    }


SECTIONS: Mapping[str, Callable[[Scale], dict[str, Any]]] = {
    "one_worker": _one_worker,
    "drains": _drains,
    "lives": redis_lives.figures,
    "pushes": redis_pushes.figures,
    "connections": redis_connections.figures,
    "million": redis_million.figures,
}


def main() -> None:
    words = sys.argv[1:]
    scale = QUICK if QUICK_OPTION in words else FULL
    sections = tuple(word for word in words if word != QUICK_OPTION)
    print(json.dumps(figures(scale, sections), indent=2))


# a worker process imports this module too, under another name
if __name__ == "__main__":
    main()
