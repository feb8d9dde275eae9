"""Servers that are cut off from one side only: from the other servers, and not from clients.

What it takes for that to be noticed and another to be promoted needs no test of ours, and takes
seconds. So the other one is there from the start, and a server is only made to answer as it would.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.servers.binaries import Binary
from tests.servers.ports import free_port
from tests.servers.redis import HOST, RedisServer
from tests.servers.server import Running
from tests.servers.waiting import until

SLOTS = range(16384)
NAME = "main"


def follow_nobody(server: RedisServer) -> None:
    """Make it a replica that has not found its master: READONLY."""
    server.cli("REPLICAOF", HOST, free_port())


def tell_nothing(server: RedisServer) -> None:
    """Make it a replica that has lost its master, and says nothing until it is back: MASTERDOWN."""
    server.cli("CONFIG", "SET", "replica-serve-stale-data", "no")
    server.cli("REPLICAOF", HOST, free_port())


def lose_replicas(server: RedisServer) -> None:
    """Make it a master that has lost its replicas: NOREPLICAS."""
    server.cli("CONFIG", "SET", "min-replicas-to-write", 1)


def save_nothing(server: RedisServer) -> None:
    """Make it a master whose disk has failed: MISCONF."""
    server.cli("CONFIG", "SET", "save", "3600 1000000")
    (server.folder / "dump.rdb").mkdir(exist_ok=True)
    server.cli("BGSAVE")
    until(lambda: server.cli("INFO")["rdb_last_bgsave_status"] == "err", "a snapshot that fails")


REFUSALS: tuple[Callable[[RedisServer], None], ...] = (
    follow_nobody,
    tell_nothing,
    lose_replicas,
    save_nothing,
)


class Pair(Running):
    """A server that can be cut off, and the other one that has taken its place by then."""

    def __init__(self, binary: Binary, *config: str) -> None:
        self.old, self.new = RedisServer(binary, *config), RedisServer(binary, *config)

    def start(self) -> None:
        for server in (self.old, self.new):
            server.start()

    def close(self) -> None:
        """End both and remove their folders."""
        self.old.close()
        self.new.close()

    def mend(self) -> None:
        """Make both empty masters that take writes."""
        for server in (self.old, self.new):
            server.thaw()
            server.cli("REPLICAOF", "NO", "ONE")
            server.cli("CONFIG", "SET", "min-replicas-to-write", 0)
            server.cli("CONFIG", "SET", "replica-serve-stale-data", "yes")
            server.cli("CONFIG", "SET", "save", "")
            server.flush()


class WatchedPair(Pair):
    """The same behind a Sentinel, which names the old server until told otherwise."""

    def __init__(self, binary: Binary) -> None:
        super().__init__(binary)
        monitor = f"sentinel monitor {NAME} {HOST} {self.old.port} 1"
        self.sentinel = RedisServer(binary, monitor, options=("--sentinel",))

    @property
    def url(self) -> str:
        return f"redis+sentinel://{HOST}:{self.sentinel.port}/{NAME}/0"

    def name(self, server: RedisServer) -> None:
        """Have the Sentinel name a server."""
        self.sentinel.cli("SENTINEL", "REMOVE", NAME)
        self.sentinel.cli("SENTINEL", "MONITOR", NAME, HOST, server.port, 1)

    def start(self) -> None:
        super().start()
        self.sentinel.start()

    def close(self) -> None:
        """End all and remove their folders."""
        self.sentinel.close()
        super().close()


class Nodes(Pair):
    """Two nodes that each serve all slots of a cluster, as two parts of it do for a while."""

    def __init__(self, binary: Binary) -> None:
        super().__init__(binary, "cluster-enabled yes")

    @property
    def url(self) -> str:
        return f"redis+cluster://{HOST}:{self.old.port},{HOST}:{self.new.port}"

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Have the old one say CLUSTERDOWN, and of the slots what it said before."""
        self.old.cli("CLUSTER", "DELSLOTS", SLOTS[-1])
        until(lambda: "cluster_state:fail" in self._info(self.old), "a cluster that is down")
        try:
            yield
        finally:
            self.old.cli("CLUSTER", "ADDSLOTS", SLOTS[-1])
        until(lambda: "cluster_state:ok" in self._info(self.old), "a cluster that is up")

    def mend(self) -> None:
        """Make both empty."""
        self.old.flush()
        self.new.flush()

    def start(self) -> None:
        super().start()
        for server in (self.old, self.new):
            server.cli("CLUSTER", "ADDSLOTS", *SLOTS)
        for server in (self.old, self.new):
            until(lambda it=server: "cluster_state:ok" in self._info(it), "a cluster")  # type: ignore[misc]

    @staticmethod
    def _info(server: RedisServer) -> str:
        return str(server.cli("CLUSTER", "INFO"))
