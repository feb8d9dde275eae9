"""How connections of our own read, and what they say first."""

import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from hiredis import Reader
from redis.asyncio.connection import DefaultParser
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as TimedOut

from qcore.adapters.links.redis.resp import Command

PIECE: Final = 1 << 16
"""Bytes that are read at once."""
NOTHING: Final = object()
"""Stands for a reply of which there is more to come."""

_parser: Any = DefaultParser
"""redis-py does not say of what type its methods are."""


def new_reader() -> Any:
    """Return a reader that makes errors of redis-py's classes."""
    return Reader(
        protocolError=InvalidResponse, replyError=_parser.parse_error, notEnoughData=NOTHING
    )


class Speaker:
    """Who speaks to a server over TCP or a Unix socket, without TLS.

    It takes the keywords that redis-py's connections take, as far as it knows them.
    """

    def __init__(
        self,
        *,
        host: str = "",
        port: int = 0,
        path: str | None = None,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        client_name: str | None = None,
        socket_timeout: float = 5.0,
        driver_info: DriverInfo | None = None,
        **_: Any,
    ) -> None:
        self._host, self._port, self._path = host, port, path
        self.place = path or f"{host}:{port}"
        self._timeout = socket_timeout
        self._greeting = _greeting(username, password, db, client_name)
        self._courtesies = _courtesies(driver_info)
        self._socket: socket.socket | None = None
        self._reader: Any = None

    @contextmanager
    def _connecting(self) -> Generator[None]:
        """Say in the words of redis-py, which say that nothing was on its way yet, what fails."""
        try:
            yield
        except TimeoutError as error:
            raise TimedOut("Timeout connecting to server") from error
        except OSError as error:
            raise Disconnected(
                f"Error {error.errno} connecting to {self.place}. {error.strerror}."
            ) from error


def tuned(made: socket.socket) -> socket.socket:
    """Return a TCP socket that sends at once, and notices in the end that nobody is there."""
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


def _greeting(
    username: str | None, password: str | None, db: int, name: str | None
) -> Sequence[Command]:
    """Return what has to be said first: without an answer, nothing else may be asked."""
    commands: list[Command] = []
    if password is not None:
        commands.append(("AUTH", *([username] if username else []), password))
    if db:
        commands.append(("SELECT", db))
    if name:
        commands.append(("CLIENT", "SETNAME", name))
    return commands


def _courtesies(info: DriverInfo | None) -> Sequence[Command]:
    """Return what may be said then, of who we are."""
    if info is None:
        return ()
    said = {"LIB-NAME": info.formatted_name, "LIB-VER": info.lib_version}
    return [("CLIENT", "SETINFO", what, str(value)) for what, value in said.items() if value]
