"""A real Postgres server of our own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

import psutil
import psycopg

from tests.servers.guarded import Guarded
from tests.servers.ports import free_port
from tests.servers.postgres_binaries import PostgresBinary
from tests.servers.waiting import until

HOST = "127.0.0.1"
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


class PostgresServer:
    """A server on a port and in a folder that it keeps however often it ends and starts.

    As a context manager it runs, and nothing is left of it afterwards.
    """

    def __init__(self, binary: PostgresBinary, **settings: str) -> None:
        self.binary = binary
        self.port = free_port()
        self.folder = Path(mkdtemp(prefix="qcore-postgres-"))
        self._settings = SETTINGS | settings
        self._process: Guarded | None = None
        self._is_frozen = False
        self._programs = binary.folder

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.binary} at {self.url()}>"

    def url(self, schema: str = "qcore", **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in {"schema": schema, **options}.items())
        return f"postgresql://postgres@{HOST}:{self.port}/postgres?{query}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and not self._process.has_ended

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def make(self) -> None:
        """Create its data."""
        if os.geteuid() == 0:
            if not _is_for_all(self.binary.folder):
                copied = self.folder / "server"
                shutil.copytree(self.binary.folder.parent, copied, ignore=_not_needed)
                self._programs = copied / "bin"
            os.chown(self.folder, NOBODY, NOBODY)
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.run("initdb", "-D", self.data, *options)

    def run(self, program: str, *words: str | Path) -> str:
        """Run one of its programs to its end; return what it says."""
        command = [*self._user(), self._programs / program, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, f"{program} has failed: {done.stdout}{done.stderr}"
        return done.stdout

    def _user(self) -> Sequence[str]:
        return (sys.executable, "-c", AS_NOBODY) if os.geteuid() == 0 else ()

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, and do not wait for its answer."""
        assert not self.is_running, f"{self} runs already"
        if self._process is not None:
            # it ended by itself
            self.kill()
        settings = {"port": str(self.port), **self._settings}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*self._user(), self._programs / "postgres", "-D", self.data, *words]
        self._process = Guarded(command, self.folder)

    def wait(self) -> None:
        """Return when it answers."""
        until(self._answers, f"an answer of {self}")

    def _answers(self) -> bool:
        assert self.is_running, f"{self} ended by itself:\n{self.log}"
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

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it by SIGINT: it ends all sessions, and writes what it has."""
        self.thaw()
        self._end(signal.SIGINT)

    def freeze(self) -> None:
        """Stop it and its sessions in their tracks: they take requests, and answer none."""
        postmaster = psutil.Process(self.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.suspend()
        self._is_frozen = True

    def thaw(self) -> None:
        """Let it run on, if it is frozen."""
        if self._is_frozen:
            postmaster = psutil.Process(self.pid)
            for process in (*postmaster.children(recursive=True), postmaster):
                process.resume()
            self._is_frozen = False

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self.thaw()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, f"{self} does not run"
        self._process.end(how)
        self._process = None
        self._is_frozen = False


def _not_needed(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in {"include", "doc", "man", "locale", "pgxs"}}


def _is_for_all(path: Path) -> bool:
    """Return whether any user may run what is in a folder."""
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))
