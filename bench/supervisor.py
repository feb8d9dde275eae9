"""Four workers below a supervisor against one, on one Redis, by what a task costs each of them.

How many tasks a second four workers run shows only where there are cores to spare: five, with
Redis. Processor time shows it everywhere. Workers do as many as their cores allow, their number
over the cost of a task, and no more than Redis can, which has one core: `four_to_one` is the
smaller of the two, over what one worker does, and `bound` says whose that is.
`python -m bench.supervisor [--quick]` runs it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import Any

from psutil import Process

from bench.app import compute, noop
from bench.redis_store import a_server
from bench.runs import repeated
from qcore import Qcore
from qcore.types import Call

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "qcore", "worker", "bench.app:q", "--workers")
MANY = 4
TASKS = 60_000
QUICK_TASKS = 2_000
RUNS = 3
BATCH = 1_000
GLANCE = 0.05
PATIENCE = 120.0
UNTIL = 5_000
QUICK_OPTION = "--quick"


def figures(tasks: int = TASKS, runs: int = RUNS) -> dict[str, Any]:
    calls = {"noop": noop.call(), "compute": compute.call(UNTIL)}
    with a_server() as server:
        return {"cores": os.cpu_count()} | {
            name: _with_bound(
                repeated(lambda call=call: _pair(server.url, server.pid, call, tasks), runs)  # type: ignore[misc]
            )
            for name, call in calls.items()
        }


def _with_bound(pair: dict[str, Any]) -> dict[str, Any]:
    """Say which of the two the four workers have to wait for, by the medians."""
    four = {name: each["median"] for name, each in pair["four"].items()}
    is_redis = four["server_us"] > four["worker_us"] / MANY
    return {**pair, "bound": "redis" if is_redis else "workers"}


def _pair(url: str, server: int, call: Call[Any], tasks: int) -> dict[str, Any]:
    """Measure one worker and four, one after the other."""
    one, four = (_drained(url, Process(server), call, tasks, each) for each in (1, MANY))
    return {
        "one": one,
        "four": four,
        "four_to_one": _rate(four, MANY) / _rate(one, 1),
        "four_to_one_without_redis": MANY * one["worker_us"] / four["worker_us"],
    }


def _rate(costs: dict[str, float], workers: int) -> float:
    return min(workers / costs["worker_us"], 1 / costs["server_us"])


def _drained(
    url: str, server: Process, call: Call[Any], tasks: int, workers: int
) -> dict[str, float]:
    """Return what a task costs the workers, the server and the supervisor, in µs."""
    with _supervised(url, workers) as supervisor:
        children = supervisor.children()
        assert len(children) == workers
        asyncio.run(_fill(url, call, tasks))
        before = _used(children), _used([server]), _used([supervisor])
        supervisor.send_signal(signal.SIGCONT)
        asyncio.run(_emptied(url))
        after = _used(children), _used([server]), _used([supervisor])
    spent = [1e6 * (b - a) / tasks for a, b in zip(before, after, strict=True)]
    return dict(zip(("worker_us", "server_us", "supervisor_us"), spent, strict=True))


def _used(processes: Sequence[Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


async def _fill(url: str, call: Call[Any], tasks: int) -> None:
    async with Qcore(url) as q:
        for _ in range(0, tasks, BATCH):
            await q.client.enqueue_many([call] * BATCH)


async def _emptied(url: str) -> None:
    async with Qcore(url) as q, asyncio.timeout(PATIENCE):
        while await q.inspector.totals():  # noqa: ASYNC110  (a store tells nobody that it is empty)
            await asyncio.sleep(GLANCE)


@contextmanager
def _supervised(url: str, workers: int) -> Iterator[Process]:
    """Run a supervisor whose workers are ready, and paused: all begin with a queue that is full."""
    environment = os.environ | {"QCORE_URL": url}
    command = [*COMMAND, str(workers)]
    with Popen(command, cwd=ROOT, env=environment, stderr=PIPE, text=True) as process:
        assert process.stderr is not None
        _await(process.stderr, "worker serves", workers)
        process.send_signal(signal.SIGUSR1)
        _await(process.stderr, "worker paused", workers)
        # what they say further must not fill the pipe
        Thread(target=process.stderr.read, daemon=True).start()
        yield Process(process.pid)
        process.terminate()


def _await(log: Iterable[str], event: str, times: int) -> None:
    said = (line for line in log if event in line)
    for _ in range(times):
        next(said)


if __name__ == "__main__":
    quick = {"tasks": QUICK_TASKS, "runs": 1} if QUICK_OPTION in sys.argv[1:] else {}
    print(json.dumps(figures(**quick), indent=2))
