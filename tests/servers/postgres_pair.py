"""A Postgres primary, and a standby that may take its place."""

from collections.abc import Sequence
from pathlib import Path

from tests.servers.postgres import PostgresServer, as_nobody
from tests.servers.postgres_binaries import PostgresBinary
from tests.servers.server import HOST, Running
from tests.servers.waiting import until


class Standby(PostgresServer):
    """A copy of a primary that follows it by streaming replication, until it is promoted."""

    def __init__(self, binary: PostgresBinary, primary: PostgresServer, **settings: str) -> None:
        super().__init__(binary, **settings)
        self._primary = primary

    def _make_data(self) -> None:
        place = ("-h", HOST, "-p", str(self._primary.port), "-U", "postgres")
        how = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        self.run("pg_basebackup", *place, *how, "-D", self.data)

    def command(self) -> Sequence[str | Path]:
        """Have the receiver of the stream find the libpq of its own version."""
        user, rest = as_nobody(), super().command()
        libraries = f"LD_LIBRARY_PATH={self._programs.parent / 'lib'}"
        return [*user, "/usr/bin/env", libraries, *rest[len(user) :]]

    def promote(self) -> None:
        """Have it follow nobody any more and take writes; return when it does."""
        self.run("pg_ctl", "promote", "-D", self.data)


class PostgresPair(Running):
    """A primary and its standby; a commit waits for both, so that none is lost with the primary."""

    def __init__(self, binary: PostgresBinary, **of_standby: str) -> None:
        self.primary = PostgresServer(binary)
        self.standby = Standby(binary, self.primary, **of_standby)

    def url(self, schema: str = "qcore", **options: str) -> str:
        """Return a URL that names both, the primary first."""
        own = f"{HOST}:{self.primary.port}"
        return self.primary.url(schema, **options).replace(own, f"{own},{HOST}:{self.standby.port}")

    def start(self) -> None:
        """Start both, and return when the standby follows."""
        self.primary.start()
        self.standby.start()
        # not before: no commit would end while there is no standby
        self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.sql("SELECT pg_reload_conf()")
        until(self._is_in_step, "a standby in step")

    def close(self) -> None:
        """End both and remove their folders."""
        self.standby.close()
        self.primary.close()

    def _is_in_step(self) -> bool:
        found = self.primary.sql("SELECT sync_state FROM pg_stat_replication")
        return found == [("sync",)]
