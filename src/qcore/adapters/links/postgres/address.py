"""An address: what a Postgres URL says. Hosts, user, TLS and the like are read by libpq itself."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from attrs import field
from psycopg import Error
from psycopg.conninfo import conninfo_to_dict

from qcore.adapters.links.postgres_schemes import SCHEMES
from qcore.adapters.links.urls import one_of, parse_options, without_password
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record

DEFAULT_SCHEMA: Final = "qcore"
DEFAULT_TIMEOUT: Final = 5.0
DEFAULT_CONNECTIONS: Final = 5
MAX_TIMEOUT: Final = 3_600.0
MAX_CONNECTIONS: Final = 1_000
MAX_SCHEMA: Final = 40
"""Characters: names of channels begin with it, and have at most 63."""

_SCHEMA: Final = re.compile(rf"[a-z_][a-z0-9_]{{0,{MAX_SCHEMA - 1}}}", re.ASCII)
_PORTS: Final = re.compile(r"(\d{0,5})(,\d{0,5})*", re.ASCII)
_RESERVED: Final = re.compile(r"pg_|information_schema$")


def _parse_schema(text: str) -> str:
    if _SCHEMA.fullmatch(text) is None or _RESERVED.match(text):
        raise ValueError(
            f"expected 1 to {MAX_SCHEMA} of a-z, 0-9 and _, no digit first, and no name of "
            "Postgres's own"
        )
    return text


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= MAX_TIMEOUT:
        raise ValueError(f"expected seconds, more than 0 and at most {MAX_TIMEOUT:g}")
    return seconds


def _parse_connections(text: str) -> int:
    number = int(text) if re.fullmatch(r"\d{1,4}", text, re.ASCII) else 0
    if not 1 <= number <= MAX_CONNECTIONS:
        raise ValueError(f"expected a number from 1 to {MAX_CONNECTIONS}")
    return number


OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "schema": _parse_schema,
    "timeout": _parse_seconds,
    "connections": _parse_connections,
    "pooler": one_of("auto", "none", "transaction"),
}
"""Options of ours in the query of a URL, each with its parser; all others are libpq's."""


@record
class Address:
    """What a Postgres URL says; durations are in seconds.

    Neither its `repr` nor `shown` has a password in it.
    """

    conninfo: Mapping[str, Any] = field(repr=False, hash=False)
    """The parameters of libpq, by name."""
    shown: str
    schema: str = DEFAULT_SCHEMA
    timeout: float = DEFAULT_TIMEOUT
    """Of a call as a whole, its retries included."""
    connections: int = DEFAULT_CONNECTIONS
    """At most, of an event loop; and as many of those that block."""
    pooler: str = "auto"
    """Whether sessions are a pooler's, which gives each transaction another: "transaction" or
    "none"; "auto" asks the server."""

    @property
    def hosts(self) -> int:
        """Return how many hosts are named; each may be several addresses."""
        return str(self.conninfo.get("host", "")).count(",") + 1

    @property
    def key(self) -> tuple[Any, ...]:
        """Return what is equal for addresses of one database and schema."""
        return (*sorted((name, str(value)) for name, value in self.conninfo.items()), self.schema)


def parse(url: str) -> Address:
    """Return what a Postgres URL says.

    Raises `InvalidOption`, which names the URL without its password, for a part or an option that
    is wrong.
    """
    shown = without_password(url)
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in SCHEMES:
        raise InvalidOption(f"the URL {shown!r} names no Postgres: expected postgresql://…")
    place, _, query = rest.partition("?")
    ours, theirs = _divided(query)
    options = parse_options(urlencode(ours, quote_via=quote), OPTIONS, "postgresql://")
    whole = f"postgresql://{place}" + (f"?{urlencode(theirs, quote_via=quote)}" if theirs else "")
    found = _conninfo(whole)
    if not isinstance(found, str) and not _PORTS.fullmatch(str(found.get("port", ""))):
        # libpq finds that out when it connects
        found = "a port is no number"
    if isinstance(found, str):
        raise InvalidOption(
            f"the URL {shown!r} cannot be read ({found}): expected "
            "postgresql://[user:password@]host[:5432][,host…][/database][?option=value]; "
            "percent-encode what is in a password, as urllib.parse.quote(password, safe='') does"
        )
    return Address(found, shown, **options)


def _divided(query: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the options that are ours, and libpq's."""
    pairs = parse_qsl(query, keep_blank_values=True)
    return (
        [pair for pair in pairs if pair[0] in OPTIONS],
        [pair for pair in pairs if pair[0] not in OPTIONS],
    )


def _conninfo(url: str) -> Mapping[str, Any] | str:
    """Return the parameters of a URL, or what libpq says is wrong, unless that repeats a part."""
    try:
        return conninfo_to_dict(url)
    except Error as error:
        words = str(error).strip()
    named = re.search(r'invalid URI query parameter: "([a-z_]+)"', words)
    return f"there is no option {named[1]}" if named else "it is malformed"
