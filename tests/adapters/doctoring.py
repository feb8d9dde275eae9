"""Stores examined, and what was found of one matter."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from qcore import connect
from qcore.adapters.redis import RedisBroker
from qcore.doctor import diagnose
from qcore.domain.diagnostics import Finding, Grade
from tests.servers.redis import RedisServer

LOAD = "latency", "slow log"
"""What a busy machine may find fault with."""


async def examined(url: str) -> Sequence[Finding]:
    """Return what the broker of a URL finds."""
    broker = connect(url)
    try:
        return await diagnose(broker)
    finally:
        await broker.close()


def of(found: Iterable[Finding], about: str) -> Finding:
    """Return the one finding of a matter."""
    its = [each for each in found if each.about == about]
    assert len(its) == 1, its
    return its[0]


def bad(found: Iterable[Finding], *but: str) -> list[Finding]:
    """Return what is not well, apart from some matters."""
    return [each for each in found if each.grade is not Grade.OK and each.about not in but]


@asynccontextmanager
async def opened(server: RedisServer) -> AsyncIterator[RedisBroker]:
    """Lend a broker on a server."""
    broker = connect(server.url)
    assert isinstance(broker, RedisBroker)
    await broker.open()
    yield broker
    await broker.close()
