"""Links made: to what an address says, or over connections that the caller makes."""

from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError

from qcore.adapters.links.redis.address import DEFAULT_TIMEOUT, Address, HostPort
from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.cluster import ClusterTransport
from qcore.adapters.links.redis.connection_base import (
    AsyncConnection,
    ConnectionSettings,
    SyncConnection,
    connecting,
)
from qcore.adapters.links.redis.durability import Durability
from qcore.adapters.links.redis.failover import Failover
from qcore.adapters.links.redis.interfaces import OnConnected, OnMessage
from qcore.adapters.links.redis.link import RedisLink
from qcore.adapters.links.redis.pool import AsyncPool, Pool, SyncPool, Transport
from qcore.adapters.links.redis.pubsub import (
    ChannelListener,
    ChannelReader,
    Check,
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

    def connect(at: HostPort | None) -> AsyncConnection:
        return AsyncSocketConnection(address.connection_settings(at))

    def connect_sync(at: HostPort | None) -> SyncConnection:
        return sync_connection(address.connection_settings(at))

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
    """How commands reach what an address names: a server, a master, a cluster."""

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

    def connect(at: HostPort | None) -> AsyncConnection:  # noqa: ARG001  (there is one server)
        return make_async()

    def connect_sync(at: HostPort | None) -> SyncConnection:  # noqa: ARG001
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
    make_connection: Callable[[HostPort | None], AsyncConnection],
    shown: str,
) -> _Side:
    async def connect(at: HostPort | None) -> PubSubConnection:
        connection = make_connection(at)
        with connecting():
            await connection.connect()
        return AsyncPubSubConnection(connection)

    def listener(
        transport: Transport,
        channels: Sequence[str],
        on_connected: OnConnected,
        on_message: OnMessage,
        check: Check,
    ) -> ChannelListener:
        find = _finding(transport, channels, connect)
        return LoopListener(
            ChannelReader(find, channels, on_connected, on_message, shown, check=check)
        )

    return _Side(make_transport, listener)


def _sync_side(
    make_transport: Callable[[], Transport],
    make_connection: Callable[[HostPort | None], SyncConnection],
    shown: str,
) -> _Side:
    async def connect(at: HostPort | None) -> PubSubConnection:
        connection = make_connection(at)
        with connecting():
            connection.connect()
        return SyncPubSubConnection(connection)

    def listener(
        transport: Transport,
        channels: Sequence[str],
        on_connected: OnConnected,
        on_message: OnMessage,
        check: Check,
    ) -> ChannelListener:
        find = _finding(transport, channels, connect)
        return ThreadListener(
            ChannelReader(find, channels, on_connected, on_message, shown, check=check)
        )

    return _Side(make_transport, listener)


def _finding(
    transport: Transport,
    channels: Sequence[str],
    connect: Callable[[HostPort | None], Awaitable[PubSubConnection]],
) -> Callable[[], Awaitable[PubSubConnection]]:
    """Return what connects to where these channels are published now."""

    async def find() -> PubSubConnection:
        # a cluster broadcasts messages to every node, but a node that was cut off from the others
        # gets none: that which has the queue of the first channel is one that commands go to
        at = await transport.locate(channels[0])
        try:
            return await connect(at)
        except (RedisError, OSError):
            if at is not None:
                transport.leave(at)
            raise

    return find


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
    """Return an asynchronous link, which can make blocking ones that fail over with it."""

    def make(side: _Side, failover: Failover, *, is_blocking: bool) -> RedisLink:
        return RedisLink(
            side.make_transport(),
            shown=shown,
            make_listener=side.make_listener,
            make_blocking=None if is_blocking else (lambda f: make(sync_side, f, is_blocking=True)),
            is_multi_slot=is_multi_slot,
            timeout=timeout,
            durability=durability,
            failover=failover,
            address=address,
        )

    return make(async_side, Failover(), is_blocking=False)
