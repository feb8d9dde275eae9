"""The servers that a link may lead to, each to be asked by itself."""

from redis.exceptions import RedisError

from qcore.adapters.links.redis.address import Address, Place, spelled
from qcore.adapters.links.redis.cluster import SLOTS, ClusterWire, Node
from qcore.adapters.links.redis.errors import mapped
from qcore.adapters.links.redis.interfaces import Manner, Spot, Surroundings
from qcore.adapters.links.redis.pool import Wire
from qcore.adapters.links.redis.resp import Command, Reply
from qcore.adapters.links.redis.sentinel import SentinelWire
from qcore.domain.errors import QcoreError


class _Server:
    def __init__(self, wire: Wire, name: str, shown: str) -> None:
        self.name = name
        self._wire = wire
        self._shown = shown

    async def ask(self, *commands: Command) -> list[Reply | QcoreError]:
        replies: list[Reply | Exception] = []
        try:
            await self._wire.exchange([(None, command) for command in commands], replies)
        except (RedisError, OSError) as error:
            raise mapped(error, self._shown) from error
        return [
            mapped(reply, self._shown) if isinstance(reply, Exception) else reply
            for reply in replies
        ]


async def surroundings(wire: Wire, shown: str, address: Address | None) -> Surroundings:
    """Return what there is where a wire leads; `shown` is what it leads to, for messages."""
    scheme = shown.partition("://")[0]
    manner = None if address is None else _manner(address)

    def spot(place: Place, way: Wire) -> Spot:
        return _Server(way, spelled(place), f"{scheme}://{spelled(place)}")

    match wire:
        case ClusterWire():
            try:
                masters = await wire.masters()
            except (RedisError, OSError) as error:
                raise mapped(error, shown) from error
            servers = [spot(node, wire.at(node)) for node in masters]
            replicas = [spot(node, wire.at(node)) for node in await _replicas(servers[0], masters)]
            return Surroundings(servers, replicas, manner=manner)
        case SentinelWire():
            sentinels = [spot(place, way) for place, way in wire.sentinels.items()]
            return Surroundings([_Server(wire, shown, shown)], (), sentinels, manner)
        case _:
            return Surroundings([_Server(wire, shown, shown)], manner=manner)


def _manner(address: Address) -> Manner:
    return Manner(
        kind=address.kind,
        hosts=[host for host, _ in address.hosts],
        master=address.master,
        user=address.username or "default",
        client=address.client_name,
        is_known=address.password is not None or address.cert is not None,
        tls=address.tls,
        verify=address.verify,
        replicas=address.replicas,
        fsync=address.fsync,
    )


async def _replicas(asked: Spot, masters: list[Node]) -> list[Node]:
    """Return who has a copy of slots, by one who knows."""
    [reply] = await asked.ask(SLOTS)
    if isinstance(reply, QcoreError):
        return []
    nodes = ((host.decode(), port) for row in reply for host, port, *_ in row[3:] if host)
    return [node for node in dict.fromkeys(nodes) if node not in masters]
