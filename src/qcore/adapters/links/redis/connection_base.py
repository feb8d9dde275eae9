"""What both kinds of connection share: settings, the handshake, and how a failed attempt is told.

`AsyncConnection` and `SyncConnection` are all that pools and listeners know of a connection. The
asynchronous one is ours (`async_connection`), the blocking one is redis-py's (`sync_connection`).
"""

import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Protocol

from attrs import field
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from qcore.adapters.links.redis.resp import RedisCommand, Reply, is_error_reply
from qcore.domain.record import record


class ConnectFailed(RedisConnectionError):
    """No connection was established, so no command was sent.

    `__cause__` is the system's error, or that of redis-py if there was none of the system's.
    """


@contextmanager
def connecting() -> Generator[None]:
    """Turn what fails in the block into a `ConnectFailed`, unless the server has replied.

    An error reply to the handshake, such as a refused password, says more by itself.
    """
    handled_outside = sys.exception()
    try:
        yield
    except (RedisError, OSError) as error:
        if isinstance(error, ConnectFailed) or is_error_reply(error):
            raise
        cause = _system_error(error, handled_outside) or error
        raise ConnectFailed(str(error) or type(error).__name__) from cause


def _system_error(error: BaseException, end: BaseException | None) -> OSError | None:
    """Return the error of the system that redis-py has turned into one of its own.

    `end` was being handled before anything of this began, and so has nothing to do with it.
    """
    each: BaseException | None = error
    while each is not None and each is not end:
        if isinstance(each, OSError):
            return each
        each = each.__cause__ or each.__context__
    return None


@record
class TlsSettings:
    """Files are paths of PEM files."""

    ca: str | None = None
    """Certificates to trust besides the system's."""
    cert: str | None = None
    """The client's own certificate."""
    key: str | None = None
    verify: bool = True
    """Whether the server's certificate and its name are checked."""


@record
class ConnectionSettings:
    """Everything that a connection to one server is made from.

    A record, not keywords for whichever class: a setting that a connection does not know is a
    `TypeError`, never ignored.
    """

    host: str = ""
    port: int = 0
    path: str | None = None
    """Of a Unix socket, instead of host and port."""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_name: str | None = None
    """What CLIENT LIST shows."""
    driver: DriverInfo | None = None
    """Name and version of the client library, for CLIENT SETINFO."""
    timeout: float = 5.0
    """Seconds to connect, and to wait for each reply."""
    tls: TlsSettings | None = None

    @property
    def endpoint(self) -> str:
        """Return where the connection leads, for messages."""
        return self.path or f"{self.host}:{self.port}"

    def handshake(self) -> Sequence[RedisCommand]:
        """Return the commands that have to succeed before any other is sent."""
        commands: list[RedisCommand] = []
        if self.password is not None:
            user = [self.username] if self.username else []
            commands.append(("AUTH", *user, self.password))
        if self.db:
            commands.append(("SELECT", self.db))
        if self.client_name:
            commands.append(("CLIENT", "SETNAME", self.client_name))
        return commands

    def library_info(self) -> Sequence[RedisCommand]:
        """Return the commands that name the client library; servers before 7.2 refuse them."""
        if self.driver is None:
            return ()
        info = {"LIB-NAME": self.driver.formatted_name, "LIB-VER": self.driver.lib_version}
        return [("CLIENT", "SETINFO", key, str(value)) for key, value in info.items() if value]


class SyncConnection(Protocol):
    """What is used of redis-py's blocking connections, and of fakeredis'."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None: ...
    def read_response(self, *, timeout: float = ..., disconnect_on_error: bool = ...) -> Reply: ...


class AsyncConnection(Protocol):
    """What is used of asynchronous connections: ours, redis-py's or fakeredis'.

    With a `timeout` in seconds, None stands for a reply that did not arrive in time.
    """

    async def connect(self) -> None: ...
    async def disconnect(self, *, nowait: bool) -> None: ...
    async def send_packed_command(
        self, command: Iterable[bytes], *, check_health: bool
    ) -> None: ...
    async def read_response(self, *, timeout: float | None = None) -> Reply: ...  # noqa: ASYNC109
