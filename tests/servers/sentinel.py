"""A Redis watched by Sentinels, of our own."""

from secrets import token_hex

from tests.servers.binaries import Binary
from tests.servers.redis import HOST, RedisServer
from tests.servers.server import Running
from tests.servers.waiting import until

NAME = "main"
SENTINELS = 3
QUORUM = 2
TIMES = (f"sentinel down-after-milliseconds {NAME} 1000", f"sentinel failover-timeout {NAME} 2000")


class SentinelSet(Running):
    """A master, its replica, and three Sentinels that promote it when the master is gone.

    They have done so two to three seconds after `kill_master()`, the next time no sooner than four
    seconds after they began. They know each other from the start, in a little over a second:
    finding out would take them two more.
    """

    def __init__(self, binary: Binary, *config: str) -> None:
        first = RedisServer(binary, *config)
        second = RedisServer(binary, *config)
        second.configure(f"replicaof {HOST} {first.port}")
        self.servers = (first, second)
        self.sentinels = tuple(
            RedisServer(binary, options=("--sentinel",)) for _ in range(SENTINELS)
        )
        names = [token_hex(20) for _ in self.sentinels]
        for sentinel, name in zip(self.sentinels, names, strict=True):
            others = (
                f"sentinel known-sentinel {NAME} {HOST} {each.port} {its}"
                for each, its in zip(self.sentinels, names, strict=True)
                if its != name
            )
            sentinel.configure(
                f"sentinel myid {name}",
                f"sentinel monitor {NAME} {HOST} {first.port} {QUORUM}",
                *TIMES,
                f"sentinel known-replica {NAME} {HOST} {second.port}",
                *others,
            )

    @property
    def url(self) -> str:
        places = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{NAME}/0"

    @property
    def master(self) -> RedisServer:
        """Return whom the first Sentinel that runs names now."""
        asked = next(sentinel for sentinel in self.sentinels if sentinel.is_running)
        return self._named_by(asked)

    @property
    def replica(self) -> RedisServer:
        """Return the other server."""
        first, second = self.servers
        return first if self.master is second else second

    def start(self) -> None:
        """Start everyone who does not run, and return when they are ready to fail over."""
        watched = any(sentinel.is_running for sentinel in self.sentinels)
        # The master first: a replica that misses it tries again a second later.
        for server in self.servers:
            if not server.is_running:
                server.start()
                if watched and server is not self.master:
                    # What Sentinels do by themselves, only that they first watch it for 8 seconds.
                    server.cli("REPLICAOF", HOST, self.master.port)
        for sentinel in self.sentinels:
            if not sentinel.is_running:
                sentinel.start()
        self.wait()

    def wait(self) -> None:
        """Return when all Sentinels agree and would fail over, and the replica has the data."""
        until(self._is_well, "Sentinels that are ready")

    def kill_master(self) -> RedisServer:
        """Kill the master of now, and return it; the Sentinels have yet to notice."""
        master = self.master
        master.kill()
        return master

    def wait_for_another(self, master: RedisServer) -> RedisServer:
        """Return who is master instead, when it is, and all Sentinels name it."""

        def another() -> RedisServer | None:
            named = {self._named_by(sentinel) for sentinel in self.sentinels}
            [it, *more] = named
            return None if more or it is master or _role(it) != "master" else it

        found = until(another, f"another master than {master}")
        assert found is not None
        return found

    def flush(self) -> None:
        """Remove all data."""
        self.master.flush()

    def close(self) -> None:
        """End everyone and remove their folders."""
        for each in (*self.sentinels, *self.servers):
            each.close()

    def _named_by(self, sentinel: RedisServer) -> RedisServer:
        port = int(sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return next(server for server in self.servers if server.port == port)

    def _is_well(self) -> bool:
        masters = {self._named_by(sentinel) for sentinel in self.sentinels}
        [master, *others] = masters
        if others or not all(server.is_running for server in self.servers):
            return False
        [replica] = (server for server in self.servers if server is not master)
        role, *place = replica.cli("ROLE")[:4]
        return (
            _role(master) == "master"
            and role == "slave"
            and place == [HOST, master.port, "connected"]
            and all(map(_is_ready, self.sentinels))
        )


def _role(server: RedisServer) -> str:
    return str(server.cli("ROLE")[0])


def _is_ready(sentinel: RedisServer) -> bool:
    """Say whether a Sentinel is in touch with everyone: flags tell of whom it is not."""
    masters = sentinel.cli("SENTINEL", "MASTERS")
    replicas = sentinel.cli("SENTINEL", "REPLICAS", NAME)
    others = sentinel.cli("SENTINEL", "SENTINELS", NAME)
    return (
        [_flags(each) for each in masters] == [{"master"}]
        and [_flags(each) for each in replicas] == [{"slave"}]
        # What another one said of the last master stays for a while, or for ever.
        and [_flags(each) - {"master_down"} for each in others] == [{"sentinel"}] * (SENTINELS - 1)
    )


def _flags(fields: list[str]) -> set[str]:
    return set(fields[fields.index("flags") + 1].split(","))
