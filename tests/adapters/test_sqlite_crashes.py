"""SIGKILL at any instant loses nothing that was acknowledged."""

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.states import State
from qcore.domain.task import Claim
from qcore.testing.builders import LEASE, NOW, a_demand, some_tasks

pytestmark = pytest.mark.system

START = """
import asyncio, sys, uuid
from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.domain.transitions import Succeeded
from qcore.domain.task import Verdict
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

broker = SqliteBroker(AsyncSqliteLink(sys.argv[1]))

def say(word):
    print(word, flush=True)
"""

ENQUEUE = (
    START
    + """
async def enqueue():
    while True:
        tasks = [a_task(id=uuid.uuid4().hex, payload=bytes(2000)) for _ in range(3)]
        await broker.enqueue(tasks, now=NOW)
        say(" ".join(task.id for task in tasks))

async def main():
    await asyncio.gather(*(enqueue() for _ in range(4)))

asyncio.run(main())
"""
)

WORK = (
    START
    + """
async def main():
    while claims := await broker.claim(a_demand(3), now=NOW, until=NOW + LEASE):
        await broker.settle([Verdict(claim.lease, Succeeded()) for claim in claims[1:]], now=NOW)
        say(" ".join(claim.task.id for claim in claims[1:]))

asyncio.run(main())
"""
)


def killed(script: str, path: Path, words: int) -> set[str]:
    """Run a script, kill it after so many words, and return all it said."""
    command = [sys.executable, "-c", script, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(words)]
        child.kill()
        # a word cut short was not said
        lines += [line for line in child.stdout if line.endswith("\n")]
    return {task for line in lines for task in line.split()}


def undamaged(path: Path) -> bool:
    """Return whether the file is whole, and its counts are those of its tasks."""
    with closing(sqlite3.connect(path)) as connection:
        counted = {
            (queue, state): number
            for queue, state, number in connection.execute(
                "SELECT q.name, t.state, count(*) FROM qcore_tasks AS t "
                "JOIN qcore_queues AS q ON q.key = t.queue GROUP BY 1, 2"
            )
        }
        whole = connection.execute("PRAGMA integrity_check").fetchone()
    broker = SqliteBroker(BlockingSqliteLink(path))
    counts = run_inline(broker.count())
    run_inline(broker.close())
    said = {(q, state.value): n for q, states in counts.items() for state, n in states.items()}
    return whole == ("ok",) and said == counted


def test_every_acknowledged_task_is_there(path: Path) -> None:
    """A producer killed again and again finds all it was told of, and whole batches alone."""
    dice = random.Random(4)
    said: set[str] = set()
    for _ in range(6):
        said |= killed(ENQUEUE, path, dice.randrange(1, 60))
    broker = SqliteBroker(BlockingSqliteLink(path))
    tasks = run_inline(broker.browse("default", State.PENDING, 10_000)).tasks
    run_inline(broker.close())
    assert len(said) > 50
    assert said <= {task.id for task in tasks}
    assert len(tasks) % 3 == 0
    assert undamaged(path)


def test_no_task_of_a_killed_worker_is_lost_or_settled_twice(path: Path) -> None:
    """What a killed worker had settled is over; all else is taken back once its leases end."""
    dice = random.Random(5)
    broker = SqliteBroker(BlockingSqliteLink(path))
    tasks = some_tasks(1500, max_crashes=10)
    run_inline(broker.enqueue(tasks, now=NOW))
    settled: set[str] = set()
    for _ in range(6):
        settled |= killed(WORK, path, dice.randrange(1, 60))
    swept = run_inline(broker.sweep(["default"], 10_000, now=NOW + LEASE))
    claims: list[Claim] = []
    # those that have crashed are handed out a few at a time
    while more := run_inline(broker.claim(a_demand(5000), now=NOW + LEASE, until=NOW + 2 * LEASE)):
        claims += more
    run_inline(broker.close())
    left = {claim.task.id for claim in claims}
    assert len(left) == len(claims)
    assert swept.crashed
    assert not left & settled
    # between the commit and the word of it there is time to be killed
    assert len({task.id for task in tasks} - left - settled) <= 2 * 6
    assert undamaged(path)
