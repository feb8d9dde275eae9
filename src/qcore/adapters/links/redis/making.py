"""Links made: to what an address says, or over connections that the caller makes."""

from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Any

from qcore.adapters.links.redis.clustered import ClusterWire
from qcore.adapters.links.redis.ear import Ear
from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.place import DEFAULT_TIMEOUT, Address, Place
from qcore.adapters.links.redis.safety import Safety
from qcore.adapters.links.redis.shapes import Told
from qcore.adapters.links.redis.timing import ServerTime
from qcore.adapters.links.redis.watched import SentinelWire
from qcore.adapters.links.redis.wires import (
    AsyncPool,
    AwaitingConnection,
    BlockingConnection,
    BlockingPool,
    Pool,
    Wire,
)
from qcore.adapters.links.stepping import stepped


def link_to(address: Address) -> RedisLink:
    """Return a link to what an address says; nothing is connected yet."""
    maker = _Maker(address)
    return _linked(
        lambda: maker.wire(blocking=False),
        lambda: maker.wire(blocking=True),
        maker.listening,
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

    def listening(self) -> BlockingConnection:
        """Return a connection to where messages can be heard now."""
        connection: BlockingConnection = self._connection(self._place_to_listen(), blocking=True)
        return connection

    def _place_to_listen(self) -> Place | None:
        match self._address.kind:
            case "sentinel":
                wire = self._watched(blocking=True)
                try:
                    return stepped(wire.find())
                finally:
                    stepped(wire.close())
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
    return _linked(
        lambda: AsyncPool(awaiting),
        lambda: BlockingPool(blocking),
        blocking,
        shown=shown,
        timeout=timeout,
    )


def _linked(
    awaiting: Callable[[], Wire],
    blocking: Callable[[], Wire],
    listening: Callable[[], BlockingConnection],
    *,
    shown: str,
    timeout: float,
    spans: bool = True,
    safety: Safety | None = None,
    address: Address | None = None,
) -> RedisLink:
    """Return a link over a wire that awaits, with twins over wires that block.

    Ears listen on connections of their own, each made by `listening`.
    """

    def hear(channels: Sequence[str], heard: Callable[[], None], told: Told | None) -> Ear:
        return Ear(listening, channels, heard, told)

    def link(wire: Wire, time: ServerTime, *, is_twin: bool) -> RedisLink:
        return RedisLink(
            wire,
            shown=shown,
            ear=hear,
            twin=None if is_twin else (lambda time: link(blocking(), time, is_twin=True)),
            spans=spans,
            timeout=timeout,
            safety=safety,
            time=time,
            address=address,
        )

    return link(awaiting(), ServerTime(), is_twin=False)
