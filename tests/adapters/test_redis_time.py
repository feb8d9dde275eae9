import time
from collections.abc import Callable

import pytest

from qcore import Context, Qcore, State
from qcore.adapters.clocks import SystemClock
from qcore.adapters.links.redis.timing import ServerTime
from qcore.domain.lifecycle import Succeeded
from qcore.domain.task import Demand, Settled, Verdict
from qcore.testing import Signals
from tests.servers.redis import RedisServer

HOUR = 3_600.0
SOON = 0.05
wrong = pytest.mark.parametrize("off_by", [HOUR, -HOUR], ids=["fast", "slow"])


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give what sets this machine's clock wrong by so many seconds."""
    right = time.time

    def set_clock(off_by: float) -> None:
        def now() -> float:
            return right() + off_by

        monkeypatch.setattr(time, "time", now)
        monkeypatch.setitem(SystemClock.__init__.__kwdefaults__, "time", now)
        assert abs(SystemClock().now() - right() - off_by) < HOUR / 2

    return set_clock


def server_time(server: RedisServer) -> float:
    """Return what time a server has."""
    seconds, microseconds = server.cli("TIME")
    return seconds + microseconds / 1e6


@wrong
async def test_a_task_starts_when_the_server_says(
    empty_redis: RedisServer, set_clock: Callable[[float], None], off_by: float
) -> None:
    """Its producer's clock is right, its worker's is wrong: not early, and not an hour late."""
    started: list[float] = []
    async with Qcore(empty_redis.url) as producer:
        task = producer.task("task:later")(_nothing)
        handle = await task.using(delay=SOON).enqueue()
        due = (await _stored(handle)).due
        set_clock(off_by)
        signals = Signals()
        async with Qcore(empty_redis.url, instruments=[signals]) as q:
            ...
