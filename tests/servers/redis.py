"""A real Redis server of our own."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from tests.servers.binaries import Binary
from tests.servers.server import HOST, Server

# A replica waits no five seconds for others that may want the same snapshot.
CONFIG = ("bind 127.0.0.1", 'save ""', "repl-diskless-sync-delay 0")
TIMEOUT = 5.0


class RedisServer(Server):
    """A Redis server; each of `config` is a line of its configuration.

    It keeps nothing on the disk unless told to.
    """

    def __init__(self, binary: Binary, *config: str, options: tuple[str, ...] = ()) -> None:
        super().__init__("redis")
        self.binary = binary
        self._config = self.folder / "redis.conf"
        self._options = options
        self.configure(f"port {self.port}", f"dir {self.folder}", *CONFIG, *config)

    def configure(self, *lines: str) -> None:
        """Add lines to its configuration, for the next start."""
        with self._config.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def __repr__(self) -> str:
        return f"<{self.binary} at {self.url}>"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        return [self.binary.path, self._config, *self._options]

    def answers(self) -> bool:
        try:
            return bool(self.cli("PING"))
        except AuthenticationError:
            return True
        except RedisError:
            return False

    def cli(self, *words: str | bytes | float) -> Any:
        """Send one command, never again, and return its answer, bytes as text."""
        with self.client(decode_responses=True, encoding_errors="backslashreplace") as client:
            answer: Any = client.execute_command(*words)  # type: ignore[no-untyped-call]
            return answer

    @contextmanager
    def client(self, **options: Any) -> Iterator[Redis]:
        """Lend a client of redis-py that tries everything once and introduces itself as nobody."""
        plain: dict[str, Any] = {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": TIMEOUT,
            "driver_info": None,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        with Redis(host=HOST, port=self.port, **(plain | options)) as client:
            yield client

    def flush(self) -> None:
        """Remove all data, at the cost of no client: thousands of tests begin with it."""
        with socket.create_connection((HOST, self.port), TIMEOUT) as wire:
            wire.sendall(b"FLUSHALL\r\n")
            answer = wire.recv(1_024)
        assert answer == b"+OK\r\n", f"{self} refused FLUSHALL: {answer!r}"
