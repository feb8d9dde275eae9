from threading import Barrier

import pytest
from redis.exceptions import ConnectionError as Disconnected

from qcore.adapters.links.redis import sentinel as sentinel_module
from qcore.adapters.links.redis.address import HostPort
from qcore.adapters.links.redis.pool import PendingReplies, Pool, Request, Requests
from qcore.adapters.links.redis.resp import Reply
from qcore.adapters.links.redis.sentinel import SentinelTransport
from qcore.testing.contract.base import in_threads, step

MANY = 4
PATIENCE = 30.0
HERE = [b"here", b"6379"]
PING: Request = (None, ("PING",))


class Answering(Pool):
    """A pool that says one thing, or is lost, and counts how often it was used and closed."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.used = 0
        self.left = 0
        self.closed = 0

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        self.used += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        replies += [self.answer] * len(requests)

    async def send(self, requests: Requests) -> PendingReplies:
        raise NotImplementedError

    async def pause(self, seconds: float) -> None: ...

    def leave(self, at: HostPort | None = None) -> None:
        assert at is None
        self.left += 1

    async def close(self) -> None:
        self.closed += 1


class Watched:
    """A transport behind Sentinels with these answers, and the pools to masters that it made."""

    def __init__(self, *answers: Reply | Exception, meet: int = 1) -> None:
        self.sentinels = [Answering(answer) for answer in answers]
        self.masters: list[Answering] = []
        self.barrier = Barrier(meet)
        places = [("sentinel", port) for port in range(len(answers))]
        by_place = dict(zip(places, self.sentinels, strict=True))
        self.transport = SentinelTransport(self.make, by_place.__getitem__, places, "main")

    def make(self, place: HostPort) -> Pool:
        self.barrier.wait(PATIENCE)
        pool = Answering(b"PONG")
        self.masters.append(pool)
        return pool

    def ask(self) -> None:
        """Make one call, as a thread does."""
        replies: list[Reply | Exception] = []
        step(self.transport.exchange([PING], replies))
        assert replies == [b"PONG"]


def test_threads_that_look_for_the_master_at_once_share_a_pool() -> None:
    """Though each has made one, all go through the same, and none is left with connections."""
    watched = Watched(HERE, meet=MANY)
    in_threads([watched.ask] * MANY)
    used = [pool for pool in watched.masters if pool.used]
    assert [pool.used for pool in used] == [MANY]
    step(watched.transport.close())
    assert [pool.closed for pool in used] == [1]


def test_a_master_that_was_left_is_asked_for_again() -> None:
    """Its connections are closed, and the next call goes to whom the Sentinels name by then."""
    watched = Watched(HERE)
    watched.ask()
    [pool] = watched.masters
    pool.answer = Disconnected("gone")
    sentinel = watched.sentinels[0]
    sentinel.answer = [b"there", b"6380"]
    with pytest.raises(Disconnected):
        watched.ask()
    watched.transport.leave()
    watched.ask()
    assert pool.left == 1
    assert [each.used for each in watched.masters] == [2, 1]
    assert sentinel.used == 2


def test_who_answered_is_asked_first_the_next_time() -> None:
    """A Sentinel that is lost is asked again only when those before it are lost too."""
    lost = Disconnected("gone")
    watched = Watched(lost, lost, HERE)
    for _ in range(2):
        assert step(watched.transport.find_master()) == ("here", 6379)
    assert [sentinel.used for sentinel in watched.sentinels] == [1, 1, 2]
    watched.sentinels[1].answer, watched.sentinels[2].answer = HERE, lost
    for _ in range(2):
        assert step(watched.transport.find_master()) == ("here", 6379)
    assert [sentinel.used for sentinel in watched.sentinels] == [2, 3, 3]


OTHER = [b"there", b"6380"]


@pytest.mark.parametrize(
    ("answers", "expected", "asked"),
    [
        # one that was cut off together with the master
        ([HERE, OTHER, OTHER], "there", [2, 1, 0]),
        ([HERE, Disconnected("gone"), OTHER], "there", [2, 1, 1]),
        # most of them know of no other: to ask the rest might take long, and change nothing
        ([HERE, HERE, OTHER], "here", [2, 1, 0]),
        ([HERE, Disconnected("gone"), Disconnected("gone")], "here", [2, 1, 1]),
        ([HERE], "here", [2]),
    ],
)
def test_a_master_that_was_left_is_gone_back_to_if_no_other_is_named(
    answers: list[Reply | Exception], expected: str, asked: list[int]
) -> None:
    """A Sentinel that still names it is believed where most do, or where no other answers."""
    watched = Watched(*answers)
    watched.ask()
    watched.transport.leave()
    host, _ = step(watched.transport.find_master())
    assert host == expected
    assert [sentinel.used for sentinel in watched.sentinels] == asked


@pytest.mark.parametrize(
    ("answers", "moved", "asked"),
    [
        ([OTHER, OTHER, OTHER], True, [2, 1, 1]),
        ([OTHER, Disconnected("gone"), OTHER], True, [2, 1, 1]),
        ([HERE, OTHER, OTHER], False, [2, 0, 0]),
        ([OTHER, HERE, OTHER], False, [2, 1, 0]),
        ([OTHER, Disconnected("gone"), Disconnected("gone")], False, [2, 1, 1]),
        ([Disconnected("gone")] * 3, False, [2, 1, 1]),
    ],
)
def test_a_master_was_replaced_if_most_sentinels_say_so_and_none_the_contrary(
    answers: list[Reply | Exception], asked: list[int], *, moved: bool
) -> None:
    """One that was cut off names the master that was, or one that never came to be."""
    watched = Watched(HERE, *answers[1:])
    assert not step(watched.transport.has_moved())
    watched.ask()
    watched.sentinels[0].answer = answers[0]
    assert step(watched.transport.has_moved()) is moved
    assert [sentinel.used for sentinel in watched.sentinels] == asked


def test_a_sentinel_that_is_lost_is_asked_last_the_next_time() -> None:
    """It would keep each call waiting behind which the Sentinels are asked."""
    watched = Watched(HERE, HERE)
    watched.ask()
    watched.sentinels[0].answer = Disconnected("gone")
    for _ in range(3):
        assert not step(watched.transport.has_moved())
    assert [sentinel.used for sentinel in watched.sentinels] == [2, 3]


def test_a_sentinel_that_is_silent_keeps_nobody_waiting_twice_in_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who listens for messages asks as often as every second, and hears none meanwhile."""
    readings = iter([0.0, 0.0, 2.5, 2.5, 3.0, 62.0])
    watched = Watched(HERE, HERE, HERE)
    watched.ask()
    for sentinel in watched.sentinels:
        sentinel.answer = Disconnected("it did not answer in time")
    monkeypatch.setattr(sentinel_module, "monotonic", lambda: next(readings))
    for _ in range(3):
        assert not step(watched.transport.has_moved())
    assert [sentinel.used for sentinel in watched.sentinels] == [2, 0, 0]
