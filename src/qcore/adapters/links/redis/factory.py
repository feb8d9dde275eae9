"""Links made: to what an address says, or over connections that the caller makes."""

from collections.abc import Awaitable, Callable, Sequence
from random import SystemRandom

from qcore.adapters.links.redis.address import DEFAULT_TIMEOUT, Address, HostPort
from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.clock_sync import ServerClock
from qcore.adapters.links.redis.cluster import ClusterTransport
from qcore.adapters.links.redis.connection_base import (
    AsyncConnection,
    ConnectionSettings,
    SyncConnection,
    connecting,
)
from qcore.adapters.links.redis.durability import Durability
from qcore.adapters.links.redis.interfaces import OnConnected, OnMessage
from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.pool import AsyncPool, Pool, SyncPool, Transport
from qcore.adapters.links.redis.pubsub import (
    ChannelListener,
    ChannelReader,
    ListenerFactory,
    LoopListener,
    ThreadListener,
)
from qcore.adapters.links.redis.pubsub_connection import (
    AsyncPubSubConnection,
    PubSubConnection,
    SyncPubSubConnection,
)
from qcore.adapters.links.redis.sentinel import SentinelTransport
from qcore.adapters.links.redis.sync_connection import sync_connection
from qcore.domain.record import record


def link_to(address: Address) -> RedisLink:
    """Return a link to what an address says; nothing is connected yet."""
    route = _Route(address)

    async def connect() -> AsyncConnection:
        return AsyncSocketConnection(await route.to_messages(_async_pool))

    async def connect_sync() -> SyncConnection:
        return sync_connection(await route.to_messages(_sync_pool))

    return _link(
        _async_side(lambda: route.transport(_async_pool), connect, address.shown),
        _sync_side(lambda: route.transport(_sync_pool), connect_sync, address.shown),
        shown=address.shown,
        is_multi_slot=address.kind != "cluster",
        timeout=address.timeout,
        durability=Durability(address.replicas, address.fsync, address.replica_timeout),
        address=address,
    )


PoolFactory = Callable[[Callable[[], ConnectionSettings]], Pool]
"""Makes a pool; settings are taken for each connection, as files for TLS may change."""


def _async_pool(settings: Callable[[], ConnectionSettings]) -> Pool:
    return AsyncPool(lambda: AsyncSocketConnection(settings()))


def _sync_pool(settings: Callable[[], ConnectionSettings]) -> Pool:
    return SyncPool(lambda: sync_connection(settings()))


class _Route:
    """How commands and messages reach what an address names: a server, a master, a cluster."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def transport(self, make_pool: PoolFactory) -> Transport:
        """Return a transport for commands."""
        address = self._address
        match address.kind:
            case "sentinel":
                return self._behind_sentinels(make_pool)
            case "cluster":
                return ClusterTransport(lambda to: self._pool(make_pool, to), address.hosts)
            case _:
                return make_pool(address.connection_settings)

    async def to_messages(self, make_pool: PoolFactory) -> ConnectionSettings:
        """Return the settings of a connection to where messages are published now."""
        address = self._address
        match address.kind:
            case "sentinel":
                transport = self._behind_sentinels(make_pool)
                try:
                    return address.connection_settings(await transport.find_master())
                finally:
                    await transport.close()
            case "cluster":
                # messages are broadcast to every node
                return address.connection_settings(SystemRandom().choice(address.hosts))
            case _:
                return address.connection_settings()

    def _behind_sentinels(self, make_pool: PoolFactory) -> SentinelTransport:
        address = self._address
        return SentinelTransport(
            lambda to: self._pool(make_pool, to),
            lambda to: make_pool(lambda: address.sentinel_settings(to)),
            address.hosts,
            address.master,
        )

    def _pool(self, make_pool: PoolFactory, to: HostPort) -> Pool:
        return make_pool(lambda: self._address.connection_settings(to))


def link_over(
    make_async: Callable[[], AsyncConnection],
    make_sync: Callable[[], SyncConnection],
    *,
    shown: str = "redis",
    timeout: float = DEFAULT_TIMEOUT,
) -> RedisLink:
    """Return a link to one server, over connections of redis-py or of what stands in for it.

    They must reply in bytes, and must not send a command twice.
    """

    async def connect() -> AsyncConnection:
        return make_async()

    async def connect_sync() -> SyncConnection:
        return make_sync()

    return _link(
        _async_side(lambda: AsyncPool(make_async), connect, shown),
        _sync_side(lambda: SyncPool(make_sync), connect_sync, shown),
        shown=shown,
        timeout=timeout,
    )


@record
class _Side:
    """What is asynchronous about a link, or blocking: its transport and its listeners."""

    make_transport: Callable[[], Transport]
    make_listener: ListenerFactory


def _async_side(
    make_transport: Callable[[], Transport],
    make_connection: Callable[[], Awaitable[AsyncConnection]],
    shown: str,
) -> _Side:
    async def connect() -> PubSubConnection:
        connection = await make_connection()
        with connecting():
            await connection.connect()
        return AsyncPubSubConnection(connection)

    def listener(
        channels: Sequence[str], on_connected: OnConnected, on_message: OnMessage
    ) -> ChannelListener:
        return LoopListener(ChannelReader(connect, channels, on_connected, on_message, shown))

    return _Side(make_transport, listener)


def _sync_side(
    make_transport: Callable[[], Transport],
    make_connection: Callable[[], Awaitable[SyncConnection]],
    shown: str,
) -> _Side:
    async def connect() -> PubSubConnection:
        connection = await make_connection()
        with connecting():
            connection.connect()
        return SyncPubSubConnection(connection)

    def listener(
        channels: Sequence[str], on_connected: OnConnected, on_message: OnMessage
    ) -> ChannelListener:
        return ThreadListener(ChannelReader(connect, channels, on_connected, on_message, shown))

    return _Side(make_transport, listener)


def _link(
    async_side: _Side,
    sync_side: _Side,
    *,
    shown: str,
    timeout: float,
    is_multi_slot: bool = True,
    durability: Durability | None = None,
    address: Address | None = None,
) -> RedisLink:
    """Return an asynchronous link, which can make blocking ones that share its server's clock."""

    def make(side: _Side, clock: ServerClock, *, is_blocking: bool) -> RedisLink:
        return RedisLink(
            side.make_transport(),
            shown=shown,
            make_listener=side.make_listener,
            make_blocking=None if is_blocking else (lambda c: make(sync_side, c, is_blocking=True)),
            is_multi_slot=is_multi_slot,
            timeout=timeout,
            durability=durability,
            clock=clock,
            address=address,
        )

    return make(async_side, ServerClock(), is_blocking=False)
