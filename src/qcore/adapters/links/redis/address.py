"""Where a Redis is, and how a connection to it is made."""

import os
import re
import socket
import ssl
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal, TypeAlias

import redis
import redis.asyncio
from attrs import field
from redis.driver_info import DriverInfo
from redis.maint_notifications import MaintNotificationsConfig

from qcore.adapters.links.redis.async_connection import NimbleConnection
from qcore.adapters.links.redis.sync_connection import SteadyConnection
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record

Kind: TypeAlias = Literal["single", "sentinel", "cluster", "unix"]
Place: TypeAlias = tuple[str, int]
"""A host and a port."""

DEFAULT_NAMESPACE: Final = "qcore"
DEFAULT_TIMEOUT: Final = 5.0
DEFAULT_REPLICA_TIMEOUT: Final = 1.0
MAX_HOSTNAME: Final = 64

Classes: TypeAlias = Mapping[str, type[Any]]
_BLOCKING: Final[Classes] = {
    "tcp": SteadyConnection,
    "tls": redis.SSLConnection,
    "unix": SteadyConnection,
}
_AWAITING: Final[Classes] = {
    "tcp": NimbleConnection,
    "tls": redis.asyncio.SSLConnection,
    "unix": NimbleConnection,
}


@record
class Address:
    """What a Redis URL says; durations are in seconds.

    Neither its `repr` nor `shown` has a password in it.
    """

    scheme: str
    kind: Kind
    hosts: tuple[Place, ...] = ()
    """The server, or Sentinels, or some nodes of a cluster; empty for a Unix socket."""
    path: str = ""
    """Of a Unix socket."""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    master: str = ""
    """The name by which Sentinels know the master."""
    tls: bool = False
    ca: str | None = None
    """A file of certificates to trust besides the system's."""
    cert: str | None = None
    """A file with the client's own certificate."""
    key: str | None = None
    verify: bool = True
    """Whether the server's certificate and its name are checked."""
    sentinel_user: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    timeout: float = DEFAULT_TIMEOUT
    """For a call in all, those times included that it has to be tried again."""
    replicas: int = 0
    """How many replicas have an enqueue before it is answered."""
    fsync: tuple[int, int] | None = None
    """How many append-only files have it too: the server's own, replicas'. None asks for none."""
    replica_timeout: float = DEFAULT_REPLICA_TIMEOUT
    """For replicas and disks, per enqueue."""
    namespace: str = DEFAULT_NAMESPACE
    name: str | None = None
    """What `CLIENT LIST` shows; None for one made of this host and process."""

    @property
    def shown(self) -> str:
        """Return the server as text for a message: user shown, password never."""
        user = f"{self.username}@" if self.username else ""
        if self.kind == "unix":
            return f"{self.scheme}://{user}{self.path}" + (f"?db={self.db}" if self.db else "")
        hosts = ",".join(spelled(place) for place in self.hosts)
        tail = {"single": f"/{self.db}", "sentinel": f"/{self.master}/{self.db}", "cluster": ""}
        return f"{self.scheme}://{user}{hosts}{tail[self.kind]}"

    @property
    def client_name(self) -> str:
        """Return `name`, or one made of this host and this process."""
        if self.name is not None:
            return self.name
        # CLIENT SETNAME takes neither blanks nor anything outside of ASCII
        host = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:MAX_HOSTNAME]
        return f"qcore-{host}-{os.getpid()}"

    def connection_class(self, *, blocking: bool) -> type[Any]:
        """Return the class of connections to this address."""
        classes = _BLOCKING if blocking else _AWAITING
        return classes["unix" if self.kind == "unix" else "tls" if self.tls else "tcp"]

    def connection_options(self, to: Place | None = None) -> dict[str, Any]:
        """Return the keywords with which a connection of either class is made.

        They say nothing of retries: a connection has none of its own then, where a client would
        repeat commands that may have been carried out. Without `to` they name the one server, and
        none where Sentinels or a cluster know which. Raises `InvalidOption` where a file for TLS
        cannot be used.
        """
        return self._options(to, self.username, self.password) | {"db": self.db}

    def sentinel_options(self, to: Place) -> dict[str, Any]:
        """Return the keywords with which a connection to one of the Sentinels is made."""
        return self._options(to, self.sentinel_user, self.sentinel_password)

    def _options(
        self, to: Place | None, username: str | None, password: str | None
    ) -> dict[str, Any]:
        return {
            **self._way(to),
            **self._tls(),
            "username": username,
            "password": password,
            # half of what a call may take: one whose answer does not come is asked for once more
            "socket_timeout": self.timeout / 2,
            "socket_connect_timeout": self.timeout / 2,
            "client_name": self.client_name,
            "protocol": 2,
            "health_check_interval": 0,
            "driver_info": DriverInfo().add_upstream_driver("qcore", _version()),
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }

    def _way(self, to: Place | None) -> dict[str, Any]:
        if self.kind == "unix":
            return {"path": self.path}
        if to is None and self.kind == "single":
            [to] = self.hosts
        named = {} if to is None else {"host": to[0], "port": to[1]}
        return {**named, "socket_keepalive": True}

    def _tls(self) -> dict[str, Any]:
        if not self.tls:
            return {}
        self._check_files()
        return {
            "ssl_ca_certs": self.ca,
            "ssl_certfile": self.cert,
            "ssl_keyfile": self.key,
            "ssl_cert_reqs": "required" if self.verify else "none",
            "ssl_check_hostname": self.verify,
        }

    def _check_files(self) -> None:
        """Try the files: redis-py would call a missing one a failure to connect."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            if self.cert is not None:
                # without a password to try, an encrypted key would be asked for on the terminal
                context.load_cert_chain(self.cert, self.key, password=str)
        except OSError as error:
            raise InvalidOption(
                f"{self.shown} cannot be reached with ca={self.ca!r}, cert={self.cert!r} and "
                f"key={self.key!r}: expected PEM files, and a key of that certificate without a "
                f"password ({error})"
            ) from error


def spelled(place: Place) -> str:
    """Return a place as it is written in a URL."""
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _version() -> str:
    try:
        return version("qcore-queue")
    except PackageNotFoundError:
        return "0"
