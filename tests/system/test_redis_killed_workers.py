"""Workers that are killed, one after the other, while 20,000 tasks run."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest

from qcore import State, Task
from qcore.domain.new_task import DEFAULT_MAX_CRASHES
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.journal import Entry
from tests.system.journal_application import q, work
from tests.system.redis_keys import keys_left
from tests.system.yard import Yard, YardWorker, measured, opened, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TASKS = 20_000
QUEUE = "default"
CREW = 3
LEASE = 3.0
OPTIONS = ("--lease", str(LEASE), "--concurrency", "40")
A_RUN = 0.05
"""Seconds that a handler takes: so a worker that is killed has always some tasks in hand."""
KEPT = 3600.0
BETWEEN_KILLS = 1.0
LINES_BETWEEN_KILLS = TASKS // 10
"""In the journals, two for each task: those that start slowly get to work, too."""
FEWEST_KILLS = 5
NOTICED_WITHIN = LEASE + 5.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Return a server that keeps nothing on its disk."""
    with RedisServer(SERVERS[-1]) as server:
        yield server


@pytest.fixture
async def yard(server: RedisServer, tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a yard on it, with no workers yet."""
    with opened(server.url, tmp_path) as yard:
        async with yard.q:
            yield yard


async def test_every_task_ends_once_however_many_workers_are_killed(
    server: RedisServer, yard: Yard
) -> None:
    """A crash is noticed soon, no verdict of a lost run counts, and nothing is left behind."""
    kept = await yard.ask([work.using(retention=KEPT).call(A_RUN)] * (TASKS // 2))
    plain = await yard.ask([work.call(A_RUN)] * (TASKS // 2))
    began = monotonic()
    killer = Killer(yard)
    await killer.work()
    killed = killer.killed
    measured("kills", len(killed))
    measured("seconds in all", monotonic() - began)
    await yard.leave()

    runs, settled = yard.journal.runs_by_id(), yard.journal.settled_by_id()
    assert set(runs) == {*kept, *plain}
    noticed = [after for each in runs.values() for after in seconds_to_notice(each, killed)]
    measured("crashes", len(noticed))
    measured("seconds to notice a crash, at most", max(noticed))
    assert len(killed) >= FEWEST_KILLS
    assert 0.0 < min(noticed) <= max(noticed) < NOTICED_WITHIN

    completed = await yard.stored(QUEUE, State.COMPLETED)
    dead = await yard.stored(QUEUE, State.DEAD)
    measured("dead", len(dead))
    assert set(completed) == set(kept) - set(dead)
    for task in completed.values():
        is_settled_by_its_last_run(task, runs[task.id])
    for task in dead.values():
        is_poison(task, runs[task.id], killed)
    for each in {*kept, *plain} - set(dead):
        is_known_to_be_settled_once(runs[each], settled.get(each, ()), killed)

    await yard.delete(QUEUE, [*completed, *dead])
    assert keys_left(server) == {"qcore:queues", f"qcore:{{{QUEUE}}}:meta"}


class Killer:
    """Kills the worker that has served longest, each second, and starts another."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self._serving: list[YardWorker] = []
        self._lines = 0
        self.killed: dict[int, float] = {}
        """When, by process id."""

    async def work(self) -> None:
        """Do so until all tasks have ended."""
        self._serving += await self._yard.crew(CREW, *OPTIONS)
        while not await self._yard.is_done():
            self._kill(self._serving.pop(0))
            self._serving.append(self._yard.hire(*OPTIONS))
            await until(self._is_time, "time for the next one")

    def _kill(self, victim: YardWorker) -> None:
        self.killed[victim.pid] = self._last = monotonic()
        victim.end()
        self._lines = len(self._yard.journal.entries())

    async def _is_time(self) -> bool:
        """Say whether a second is over, and the next one has had time to get to work."""
        if monotonic() < self._last + BETWEEN_KILLS:
            return False
        lines = len(self._yard.journal.entries()) - self._lines
        return await self._yard.is_done() or (
            lines >= LINES_BETWEEN_KILLS and self._serving[0].has_started
        )


def seconds_to_notice(runs: Sequence[Entry], killed: Mapping[int, float]) -> Iterator[float]:
    """Yield how long after its worker was killed each run of a task but the last was repeated."""
    for run, again in pairwise(runs):
        assert run.pid in killed, f"{run} was repeated, and its worker lives"
        yield again.at - killed[run.pid]


def is_settled_by_its_last_run(task: Task, runs: Sequence[Entry]) -> None:
    """Assert that the result is of the last run, and that each one before it was a crash."""
    assert task.result is not None
    assert q.codec.loads(task.result, task.result_type, int) == runs[-1].token
    assert (task.attempts, task.failures) == (task.crashes + 1, 0)
    # one may have been lost before its handler wrote it down
    assert len(runs) <= task.attempts


def is_poison(task: Task, runs: Sequence[Entry], killed: Mapping[int, float]) -> None:
    """Assert that a task is dead because each of its runs was lost."""
    assert task.crashes == DEFAULT_MAX_CRASHES >= len(runs)
    assert all(run.pid in killed for run in runs)


def is_known_to_be_settled_once(
    runs: Sequence[Entry], settled: Sequence[Entry], killed: Mapping[int, float]
) -> None:
    """Assert that one verdict counted, of the last run.

    A worker that was killed just then may not have heard of it.
    """
    if settled or runs[-1].pid not in killed:
        assert [each.token for each in settled] == [runs[-1].token]
