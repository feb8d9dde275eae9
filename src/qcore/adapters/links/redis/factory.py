"""Links made: to what an address says, or over connections that the caller makes."""

from collections.abc import Awaitable, Callable, Sequence
from random import SystemRandom
from typing import Any

from qcore.adapters.links.redis.address import DEFAULT_TIMEOUT, Address, Place
from qcore.adapters.links.redis.clock_sync import ServerTime
from qcore.adapters.links.redis.cluster import ClusterWire
from qcore.adapters.links.redis.durability import Safety
from qcore.adapters.links.redis.interfaces import OnMessage
from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.pool import (
    AsyncPool,
    AwaitingConnection,
    BlockingConnection,
    BlockingPool,
    Pool,
    Wire,
)
from qcore.adapters.links.redis.pubsub import Ear, Hearing, LoopEar, NewEar, ThreadEar
from qcore.adapters.links.redis.pubsub_connections import AwaitingLine, BlockingLine, Line
from qcore.adapters.links.redis.sentinel import SentinelWire
from qcore.domain.record import record


def link_to(address: Address) -> RedisLink:
    """Return a link to what an address says; nothing is connected yet."""
    maker = _Maker(address)
    return _linked(
        _awaiting(lambda: maker.wire(blocking=False), lambda: maker.listening(blocking=False)),
        _blocking(lambda: maker.wire(blocking=True), lambda: maker.listening(blocking=True)),
        shown=address.shown,
        spans=address.kind != "cluster",
        timeout=address.timeout,
        safety=Safety(address.replicas, address.fsync, address.replica_timeout),
        address=address,
    )


class _Maker:
    """What makes wires and connections to an address."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def wire(self, *, blocking: bool) -> Wire:
        """Return a wire to where the address leads."""
        match self._address.kind:
            case "sentinel":
                return self._watched(blocking=blocking)
            case "cluster":
                hosts = self._address.hosts
                return ClusterWire(lambda to: self._pool(to, blocking=blocking), hosts)
            case _:
                return self._pool(None, blocking=blocking)

    async def listening(self, *, blocking: bool) -> Any:
        """Return a connection to where messages can be heard now."""
        return self._connection(await self._place_to_listen(blocking=blocking), blocking=blocking)

    async def _place_to_listen(self, *, blocking: bool) -> Place | None:
        match self._address.kind:
            case "sentinel":
                wire = self._watched(blocking=blocking)
                try:
                    return await wire.find()
                finally:
                    await wire.close()
            case "cluster":
                # every node passes messages on
                return SystemRandom().choice(self._address.hosts)
            case _:
                return None

    def _watched(self, *, blocking: bool) -> SentinelWire:
        return SentinelWire(
            lambda to: self._pool(to, blocking=blocking),
            lambda to: self._pool(to, blocking=blocking, sentinel=True),
            self._address.hosts,
            self._address.master,
        )

    def _pool(self, to: Place | None, *, blocking: bool, sentinel: bool = False) -> Pool:
        def make() -> Any:
            return self._connection(to, blocking=blocking, sentinel=sentinel)

        return BlockingPool(make) if blocking else AsyncPool(make)

    def _connection(self, to: Place | None, *, blocking: bool, sentinel: bool = False) -> Any:
        make = self._address.connection_class(blocking=blocking)
        if sentinel and to is not None:
            return make(**self._address.sentinel_options(to))
        return make(**self._address.connection_options(to))


def link_over(
    awaiting: Callable[[], AwaitingConnection],
    blocking: Callable[[], BlockingConnection],
    *,
    shown: str = "redis",
    timeout: float = DEFAULT_TIMEOUT,
) -> RedisLink:
    """Return a link to one server, over connections of redis-py or of what stands in for it.

    They must answer in bytes, and must not send a command twice.
    """

    async def listen_awaiting() -> AwaitingConnection:
        return awaiting()

    async def listen_blocking() -> BlockingConnection:
        return blocking()

    return _linked(
        _awaiting(lambda: AsyncPool(awaiting), listen_awaiting),
        _blocking(lambda: BlockingPool(blocking), listen_blocking),
        shown=shown,
        timeout=timeout,
    )


@record
class _Side:
    """How a link gets its wire and its ears: all that awaits, or all that blocks."""

    wire: Callable[[], Wire]
    ear: NewEar


def _awaiting(
    wire: Callable[[], Wire], connect: Callable[[], Awaitable[AwaitingConnection]]
) -> _Side:
    async def line() -> Line:
        return AwaitingLine(await connect())

    def ear(channels: Sequence[str], connected: Callable[[], None], on_message: OnMessage) -> Ear:
        return LoopEar(Hearing(line, channels, connected, on_message))

    return _Side(wire, ear)


def _blocking(
    wire: Callable[[], Wire], connect: Callable[[], Awaitable[BlockingConnection]]
) -> _Side:
    async def line() -> Line:
        connection = await connect()
        # one of fakeredis that connects to send finds nothing to read, for ever
        connection.connect()
        return BlockingLine(connection)

    def ear(channels: Sequence[str], connected: Callable[[], None], on_message: OnMessage) -> Ear:
        return ThreadEar(Hearing(line, channels, connected, on_message))

    return _Side(wire, ear)


def _linked(
    awaiting: _Side,
    blocking: _Side,
    *,
    shown: str,
    timeout: float,
    spans: bool = True,
    safety: Safety | None = None,
    address: Address | None = None,
) -> RedisLink:
    """Return a link that awaits, with twins that block."""

    def link(side: _Side, time: ServerTime, *, is_twin: bool) -> RedisLink:
        return RedisLink(
            side.wire(),
            shown=shown,
            ear=side.ear,
            twin=None if is_twin else (lambda time: link(blocking, time, is_twin=True)),
            spans=spans,
            timeout=timeout,
            safety=safety,
            time=time,
            address=address,
        )

    return link(awaiting, ServerTime(), is_twin=False)
