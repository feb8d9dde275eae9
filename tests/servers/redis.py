"""A real Redis server of our own."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from tests.servers.binaries import Binary
from tests.servers.guarded import Guarded
from tests.servers.ports import free_port
from tests.servers.waiting import until

HOST = "127.0.0.1"
# A replica waits no five seconds for others that may want the same snapshot.
CONFIG = ("bind 127.0.0.1", 'save ""', "repl-diskless-sync-delay 0")
TIMEOUT = 5.0


class RedisServer:
    """A server on a port and in a folder that it keeps however often it ends and starts.

    Each of `config` is a line of its configuration; it keeps nothing on the disk unless told to.
    As a context manager it runs, and nothing is left of it afterwards.
    """

    def __init__(self, binary: Binary, *config: str, options: tuple[str, ...] = ()) -> None:
        self.binary = binary
        self.port = free_port()
        self.folder = Path(mkdtemp(prefix="qcore-redis-"))
        self._config = self.folder / "redis.conf"
        self._options = options
        self._process: Guarded | None = None
        self._is_frozen = False
        self.configure(f"port {self.port}", f"dir {self.folder}", *CONFIG, *config)

    def configure(self, *lines: str) -> None:
        """Add lines to its configuration, for the next start."""
        with self._config.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.binary} at {self.url}>"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Say whether it is there, answering or not: it may be frozen or loading its data."""
        return self._process is not None and not self._process.has_ended

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, and do not wait for its answer."""
        assert not self.is_running, f"{self} runs already"
        if self._process is not None:
            # It ended by itself.
            self.kill()
        self._process = Guarded([self.binary.path, self._config, *self._options], self.folder)

    def wait(self) -> None:
        """Return when it answers PING: a server that loads its data does not."""
        until(self._answers, f"an answer of {self}")

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it by SIGTERM: it writes what its persistence asks for."""
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it in its tracks: it takes connections and requests, and answers none."""
        os.kill(self.pid, signal.SIGSTOP)
        self._is_frozen = True
        process = psutil.Process(self.pid)
        until(lambda: process.status() == psutil.STATUS_STOPPED, f"{self} to be frozen")

    def thaw(self) -> None:
        """Let it run on, if it is frozen."""
        if self._is_frozen:
            os.kill(self.pid, signal.SIGCONT)
            self._is_frozen = False

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

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
        """Remove all data."""
        self.cli("FLUSHALL")

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, f"{self} does not run"
        self._process.end(how)
        self._process = None
        self._is_frozen = False

    def _answers(self) -> bool:
        assert self.is_running, f"{self} ended by itself:\n{self.log}"
        try:
            return bool(self.cli("PING"))
        except AuthenticationError:
            return True
        except RedisError:
            return False
