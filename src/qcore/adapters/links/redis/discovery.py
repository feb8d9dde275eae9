"""Discovery: which servers there are where a link leads."""

from redis.exceptions import RedisError

from qcore.adapters.links.redis.address import Address, HostPort, format_host
from qcore.adapters.links.redis.cluster import SLOTS, ClusterTransport
from qcore.adapters.links.redis.errors import mapped
from qcore.adapters.links.redis.pool import Transport
from qcore.adapters.links.redis.resp import RedisCommand, Reply
from qcore.adapters.links.redis.sentinel import SentinelTransport
from qcore.adapters.links.redis.topology import ConnectionInfo, Node, Topology
from qcore.domain.errors import QcoreError


class _Node:
    """A server behind a transport; `shown` names it in messages."""

    def __init__(self, transport: Transport, name: str, shown: str) -> None:
        self.name = name
        self._transport = transport
        self._shown = shown

    async def ask(self, *commands: RedisCommand) -> list[Reply | QcoreError]:
        replies: list[Reply | Exception] = []
        try:
            await self._transport.exchange([(None, command) for command in commands], replies)
        except (RedisError, OSError) as error:
            raise mapped(error, self._shown) from error
        return [
            mapped(reply, self._shown) if isinstance(reply, Exception) else reply
            for reply in replies
        ]


async def discover(transport: Transport, shown: str, address: Address | None) -> Topology:
    """Return the servers behind a transport; `shown` names the link in messages.

    Raises `BrokerUnavailable` or `BrokerUnusable` where a cluster does not name its nodes.
    """
    scheme = shown.partition("://")[0]
    connection = None if address is None else _connection_info(address)

    def node(at: HostPort, way: Transport) -> Node:
        return _Node(way, format_host(at), f"{scheme}://{format_host(at)}")

    match transport:
        case ClusterTransport():
            try:
                found = await transport.masters()
            except (RedisError, OSError) as error:
                raise mapped(error, shown) from error
            masters = [node(at, transport.pool_to(at)) for at in found]
            replicas = [
                node(at, transport.pool_to(at)) for at in await _replicas(masters[0], found)
            ]
            return Topology(masters, replicas, connection=connection)
        case SentinelTransport():
            sentinels = [node(at, pool) for at, pool in transport.sentinels.items()]
            return Topology([_Node(transport, shown, shown)], (), sentinels, connection)
        case _:
            return Topology([_Node(transport, shown, shown)], connection=connection)


def _connection_info(address: Address) -> ConnectionInfo:
    return ConnectionInfo(
        kind=address.kind,
        hosts=[host for host, _ in address.hosts],
        master=address.master,
        user=address.username or "default",
        client=address.client_name,
        is_authenticated=address.has_password or address.cert is not None,
        tls=address.tls,
        verify=address.verify,
        replicas=address.replicas,
        fsync=address.fsync,
    )


async def _replicas(asked: Node, masters: list[HostPort]) -> list[HostPort]:
    """Return a cluster's replicas, as one of its nodes names them; none where it refuses."""
    [reply] = await asked.ask(SLOTS)
    if isinstance(reply, QcoreError):
        return []
    nodes = ((host.decode(), port) for row in reply for host, port, *_ in row[3:] if host)
    return [node for node in dict.fromkeys(nodes) if node not in masters]
