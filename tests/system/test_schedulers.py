"""Ten schedulers on one store, each a process: whatever happens to them, each tick is made once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcore import Qcore
from tests.servers.binaries import SERVERS
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer
from tests.system.schedule_application import DEATHS
from tests.system.schedule_kit import ENTRY, Collector, SchedulerProcess
from tests.system.yard import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SCHEDULERS = 10
AN_HOUR = 3600.0
CLOCKS = (-AN_HOUR, 0.0, AN_HOUR)
A_FEW = 3
"""Ticks."""

Start = Callable[..., SchedulerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a scheduler; all of them are killed at the end."""
    started: list[SchedulerProcess] = []

    def start(url: str, *, death: str | None = None, clock: float = 0.0) -> SchedulerProcess:
        log = tmp_path / f"log-{len(started)}"
        started.append(SchedulerProcess(url, log, death=death, clock=clock))
        return started[-1]

    yield start
    for each in started:
        each.kill()


async def test_ten_schedulers_on_one_file_make_each_tick_once(start: Start, tmp_path: Path) -> None:
    """One is killed between any two of its steps, and others wherever they are."""
    url = f"sqlite:///{tmp_path / 'qcore.db'}"
    async with Qcore(url, instruments=()) as q:
        ticks = Collector(q)
        await die_at_each_step(start, url, [0.0])
        schedulers = [start(url) for _ in range(SCHEDULERS)]
        await ticks.ticked(A_FEW)
        for victim in schedulers[:A_FEW]:
            victim.begin_again()
            await ticks.ticked(A_FEW)
        for each in schedulers:
            each.kill()
        await ticks.check()


async def test_ten_schedulers_on_one_redis_make_each_tick_once(start: Start) -> None:
    """With clocks an hour wrong, each way, and one killed between any two of its steps.

    Replies of ticks are lost on their way, and the server is killed and comes back.
    """
    config = ("appendonly yes", "appendfsync always")
    with RedisServer(SERVERS[-1], *config) as server, Proxy(server.port) as proxy:
        async with Qcore(server.url, instruments=()) as q:
            ticks = Collector(q)
            await die_at_each_step(start, proxy.url, CLOCKS)
            clocks = [CLOCKS[n % len(CLOCKS)] for n in range(SCHEDULERS)]
            schedulers = [start(proxy.url, clock=clock) for clock in clocks]
            await ticks.ticked(A_FEW)
            for victim in schedulers[:2]:
                lost = proxy.cut_reply(is_tick)
                victim.begin_again()
                await until(lost.is_set, "a reply that is lost")
                await ticks.ticked(A_FEW)
            server.kill()
            server.start()
            await ticks.ticked(A_FEW)
            for each in schedulers:
                each.kill()
            await ticks.check()


async def die_at_each_step(start: Start, url: str, clocks: list[float] | tuple[float, ...]) -> None:
    """Have a scheduler killed before it declares, one after that, and one at each later step."""
    for death in ("before declare", "after declare"):
        await start(url, death=death, clock=clocks[-1]).died()
    mortals = [
        start(url, death=death, clock=clocks[n % len(clocks)]) for n, death in enumerate(DEATHS)
    ]
    for each in mortals:
        await each.died()


def is_tick(request: bytes) -> bool:
    """Return whether a request brings the task of a tick."""
    return f"{ENTRY}@".encode() in request
