"""A real Postgres server of our own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.postgres_binaries import PostgresBinary
from tests.servers.server import HOST, Server

NOBODY = 65_534
"""Postgres refuses to run as root: then it runs as this user, who owns nothing else."""
AS_NOBODY = (
    f"import os, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
# What a test writes need not outlive the machine, and nothing runs beside it.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}


class PostgresServer(Server):
    """A Postgres server; SIGINT has it end all sessions, and write what it has."""

    stop_signal = signal.SIGINT

    def __init__(self, binary: PostgresBinary, **settings: str) -> None:
        super().__init__("postgres")
        self.binary = binary
        self._settings = SETTINGS | settings
        self._programs = binary.folder

    def __repr__(self) -> str:
        return f"<{self.binary} at {self.url()}>"

    def url(self, schema: str = "qcore", **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in {"schema": schema, **options}.items())
        return f"postgresql://postgres@{HOST}:{self.port}/postgres?{query}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def launch(self) -> None:
        """Create its data before its first start."""
        if not self.data.exists():
            self._make()
        super().launch()

    def _make(self) -> None:
        self._own_folder()
        self._make_data()

    def _own_folder(self) -> None:
        if os.geteuid() == 0:
            if not _is_for_all(self.binary.folder):
                copied = self.folder / "server"
                shutil.copytree(self.binary.folder.parent, copied, ignore=_not_needed)
                self._programs = copied / "bin"
            os.chown(self.folder, NOBODY, NOBODY)

    def _make_data(self) -> None:
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.run("initdb", "-D", self.data, *options)

    def run(self, program: str, *words: str | Path) -> str:
        """Run one of its programs to its end; return what it says."""
        command = [*as_nobody(), self._programs / program, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, f"{program} has failed: {done.stdout}{done.stderr}"
        return done.stdout

    def command(self) -> Sequence[str | Path]:
        settings = {"port": str(self.port), **self._settings}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*as_nobody(), self._programs / "postgres", "-D", self.data, *words]

    def answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement in a connection of its own, and return its rows."""
        with psycopg.connect(self.conninfo, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    @property
    def conninfo(self) -> str:
        return f"host={HOST} port={self.port} user=postgres dbname=postgres"


def as_nobody() -> Sequence[str]:
    """Return what to begin a command with that refuses to run as root."""
    return (sys.executable, "-c", AS_NOBODY) if os.geteuid() == 0 else ()


def _not_needed(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in {"include", "doc", "man", "locale", "pgxs"}}


def _is_for_all(path: Path) -> bool:
    """Return whether any user may run what is in a folder."""
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))
