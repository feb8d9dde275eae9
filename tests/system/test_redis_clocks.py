"""Workers on machines whose clocks are an hour wrong, each way, beside one that is right."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from qcore import State
from qcore.domain.task import Claim, Demand
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer
from tests.system.journal_application import ask_for_later, hold, work
from tests.system.yard import Yard, measured, opened, until

pytestmark = pytest.mark.system

AN_HOUR = 3600.0
CLOCKS = (-AN_HOUR, 0.0, AN_HOUR)
LEASE = 4.0
LATER = 3.0
LONG = 2 * LEASE
"""Long enough for every worker to renew its leases and to sweep, more than once."""
A_BIT = 0.5
"""Seconds by which clocks may differ that were compared over a slow connection."""


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    """Return a yard on a server of its own."""
    with RedisServer(SERVERS[-1]) as server, opened(server.url, tmp_path) as yard:
        async with yard.q:
            yield yard


async def hire_all(yard: Yard) -> None:
    """Start a worker with each clock, for one task at a time, and with a queue of its own too."""
    options = ("--lease", str(LEASE), "--concurrency", "1", "--queues")
    for clock in CLOCKS:
        yard.hire(*options, f"default,{own(clock)}", clock=clock)
    for worker in yard.workers:
        await worker.said("worker started")


def own(clock: float) -> str:
    """Return the queue that only a worker with this clock serves."""
    return f"clock{clock:+.0f}"


async def lost(yard: Yard, lease: float) -> Claim:
    """Claim a task for somebody who will never be heard of again."""
    await yard.ask([work.using(task_id="lost").call()])
    now = yard.q.clock.now()
    demand = Demand(1, {"default": 1})
    [claim] = await yard.q.broker.claim(demand, now=now, until=now + lease)
    return claim


async def test_no_worker_takes_what_another_one_has(yard: Yard) -> None:
    """Each holds a task through many leases, and a lease that ends is noticed when it does."""
    asked = await yard.ask([hold.using(retention=AN_HOUR).call()] * len(CLOCKS))
    await hire_all(yard)
    await until(lambda: len(yard.journal.runs()) == len(CLOCKS), "a run of each")
    # now that nobody else has room for it
    claim = await lost(yard, LONG)

    async def is_noticed() -> bool:
        task = await yard.q.inspector.get("default", claim.task.id)
        return task is not None and task.state is State.PENDING

    await until(is_noticed, "a lost task is noticed")
    late = yard.q.clock.now() - claim.lease.until
    measured("seconds after the end of a lease", late)
    yard.release()
    await yard.done()
    await yard.leave()

    assert late > -A_BIT
    assert len({run.pid for run in yard.journal.runs() if run.id in asked}) == len(CLOCKS)
    completed = await yard.stored("default", State.COMPLETED)
    assert [(completed[id_].attempts, completed[id_].crashes) for id_ in asked] == [(1, 0)] * 3
    assert [run.id for run in yard.journal.runs()].count(claim.task.id) == 1


async def test_a_delayed_task_starts_when_the_servers_time_has_come(yard: Yard) -> None:
    """Whoever asks for it, and whoever runs it."""
    await hire_all(yard)
    names = [own(clock) for clock in CLOCKS]
    await yard.ask([ask_for_later.using(queue=name, task_id=name).call(LATER) for name in names])
    await until(lambda: all_have_begun(yard, names), "all have run")

    runs = yard.journal.runs_by_id()
    for name in names:
        [asked], [begun] = runs[name], runs[f"later-{name}"]
        measured(f"seconds late, asked for by {name}", begun.at - asked.at - LATER)
        assert begun.at > asked.at + LATER - A_BIT


def all_have_begun(yard: Yard, names: Sequence[str]) -> bool:
    """Say whether the tasks have begun that these have asked for."""
    return {f"later-{name}" for name in names} <= set(yard.journal.runs_by_id())
