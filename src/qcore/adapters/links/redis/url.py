"""The parser of Redis URLs."""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from typing import Any, Final
from urllib.parse import unquote

from attrs import field

from qcore.adapters.links.redis.address import Address, HostPort, known_options
from qcore.adapters.links.redis.url_options import parse_whole_number
from qcore.adapters.links.redis_schemes import SCHEMES, Kind
from qcore.adapters.links.urls import HIDDEN, parse_options, without_password
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record

FORMS: Final[Mapping[Kind, str]] = {
    "single": "[user:password@]host[:6379][/db]",
    "sentinel": "[user:password@]host[:26379][,host…]/master-name[/db]",
    "cluster": "[user:password@]host[:6379][,host…]",
    "unix": "[user:password@]/path/to.sock[?db=1]",
}
"""What follows the `://`."""

MAX_PORT: Final = 65_535
SENTINEL_PORT: Final = 26_379
REDIS_PORT: Final = 6_379

_URL: Final = re.compile(
    r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?P<rest>#.*)?",
    re.DOTALL,
)


@record
class _Parts:
    """A URL in parts; `shown` is the URL for messages, without its password."""

    shown: str
    scheme: str
    kind: Kind
    authority: str = field(repr=False)
    path: str
    query: str

    @property
    def has_split_password(self) -> bool:
        """Whether a '/' or '?' in a password has ended the authority: what follows is not shown."""
        return "@" in self.path or "@" in self.query

    def wrong(self, what: str) -> InvalidOption:
        """Return the error that says what is wrong, and what was expected."""
        return InvalidOption(
            f"the URL {self.shown!r} {what}: expected {self.scheme}://{FORMS[self.kind]}"
        )


def parse(url: str) -> Address:
    """Return what a Redis URL says.

    Raises `InvalidOption`, which names the URL without its password, for a part or an option that
    is wrong.
    """
    shown = without_password(url)
    match = _URL.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in SCHEMES:
        raise InvalidOption(
            f"the URL {shown!r} names no Redis: expected one of "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}"
        )
    kind, tls = SCHEMES[scheme]
    parts = _Parts(shown, scheme, kind, match["authority"], match["path"], match["query"] or "")
    if match["rest"] is not None or ("@" in parts.path and kind != "unix"):
        raise parts.wrong(
            "has a '#', or an '@' after a '/': percent-encode what is in a password, as "
            "urllib.parse.quote(password, safe='') does"
        )
    login, _, hosts = parts.authority.rpartition("@")
    found = {**_login(parts, login), **_PARSERS[kind](parts, hosts)}
    options = parse_options(parts.query, known_options(kind, tls=tls), f"{scheme}://")
    address = Address(scheme=scheme, kind=kind, tls=tls, **found, **options)
    _check_combinations(address)
    return address


def _login(parts: _Parts, login: str) -> dict[str, str | None]:
    name, _, password = login.partition(":")
    user, secret = _decoded(name), _decoded(password)
    if user is None or secret is None:
        raise parts.wrong("has a user or password that is not percent-encoded UTF-8")
    return {"username": user or None, "password": secret or None}


def _decoded(text: str) -> str | None:
    """Return percent-decoded text, None if it is not UTF-8: `unquote`'s error would repeat it."""
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()
    except UnicodeError:
        return None
    return decoded


def _single(parts: _Parts, hosts: str) -> dict[str, Any]:
    found = _hosts(parts, hosts, REDIS_PORT)
    if len(found) > 1:
        raise parts.wrong("has several hosts, which only redis+sentinel and redis+cluster have")
    return {"hosts": found, "db": _db(parts, parts.path.removeprefix("/"))}


def _sentinel(parts: _Parts, hosts: str) -> dict[str, Any]:
    found = _hosts(parts, hosts, SENTINEL_PORT)
    name, _, db = parts.path.removeprefix("/").partition("/")
    master = _decoded(name)
    if not master or not master.isprintable():
        raise parts.wrong("does not name the master that the Sentinels watch")
    return {"hosts": found, "master": master, "db": _db(parts, db)}


def _cluster(parts: _Parts, hosts: str) -> dict[str, Any]:
    found = _hosts(parts, hosts, REDIS_PORT)
    if _db(parts, parts.path.removeprefix("/")) != 0:
        raise parts.wrong("names a database, of which a cluster has only number 0")
    return {"hosts": found}


def _unix(parts: _Parts, hosts: str) -> dict[str, Any]:
    path = _decoded(parts.path)
    if hosts or not path or path == "/" or not path.isprintable():
        raise parts.wrong("names no socket")
    return {"path": path}


_PARSERS: Final[Mapping[Kind, Callable[[_Parts, str], dict[str, Any]]]] = {
    "single": _single,
    "sentinel": _sentinel,
    "cluster": _cluster,
    "unix": _unix,
}


def _db(parts: _Parts, text: str) -> int:
    try:
        return parse_whole_number(text) if text else 0
    except ValueError:
        said = HIDDEN if parts.has_split_password else repr(text)
        raise parts.wrong(f"has the database {said}, which is no number") from None


def _hosts(parts: _Parts, hosts: str, port: int) -> tuple[HostPort, ...]:
    return tuple(_host(parts, host, port) for host in hosts.split(","))


def _host(parts: _Parts, text: str, default_port: int) -> HostPort:
    if text.startswith("["):
        host, bracket, tail = text[1:].partition("]")
        colon, port = tail[:1], tail[1:]
        sound = bracket and colon in {"", ":"} and _is_ipv6(host)
    else:
        host, colon, port = text.partition(":")
        sound = _is_name(host) and ":" not in port
    if not host:
        raise parts.wrong("has an empty host")
    if not sound:
        raise parts.wrong("has a host that is no name and no address (one of IPv6 is in brackets)")
    if not colon:
        return host, default_port
    # not repeated in the message: it may be a password
    if not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= MAX_PORT):
        raise parts.wrong(f"has a port that is no number from 1 to {MAX_PORT}")
    return host, int(port)


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    try:
        # what the resolver will ask for
        host.encode("idna")
    except UnicodeError:
        return False
    return host.isprintable() and not any(mark in host for mark in " []%\\")


def _check_combinations(address: Address) -> None:
    """Refuse options that are valid each, but not together."""
    scheme = f"{address.scheme}://"
    if address.key is not None and address.cert is None:
        raise InvalidOption(f"the option key of {scheme} has no cert beside it: expected both")
    for prefix in ("", "sentinel_"):
        named = [f"{prefix}password_file", f"{prefix}password_env"]
        given = [each for each in named if getattr(address, each) is not None]
        if getattr(address, f"{prefix}password") is not None:
            given.insert(0, f"{prefix}password" if prefix else "a password")
        if len(given) > 1:
            raise InvalidOption(
                f"the URL {address.shown!r} has {' and '.join(given)}: expected one of them"
            )
    waits = address.replicas > 0 or address.fsync is not None
    if waits and address.replica_timeout >= address.timeout / 2:
        raise InvalidOption(
            f"the option replica_timeout={address.replica_timeout:g} of {scheme} is not shorter "
            f"than half of timeout={address.timeout:g}: expected the wait to end before the reply "
            "is missed, and asked for once more"
        )
