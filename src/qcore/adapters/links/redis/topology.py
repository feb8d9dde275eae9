"""The servers that a link may lead to, each to be asked by itself, and how they are reached."""

from collections.abc import Sequence
from typing import Literal, Protocol

from qcore.adapters.links.redis.resp import RedisCommand, Reply
from qcore.domain.errors import QcoreError
from qcore.domain.record import record


class Node(Protocol):
    """One server of a topology, asked by itself."""

    @property
    def name(self) -> str:
        """Return its host and port."""
        ...

    async def ask(self, *commands: RedisCommand) -> list[Reply | QcoreError]:
        """Send commands in one pipeline, once; an error reply is returned, not raised.

        Raises `BrokerUnavailable` or `BrokerUnusable` where no replies arrive.
        """
        ...


@record
class ConnectionInfo:
    """How a link reaches its servers, as its URL says."""

    kind: Literal["single", "sentinel", "cluster", "unix"]
    hosts: Sequence[str]
    """Empty for a Unix socket."""
    master: str
    """The name that Sentinels monitor the master under."""
    user: str
    client: str
    """What CLIENT LIST shows."""
    is_authenticated: bool
    """Whether it sends a password or has a client certificate."""
    tls: bool
    verify: bool
    replicas: int
    fsync: tuple[int, int] | None


@record
class Topology:
    """The servers that a link leads to."""

    masters: Sequence[Node]
    """The servers that store queues: one, or the masters of a cluster."""
    replicas: Sequence[Node] = ()
    """Of a cluster."""
    sentinels: Sequence[Node] = ()
    connection: ConnectionInfo | None = None
    """None where the link was made over somebody else's connections."""
