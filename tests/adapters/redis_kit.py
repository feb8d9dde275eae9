"""What tests of the Redis broker on real servers share."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Event
from time import monotonic

import pytest

from qcore.adapters.links.redis import Script, link_to
from qcore.adapters.links.redis.pool import AsyncPool, SyncPool
from qcore.adapters.links.redis.url import parse
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import SCRIPTS
from qcore.domain.task import RetentionPolicy
from qcore.testing.contract import Cases
from qcore.testing.contract.base import step
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

USUAL = RetentionPolicy()


SHORT_LIVED = re.compile(r":(session|minute|hour|day):")
"""Keys that go by themselves: answers to requests, and statistics."""


def lasting(keys: Iterable[str]) -> set[str]:
    """Return those of a server's keys that do not go by themselves."""
    return {key for key in keys if not SHORT_LIVED.search(key)}


def broker_at(url: str, keep: RetentionPolicy = USUAL) -> RedisBroker:
    """Return a broker on what a URL names; it is not open."""
    address = parse(url)
    return RedisBroker(link_to(address), keep=keep, namespace=address.namespace)


class RedisCases(Cases):
    """Cases over either link, on what `url` names."""

    url: str

    def make_broker(self, keep: RetentionPolicy) -> RedisBroker:
        return broker_at(self.url, keep)


class Pauses:
    """The pauses of all links: they take no time, and what is to happen meanwhile happens."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.meanwhile: deque[Callable[[], object]] = deque()

    def monotonic(self) -> float:
        """Return what time it would be after so many pauses."""
        return monotonic() + sum(self.taken)

    async def pause(self, seconds: float) -> None:
        self.taken.append(seconds)
        if self.meanwhile:
            self.meanwhile.popleft()()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """Give the pauses."""
    pauses = Pauses()
    for pool in (AsyncPool, SyncPool):
        monkeypatch.setattr(pool, "pause", lambda _, seconds: pauses.pause(seconds))
    for module in ("redis.link", "redis.retries", "clock_sync"):
        monkeypatch.setattr(f"qcore.adapters.links.{module}.monotonic", pauses.monotonic)
    return pauses


def teach(server: RedisServer) -> None:
    """Let a server know all scripts, so that no call is made twice because it does not."""
    for script in SCRIPTS.values():
        server.cli("SCRIPT", "LOAD", script.text)


def asks(script: Script) -> Callable[[bytes], bool]:
    """Return what says of a request whether it calls a script."""
    return lambda request: script.digest.encode() in request


class CutReplies(RedisCases):
    """Cases behind a proxy that cuts the reply of a script once its work is done."""

    server: RedisServer
    pauses: Pauses
    proxy: Proxy

    @pytest.fixture(autouse=True)
    def _behind_a_proxy(self, empty_redis: RedisServer, pauses: Pauses) -> Iterator[None]:
        self.server, self.pauses = empty_redis, pauses
        teach(empty_redis)
        with Proxy(empty_redis.port) as self.proxy:
            self.url = self.proxy.url
            yield

    def cut(
        self, script: Script, meanwhile: Callable[[RedisBroker], object] | None = None
    ) -> Event:
        """Cut the next reply of a script; let somebody do something before it is called again."""
        if meanwhile is not None:
            other = broker_at(self.server.url).blocking()
            self.pauses.meanwhile.append(lambda: (meanwhile(other), step(other.close())))
        return self.proxy.cut_reply(asks(script))
