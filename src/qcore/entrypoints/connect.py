"""A URL becomes a broker."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import SplitResult, unquote, urlsplit

from qcore.adapters.links.borrowing import driver_connection, is_awaited, source_of
from qcore.adapters.links.postgres_schemes import SCHEMES as POSTGRES_SCHEMES
from qcore.adapters.links.redis_schemes import SCHEMES as REDIS_SCHEMES
from qcore.adapters.links.urls import one_of, parse_options, without_password
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown
from qcore.entrypoints.project_file import SOURCE, project_settings
from qcore.ports import Broker

# a store's own modules are imported where its URL is seen
if TYPE_CHECKING:
    from qcore.adapters.links.sqlite import Connection

DEFAULT_URL: Final = "sqlite:///qcore.db"
URL_VARIABLE: Final = "QCORE_URL"

SQLITE_OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "synchronous": one_of("full", "normal"),
    "timeout": float,
}
"""Options in the query of an SQLite URL, each with its parser; the defaults are the link's."""


def connect(url: str) -> Broker:
    """Return the broker that a URL names; nothing is opened yet.

    - `memory://`: in this process, gone with it.
    - `sqlite:///qcore.db`: a file in the working folder; `sqlite:////var/lib/qcore.db`: elsewhere.
      It may have an application's own tables beside those of qcore, whose names begin with qcore_.
      Options: `synchronous` (full, normal), `timeout` (seconds to wait for another process's lock).
    - `redis://user:password@host:6379/0`: a Redis server, 6.2 or newer, or a Valkey;
      `rediss://…`: over TLS; `redis+unix:///run/redis.sock?db=0`: on this machine.
    - `redis+sentinel://user:password@host1:26379,host2:26379/master-name/0`: the master that
      Sentinels know; `rediss+sentinel://…`: over TLS.
    - `redis+cluster://user:password@host1:6379,host2:6379`: a cluster, some of whose nodes are
      named; `rediss+cluster://…`: over TLS.
    - `valkey`, `valkeys` in place of `redis`, `rediss`: the same.
      Options of them all: `namespace`, `timeout`, `replicas`, `fsync`, `replica_timeout`, `name`;
      with TLS `ca`, `cert`, `key`, `verify`; with Sentinels `sentinel_user`, `sentinel_password`.
    - `postgresql://user:password@host:5432/database`, or `postgres://…`: a PostgreSQL server, 13 or
      newer, with the extra `postgres`; several hosts are tried until one takes writes. Options:
      `schema`, `timeout`, `connections`, `pooler`, and those of libpq, such as `sslmode`.
    - Any other scheme is that of a broker which an installed distribution registers as an entry
      point of the group `qcore.brokers`; the schemes above cannot be taken over.

    A path, a user and a password are percent-encoded, as in any URL: `%25`, `%3F` and `%23` are
    `%`, `?` and `#`; make them with `urllib.parse.quote(text, safe="")`, a path without `safe`.

    Raises `InvalidOption` for a scheme, a part or an option that it does not know, and for a
    registered broker that cannot be made; no password is in its words.
    """
    if not isinstance(url, str):
        raise InvalidOption(f"the URL is {shown(url)}: expected text, such as {DEFAULT_URL!r}")
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    maker = MAKERS.get(scheme)
    if maker is not None:
        return maker(url)
    from qcore.entrypoints.registered_brokers import GROUP, connect_registered, registered_schemes

    broker = connect_registered(scheme, url) if scheme else None
    if broker is None:
        own, plus, driver = scheme.partition("+")
        if own in {"postgresql", "postgres"} and plus:
            raise InvalidOption(
                f"the URL {without_password(url)!r} has the scheme {scheme!r}, as SQLAlchemy's do: "
                f"expected {own}://, without +{driver}"
            )
        known = [*MAKERS, *(each for each in registered_schemes() if each not in MAKERS)]
        raise InvalidOption(
            f"the URL {without_password(url)!r} has the scheme {scheme!r}: expected one of "
            f"{', '.join(f'{scheme}://' for scheme in known)}; another broker's distribution "
            f"registers its scheme as an entry point of the group {GROUP!r}"
        )
    return broker


def url_of_environment() -> str:
    """Return the URL of the variable QCORE_URL, else of `[tool.qcore]`, else the default.

    Raises `InvalidOption` where one is empty or no text: most likely another variable, or a secret,
    was to be its value, and tasks would go to a file that no worker looks at.
    """
    url = os.environ.get(URL_VARIABLE)
    if url is None:
        return _url_of_project()
    if not url:
        raise InvalidOption(
            f"the variable {URL_VARIABLE} is empty: unset it for {DEFAULT_URL}, or set it to a URL"
        )
    return url


def _url_of_project() -> str:
    url = project_settings().get("url", DEFAULT_URL)
    if not isinstance(url, str) or not url:
        raise InvalidOption(f"url is {url!r}: expected a URL, or no such line ({SOURCE})")
    return url


def borrow(connection: object, broker: Broker) -> Broker:
    """Return a broker in the transaction of a caller's own connection.

    Raises `InvalidOption` for a connection of another database than that of `broker`.
    """
    store: Any = broker
    while hasattr(store, "inner"):
        store = store.inner
    if hasattr(store, "borrowing"):
        borrowed: Broker = store.borrowing(source_of(connection))
        return borrowed
    from qcore.adapters.links.sqlite import AwaitedSqliteLink, BorrowedSqliteLink
    from qcore.adapters.sqlite import SqliteBroker

    is_async = is_awaited(connection)
    connection = connection if is_async else driver_connection(connection)
    if type(connection).__module__.partition(".")[0] == "psycopg":
        raise InvalidOption(
            "the connection is to a Postgres, where the tasks of this queue are not: give it a "
            "URL such as postgresql://…"
        )
    if not isinstance(store, SqliteBroker):
        raise InvalidOption(
            f"the tasks of this queue are kept by a {type(store).__name__}, and no transaction of "
            "an application's has them: expected the URL of the database, sqlite:///… or "
            "postgresql://…; in a test, q.swapped()"
        )
    path = store.link.path
    if is_async:
        return SqliteBroker(AwaitedSqliteLink(source_of(connection), path))
    return SqliteBroker(BorrowedSqliteLink(cast("Connection", connection), path))


def _memory(url: str) -> Broker:
    from qcore.adapters.memory import MemoryBroker

    parts = _split(url)
    if parts.netloc or parts.path:
        raise InvalidOption(f"{without_password(url)}: expected memory:// and nothing after it")
    parse_options(parts.query, {}, "memory://")
    return MemoryBroker()


def _sqlite(url: str) -> Broker:
    from qcore.adapters.links.sqlite import AsyncSqliteLink
    from qcore.adapters.sqlite import SqliteBroker

    parts = _split(url)
    file = unquote(parts.path).removeprefix("/")
    if parts.netloc or not file:
        raise InvalidOption(
            f"{without_password(url)} names no file: expected sqlite:///relative.db or "
            "sqlite:////absolute/path.db"
        )
    options = parse_options(parts.query, SQLITE_OPTIONS, "sqlite:///")
    # whoever names the file of an application wants to enqueue in its transactions, see `within`;
    # or it is the wrong one
    return SqliteBroker(AsyncSqliteLink(file, **options), beside_others=None)


def _redis(url: str) -> Broker:
    from qcore.adapters.links.redis import link_to
    from qcore.adapters.links.redis.url import parse
    from qcore.adapters.redis import RedisBroker

    address = parse(url)
    return RedisBroker(link_to(address), namespace=address.namespace)


def _postgres(url: str) -> Broker:
    try:
        from qcore.adapters.links.postgres import link_to, parse
    except ImportError as error:
        raise InvalidOption(
            f"{without_password(url)} needs psycopg: install the extra postgres, as with "
            f"pip install 'qcore-queue[postgres]' ({error})"
        ) from None
    from qcore.adapters.postgres import PostgresBroker

    return PostgresBroker(link_to(parse(url)))


MAKERS: Final[Mapping[str, Callable[[str], Broker]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    **dict.fromkeys(REDIS_SCHEMES, _redis),
    **dict.fromkeys(POSTGRES_SCHEMES, _postgres),
}
"""Scheme to what makes the broker of a URL; these are not looked for among entry points."""


def _split(url: str) -> SplitResult:
    shown = without_password(url)
    if "#" in url:
        raise InvalidOption(
            f"the URL {shown!r} has a '#', after which nothing would be read: write %23 for one in "
            "a path"
        )
    parts = _parts(url)
    if parts is None:
        scheme, colon, _ = url.partition(":")
        raise InvalidOption(
            f"the URL {scheme}{colon}… cannot be read: expected one such as memory:// or "
            f"{DEFAULT_URL}"
        )
    return parts


def _parts(url: str) -> SplitResult | None:
    """Return a URL in parts, None where that fails: an error's words may repeat a password."""
    try:
        return urlsplit(url)
    except ValueError:
        return None
