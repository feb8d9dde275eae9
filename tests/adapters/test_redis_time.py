import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import hiredis
import pytest

from qcore import Context, Qcore
from qcore.adapters.clocks import SystemClock
from qcore.adapters.links.clock_sync import ServerClock
from qcore.adapters.links.redis import Link, link_over
from qcore.adapters.links.redis.connection_base import ConnectionSettings
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.adapters.links.redis.url import parse
from qcore.domain.answers import LeaseLost
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Succeeded
from qcore.testing import Signals
from qcore.testing.contract.base import step
from tests.servers.redis import RedisServer

HOUR = 3_600.0
SOON = 0.4
LESS = SOON / 2
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
        assert abs(SystemClock().now() - right()) > HOUR / 2

    return set_clock


def server_time(server: RedisServer) -> float:
    """Return what time a server has."""
    seconds, microseconds = server.cli("TIME")
    return int(seconds) + int(microseconds) / 1e6


@wrong
async def test_a_task_starts_when_the_server_says(
    empty_redis: RedisServer, set_clock: Callable[[float], None], off_by: float
) -> None:
    """Its worker's clock is an hour wrong: it comes neither early nor an hour late."""
    began: list[float] = []

    async def later(ctx: Context) -> None:
        began.append(server_time(empty_redis))

    async with Qcore(empty_redis.url) as producer:
        asked = server_time(empty_redis)
        handle = await producer.task("task:later")(later).using(delay=SOON).enqueue()
        stored = await handle.task()
        assert stored is not None
        assert asked - LESS < stored.created < server_time(empty_redis) + LESS
    set_clock(off_by)
    signals = Signals()
    async with Qcore(empty_redis.url, instruments=[signals]) as q:
        q.task("task:later")(later)
        worker = q.worker()
        running = asyncio.ensure_future(worker.run())
        await signals.settled.next()
        worker.stop()
        await running
    assert began[0] > stored.due - LESS


@wrong
async def test_a_producer_with_a_wrong_clock_asks_for_the_right_moment(
    empty_redis: RedisServer, set_clock: Callable[[float], None], off_by: float
) -> None:
    """What it wants later is due later by the server's clock, blocking or not."""
    set_clock(off_by)
    async with Qcore(empty_redis.url) as q:
        task = q.task("task:later")(nothing).using(delay=60.0)
        for handle in (await task.enqueue(), await asyncio.to_thread(task.enqueue_sync)):
            (stored,) = await q.broker.get("default", [handle.id])
            assert stored is not None
            assert abs(stored.due - 60 - server_time(empty_redis)) < HOUR / 2


@wrong
async def test_a_worker_with_a_wrong_clock_takes_nothing_from_another(
    empty_redis: RedisServer, set_clock: Callable[[float], None], off_by: float
) -> None:
    """It sees leases as they are: those that last, and those that are over."""
    async with Qcore(empty_redis.url) as right:
        await right.task("task:held")(nothing).enqueue()
        await right.task("task:lost")(nothing).enqueue()
        held = await claimed(right, lasting=30.0)
        lost = await claimed(right, lasting=0.0)
        set_clock(off_by)
        async with Qcore(empty_redis.url) as q:
            swept = await q.broker.sweep(["default"], 10, now=q.clock.now())
            assert swept.crashed == 1
            again = await claimed(q, lasting=30.0)
            assert again.lease.id == lost.lease.id
            swept = await right.broker.sweep(["default"], 10, now=right.clock.now())
            assert swept.crashed == 0
            verdicts = [Verdict(claim.lease, Succeeded()) for claim in (held, lost, again)]
            answers = await right.broker.settle(verdicts, now=right.clock.now())
            assert [isinstance(answer, LeaseLost) for answer in answers] == [False, True, False]


async def nothing(ctx: Context) -> None:
    """Do nothing."""


async def claimed(q: Qcore, lasting: float) -> Claim:
    """Claim a task, as a worker of this queue does."""
    now = q.clock.now()
    (claim,) = await q.broker.claim(Demand(1, {"default": 1}), now=now, until=now + lasting)
    return claim


def test_an_answer_that_took_long_does_not_move_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that was busy when it came is no news of the server; a quick answer is."""
    monotonic = [1_000.0]
    monkeypatch.setattr("qcore.adapters.links.clock_sync.monotonic", lambda: monotonic[0])
    server = ServerClock()
    server.update(5000.0, 1_000.0, 1_000.002)
    assert server.now() == pytest.approx(5_000.0 - 0.001)
    monotonic[0] = 1_070.0
    assert server.is_stale
    server.update(5064.0, 1_064.0, 1_070.0)
    assert not server.is_stale
    assert server.now() == pytest.approx(5_070.0 - 0.001)
    server.update(5080.0, 1_070.0, 1_070.002)
    assert server.now() == pytest.approx(5_080.0 - 0.001)


def test_the_first_answer_is_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it took; and the next that is better is believed."""
    monkeypatch.setattr("qcore.adapters.links.clock_sync.monotonic", lambda: 1_010.0)
    server = ServerClock()
    server.update(5000.5, 1_000.0, 1_010.0)
    assert server.now() == pytest.approx(5_005.5)
    server.update(5003.0, 1_010.0, 1_010.0)
    assert server.now() == pytest.approx(5_003.0)


def test_a_clock_that_stood_still_is_set_right_by_the_next_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine was suspended for an hour: what the wall clock says is reason to ask again.

    The answer is believed though it is no better than the last one: the two cannot both be right.
    """
    monotonic, wall = [1_000.0], [9_000.0]
    monkeypatch.setattr("qcore.adapters.links.clock_sync.monotonic", lambda: monotonic[0])
    monkeypatch.setattr(time, "time", lambda: wall[0])
    server = ServerClock()
    server.update(5000.0, 1_000.0, 1_000.002)
    assert not server.is_stale
    monotonic[0] += 1.0
    wall[0] += 1.0 + HOUR
    assert server.is_stale
    server.update(8601.0, 1_001.0, 1_001.3)
    assert not server.is_stale
    assert server.now() == pytest.approx(5_001.0 + HOUR, abs=0.2)


class Recorded:
    """A connection that tells which commands it has sent at once."""

    def __init__(self, settings: ConnectionSettings, sent: list[list[str]]) -> None:
        self.inner = sync_connection(settings)
        self.sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:
        data = b"".join(command)
        reader: Any = hiredis.Reader()
        reader.feed(data)
        words: list[str] = []
        while reader.has_data() and (each := reader.gets()):
            words.append(each[0].decode())
        self.sent.append(words)
        self.inner.send_packed_command([data], check_health=check_health)


@pytest.fixture
def recorded(empty_redis: RedisServer) -> Iterator[tuple[Link, list[list[str]]]]:
    """Yield an open link, and what it sends."""
    sent: list[list[str]] = []
    settings = parse(empty_redis.url).connection_settings()
    link = link_over(no_connection, lambda: cast("Any", Recorded(settings, sent))).blocking()
    step(link.command("PING"))
    sent.clear()
    yield link, sent
    step(link.close())


def is_always_old(_clock: ServerClock, _now: float) -> bool:
    """Say that the last reply is old, whenever it was."""
    return True


def no_connection() -> Any:
    """Refuse to await."""
    raise AssertionError("nothing here awaits")


def test_the_time_is_asked_with_a_call_that_is_made_anyway(
    recorded: tuple[Link, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call waits for no round trip more, and has its own replies."""
    link, sent = recorded
    told: list[float] = []
    update = ServerClock.update

    def updated(clock: ServerClock, moment: float, before: float, after: float) -> None:
        told.append(moment)
        update(clock, moment, before, after)

    monkeypatch.setattr(ServerClock, "update", updated)
    monkeypatch.setattr(ServerClock, "is_old", is_always_old)
    assert step(link.command("ECHO", "hello")) == b"hello"
    assert sent == [["ECHO", "TIME"]]
    assert told[0] == pytest.approx(time.time(), abs=60)


def test_a_time_that_is_refused_is_asked_for_again(
    recorded: tuple[Link, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply of the call beside it counts, and no later one is taken for another's."""
    link, sent = recorded
    monkeypatch.setattr(ServerClock, "is_old", is_always_old)
    monkeypatch.setattr("qcore.adapters.links.redis.link.TIME", (None, ("TIME", "flies")))
    assert step(link.command("ECHO", "hello")) == b"hello"
    assert step(link.command("ECHO", "again")) == b"again"
    assert sent == [["ECHO", "TIME"]] * 2


def test_a_young_clock_is_not_set(recorded: tuple[Link, list[list[str]]]) -> None:
    """Nothing is sent but the call."""
    link, sent = recorded
    step(link.command("ECHO", "hello"))
    assert sent == [["ECHO"]]
