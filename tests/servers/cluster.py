"""A Redis Cluster of our own."""

from itertools import combinations

from tests.servers.binaries import Binary
from tests.servers.redis import HOST, RedisServer
from tests.servers.server import Running
from tests.servers.waiting import until

SLOTS = 16384
MASTERS = 3
CONFIG = ("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")


class RedisCluster(Running):
    """Three masters with a third of the slots each, and on demand with a replica or more each.

    A master without a replica takes its slots with it when it is killed: by default a cluster then
    answers `CLUSTERDOWN` to everything. With one, the replica follows two to four seconds later.
    It starts in a little over two seconds, which are Redis's own: so long no node that has just
    started takes part.
    """

    def __init__(self, binary: Binary, *config: str, replicas: int = 0) -> None:
        self._first = tuple(RedisServer(binary, *CONFIG, *config) for _ in range(MASTERS))
        self._others = tuple(
            RedisServer(binary, *CONFIG, *config) for _ in range(MASTERS * replicas)
        )
        self._is_made = False

    @property
    def nodes(self) -> tuple[RedisServer, ...]:
        """Return all servers; the first three began as masters."""
        return self._first + self._others

    @property
    def masters(self) -> tuple[RedisServer, ...]:
        """Return who says now that it is a master."""
        return tuple(node for node in self.running if node.cli("ROLE")[0] == "master")

    @property
    def running(self) -> tuple[RedisServer, ...]:
        return tuple(node for node in self.nodes if node.is_running)

    @property
    def url(self) -> str:
        places = ",".join(f"{HOST}:{node.port}" for node in self._first)
        return f"redis+cluster://{places}"

    def start(self) -> None:
        """Start every node that does not run, and return when the whole cluster is well."""
        down = [node for node in self.nodes if not node.is_running]
        for node in down:
            node.launch()
        for node in down:
            node.wait()
        if not self._is_made:
            self._make()
        self.wait()

    def wait(self) -> None:
        """Return when all nodes run and agree that every slot is served, and has its replicas."""
        until(lambda: all(map(self._is_well, self.nodes)), "a cluster that is well")

    def wait_agreed(self) -> None:
        """Return when it is well, and the next slot that moves will not move back.

        A node that does not know how often the others have been given slots lately would believe an
        old word of theirs, and in the end nobody claim the slot.
        """
        self.wait()
        until(self._is_agreed, "nodes that agree on their epochs")

    def wait_served(self) -> None:
        """Return when all running nodes agree that running nodes serve every slot."""
        until(lambda: all(map(self._is_served, self.running)), "a cluster that serves every slot")

    def owner(self, key: str) -> RedisServer:
        """Return the master that serves a key, as the first running node sees it."""
        asked = self.running[0]
        slot = asked.cli("CLUSTER", "KEYSLOT", key)
        ranges = asked.cli("CLUSTER", "SLOTS")
        port = next(place[1] for first, last, place, *_ in ranges if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def flush(self) -> None:
        """Remove all data."""
        for node in self.masters:
            node.flush()

    def close(self) -> None:
        """End all nodes and remove their folders."""
        for node in self.nodes:
            node.close()

    def _make(self) -> None:
        for number, node in enumerate(self._first):
            slots = range(SLOTS * number // MASTERS, SLOTS * (number + 1) // MASTERS)
            node.cli("CLUSTER", "ADDSLOTS", *slots)
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        # Everybody meets everybody: gossip would take a second or two.
        for one, other in combinations(self.nodes, 2):
            one.cli("CLUSTER", "MEET", HOST, other.port)
        for number, replica in enumerate(self._others):
            self._follow(replica, self._first[number % MASTERS])
        self._is_made = True

    def _follow(self, replica: RedisServer, master: RedisServer) -> None:
        name = master.cli("CLUSTER", "MYID")
        until(lambda: name in replica.cli("CLUSTER", "NODES"), f"{replica} to know {master}")
        replica.cli("CLUSTER", "REPLICATE", name)

    def _is_well(self, node: RedisServer) -> bool:
        known = [line.split() for line in node.cli("CLUSTER", "NODES").splitlines()]
        flags = [words[2] for words in known]
        return (
            _is_ok(node)
            and len(known) == len(self.nodes)
            and sum("slave" in each for each in flags) == len(self._others)
            and all(words[7] == "connected" for words in known)
            and not any("fail" in each or "handshake" in each for each in flags)
            and _is_in_step(node)
        )

    def _is_agreed(self) -> bool:
        known = [
            sorted(int(line.split()[6]) for line in node.cli("CLUSTER", "NODES").splitlines())
            for node in self.nodes
        ]
        return len(set(known[0])) == len(self.nodes) and all(each == known[0] for each in known)

    def _is_served(self, node: RedisServer) -> bool:
        ports = {place[1] for _, _, place, *_ in node.cli("CLUSTER", "SLOTS")}
        return _is_ok(node) and ports <= {each.port for each in self.running}


def _is_ok(node: RedisServer) -> bool:
    return "cluster_state:ok" in node.cli("CLUSTER", "INFO")


def _is_in_step(node: RedisServer) -> bool:
    """Say whether a node has its master's data, if it follows one."""
    role = node.cli("ROLE")
    return bool(role[0] == "master" or role[3] == "connected")
