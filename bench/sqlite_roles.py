"""Processes of `bench.sqlite_processes`: a worker, producers, and listeners.

Each prints JSON, a line a value. PYTHONPATH says which qcore they use, so that two trees can be
compared in one run; they use nothing that an older tree does not have.
"""

import asyncio
import json
import os
import random
import sys
from signal import SIG_BLOCK, SIGTERM, pthread_sigmask, sigwait
from time import perf_counter, process_time, sleep
from typing import Any

from qcore import Context, Qcore
from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.ports import WorkAvailable

SHORTEST_GAP, LONGEST_GAP = 0.025, 0.075
"""Seconds between two tasks that are to find the worker idle."""

q = Qcore(os.environ["QCORE_URL"])
starts: list[tuple[float, float]] = []
"""What each task carries, and when it began."""


@q.task("bench:noop")
async def noop(_ctx: Context, at: float) -> None:
    starts.append((at, perf_counter()))


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def serve(*, burst: bool) -> None:
    """Run a worker until SIGTERM; a burst begins at a line from the standard input."""
    async with q:
        worker = q.worker(burst=burst)
        asyncio.get_running_loop().add_signal_handler(SIGTERM, worker.stop)
        say("ready")
        if burst:
            sys.stdin.readline()
        before = process_time()
        await worker.run()
    say({"starts": starts, "cpu": process_time() - before})


async def fill(number: int) -> None:
    """Enqueue tasks in bulk."""
    async with q:
        await q.client.enqueue_many([noop.call(at=0.0) for _ in range(number)])
    say("filled")


def produce(number: int) -> None:
    """Enqueue tasks now and then; say when each was asked for, and when that was answered."""
    dice = random.Random(1)
    moments: list[tuple[float, float]] = []
    for _ in range(number):
        sleep(dice.uniform(SHORTEST_GAP, LONGEST_GAP))
        asked = perf_counter()
        noop.enqueue_sync(at=asked)
        moments.append((asked, perf_counter()))
    say(moments)


def push(number: int, gap: float) -> None:
    """Enqueue tasks one by one; say the processor time that each took, in seconds."""
    seconds: list[float] = []
    for _ in range(number):
        if gap:
            sleep(gap)
        began = process_time()
        noop.enqueue_sync(at=0.0)
        seconds.append(process_time() - began)
    say(seconds)


def stay(number: int, *, listens: bool) -> None:
    """Have the file open in so many processes, and be told of commits, until SIGTERM."""
    pthread_sigmask(SIG_BLOCK, [SIGTERM])
    children = [pid for _ in range(number) if (pid := _forked(listens=listens))]
    say("ready")
    sigwait([SIGTERM])
    for pid in children:
        os.kill(pid, SIGTERM)
        os.waitpid(pid, 0)


def _forked(*, listens: bool) -> int:
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        asyncio.run(_opened(told, listens=listens))
        os._exit(0)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    return child


async def _opened(told: int, *, listens: bool) -> None:
    broker = SqliteBroker(AsyncSqliteLink(os.environ["QCORE_URL"].removeprefix("sqlite:///")))
    await broker.count()
    if listens:
        await broker.subscribe(["default"], {WorkAvailable}, lambda _: None)
    os.write(told, b".")
    sigwait([SIGTERM])


def main() -> None:
    configure("warning")
    role, *arguments = sys.argv[1:]
    numbers = [float(each) for each in arguments]
    awaited: dict[str, Any] = {
        "worker": lambda: serve(burst=False),
        "drainer": lambda: serve(burst=True),
        "fill": lambda: fill(int(numbers[0])),
    }
    if role in awaited:
        run(awaited[role]())
    elif role in {"open", "listen"}:
        stay(int(numbers[0]), listens=role == "listen")
    elif role == "push":
        push(int(numbers[0]), numbers[1])
    else:
        produce(int(numbers[0]))


if __name__ == "__main__":
    main()
