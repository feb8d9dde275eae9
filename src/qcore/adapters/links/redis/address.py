"""An address: everything that a Redis URL says, and the settings of connections made from it."""

import os
import re
import socket
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeAlias

import attrs
from attrs import field
from redis.driver_info import DriverInfo

from qcore.adapters.links.redis.connection_base import ConnectionSettings, TlsSettings
from qcore.adapters.links.redis.passwords import from_file, from_variable
from qcore.adapters.links.redis.tls import check_files
from qcore.adapters.links.redis.url_options import (
    Parser,
    option,
    option_of,
    parse_client_name,
    parse_file_path,
    parse_fsync,
    parse_namespace,
    parse_seconds,
    parse_variable_name,
    parse_verify,
    parse_whole_number,
)
from qcore.adapters.links.redis_schemes import Kind
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record

HostPort: TypeAlias = tuple[str, int]

DEFAULT_NAMESPACE: Final = "qcore"
DEFAULT_TIMEOUT: Final = 5.0
DEFAULT_REPLICA_TIMEOUT: Final = 1.0
MAX_HOSTNAME: Final = 64


@record
class Address:
    """What a Redis URL says; durations are in seconds.

    Neither its `repr` nor `shown` has a password in it.
    """

    scheme: str
    kind: Kind
    hosts: tuple[HostPort, ...] = ()
    """The server, or Sentinels, or some nodes of a cluster; empty for a Unix socket."""
    path: str = ""
    """Of a Unix socket."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    master: str = ""
    """The name that Sentinels monitor the master under."""
    tls: bool = False
    db: int = option(0, parse_whole_number, kind="unix")
    """An option for a Unix socket alone: elsewhere the URL's path names it."""
    namespace: str = option(DEFAULT_NAMESPACE, parse_namespace)
    timeout: float = option(DEFAULT_TIMEOUT, parse_seconds)
    """Of a call as a whole, its retries included."""
    replicas: int = option(0, parse_whole_number)
    """How many replicas have an enqueue before it is answered."""
    fsync: tuple[int, int] | None = option(None, parse_fsync)
    """How many append-only files have it too: the server's own, replicas'. None asks for none."""
    replica_timeout: float = option(DEFAULT_REPLICA_TIMEOUT, parse_seconds)
    """To wait for replicas and disks, per enqueue."""
    name: str | None = option(None, parse_client_name)
    """What CLIENT LIST shows; None for a name made of this host and process."""
    ca: str | None = option(None, parse_file_path, tls=True)
    """A file of certificates to trust besides the system's."""
    cert: str | None = option(None, parse_file_path, tls=True)
    """A file with the client's own certificate."""
    key: str | None = option(None, parse_file_path, tls=True)
    verify: bool = option(True, parse_verify, tls=True)  # noqa: FBT003  (a default)
    """Whether the server's certificate and its name are checked."""
    password_file: str | None = option(None, parse_file_path)
    """A file whose text is the password."""
    password_env: str | None = option(None, parse_variable_name)
    """The environment variable whose value is the password."""
    sentinel_user: str | None = option(None, str, kind="sentinel")
    sentinel_password: str | None = option(None, str, kind="sentinel", is_secret=True)
    sentinel_password_file: str | None = option(None, parse_file_path, kind="sentinel")
    sentinel_password_env: str | None = option(None, parse_variable_name, kind="sentinel")

    @property
    def shown(self) -> str:
        """Return the server as text for a message: user shown, password never."""
        user = f"{self.username}@" if self.username else ""
        if self.kind == "unix":
            return f"{self.scheme}://{user}{self.path}" + (f"?db={self.db}" if self.db else "")
        hosts = ",".join(format_host(each) for each in self.hosts)
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

    def connection_settings(self, to: HostPort | None = None) -> ConnectionSettings:
        """Return the settings of a connection to a server, by default the only one of the URL.

        Raises `InvalidOption` where a file for TLS cannot be used: no server is to blame for it.
        """
        # first, as the frames of an error about it are not to have a password among their variables
        tls = self._tls_settings() if self.tls else None
        secret = self._secret(
            self.password, password_file=self.password_file, password_env=self.password_env
        )
        return self._settings(to, self.username, secret, self.db, tls)

    def sentinel_settings(self, to: HostPort) -> ConnectionSettings:
        """Return the settings of a connection to one of the Sentinels."""
        tls = self._tls_settings() if self.tls else None
        secret = self._secret(
            self.sentinel_password,
            sentinel_password_file=self.sentinel_password_file,
            sentinel_password_env=self.sentinel_password_env,
        )
        return self._settings(to, self.sentinel_user, secret, 0, tls)

    @property
    def has_password(self) -> bool:
        """Whether the server is given a password, wherever that is."""
        return any((self.password, self.password_file, self.password_env))

    def _secret(self, given: str | None, **elsewhere: str | None) -> str | None:
        """Return a password: of the URL, or of a file or a variable, by the options for them."""
        for (option_name, where), read in zip(
            elsewhere.items(), (from_file, from_variable), strict=True
        ):
            if where is not None:
                return read(where, option_name, self.shown)
        return given

    def _settings(
        self,
        to: HostPort | None,
        username: str | None,
        password: str | None,
        db: int,
        tls: TlsSettings | None,
    ) -> ConnectionSettings:
        if to is None and self.kind == "single":
            [to] = self.hosts
        if to is None and self.kind != "unix":
            raise ValueError(f"{self.scheme}:// names those who know the server, not the server")
        host, port = to or ("", 0)
        return ConnectionSettings(
            host=host,
            port=port,
            path=self.path if self.kind == "unix" else None,
            db=db,
            username=username,
            password=password,
            client_name=self.client_name,
            driver=_driver(),
            # half of a call's timeout: where the reply does not come, there is time for one retry
            timeout=self.timeout / 2,
            tls=tls,
        )

    def _tls_settings(self) -> TlsSettings:
        settings = TlsSettings(self.ca, self.cert, self.key, self.verify)
        try:
            check_files(settings)
        except OSError as error:
            raise InvalidOption(
                f"{self.shown} cannot be reached with ca={self.ca!r}, cert={self.cert!r} and "
                f"key={self.key!r}: expected PEM files, and a key of that certificate without a "
                f"password ({error})"
            ) from error
        return settings


def known_options(kind: Kind, *, tls: bool) -> Mapping[str, Parser]:
    """Return the options that a kind of URL may have, with their parsers; general ones first."""
    declared = {each.name: option_of(each) for each in attrs.fields(Address)}
    fitting = [
        (name, found)
        for name, found in declared.items()
        if found is not None and found.fits(kind, tls=tls)
    ]
    fitting.sort(key=lambda pair: not pair[1].is_general)
    return {name: found.parse for name, found in fitting}


def format_host(at: HostPort) -> str:
    """Return host and port as they are written in a URL."""
    host, port = at
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@cache
def _driver() -> DriverInfo:
    """Return what a server is told of us, made once: it reads the metadata of two distributions."""
    try:
        own = version("qcore-queue")
    except PackageNotFoundError:
        own = "0"
    return DriverInfo().add_upstream_driver("qcore", own)
