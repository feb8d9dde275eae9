"""One Postgres for all: our own, with the defaults that flush every commit to the disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from bench.peers.stores import Costs
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.server import HOST

DATABASE = "bench"
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
}
"""Those of the tests that do without durability, as they are by default, and room in memory."""


class PostgresStore:
    """A database that is made anew, from a copy of what a system has prepared once."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._prepared: set[str] = set()
        self._template = ""
        self.url = f"postgresql://postgres@{HOST}:{server.port}/{DATABASE}"

    def serve(self, system: str, prepare: Callable[[], object]) -> None:
        self._template = f"bench_{system}"
        if system in self._prepared:
            return
        self._make("template1")
        prepare()
        self._server.sql(f"DROP DATABASE IF EXISTS {self._template}")
        self._server.sql(f"ALTER DATABASE {DATABASE} RENAME TO {self._template}")
        self._prepared.add(system)

    def flush(self) -> None:
        self._make(self._template)

    def _make(self, template: str) -> None:
        self._server.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self._server.sql(f"CREATE DATABASE {DATABASE} TEMPLATE {template}")
        # what the one before has left to be written is not to be written in this one's time
        self._server.sql("CHECKPOINT")

    def version(self) -> str:
        number = ".".join(map(str, self._server.binary.version))
        return f"Postgres {number}, which flushes every commit"

    def costs(self) -> Costs:
        ((size,),) = self._server.sql("SELECT pg_database_size(%s)", DATABASE)
        # sessions tell of transactions up to ten seconds late (pgstat.c, PGSTAT_IDLE_INTERVAL)
        return Costs(self._cpu(), size, None)

    def _cpu(self) -> float:
        """Return the seconds of all processes of the server, also of those that have ended."""
        postmaster = psutil.Process(self._server.pid)
        total = 0.0
        for process in (postmaster, *postmaster.children()):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
            if process is postmaster:
                total += times.children_user + times.children_system
        return total


@contextmanager
def a_postgres() -> Iterator[PostgresStore]:
    """Run a server while the block lasts."""
    with PostgresServer(POSTGRES[-1], **SETTINGS) as server:
        yield PostgresStore(server)
