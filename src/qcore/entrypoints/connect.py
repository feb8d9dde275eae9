"""A URL becomes a broker."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from qcore.adapters.links.sqlite import BorrowedSqliteLink, Connection
from qcore.domain.errors import InvalidOption
from qcore.ports import Broker

DEFAULT_URL: Final = "sqlite:///qcore.db"


def connect(url: str) -> Broker:
    """Return the broker that a URL names; nothing is opened yet.

    - `memory://`: in this process, gone with it.
    - `sqlite:///qcore.db`: a file in the working folder; `sqlite:////var/lib/qcore.db`: elsewhere.
      Options: `synchronous` (full, normal), `timeout` (seconds to wait for another process's lock).

    A path is percent-encoded, as in any URL: `%25`, `%3F` and `%23` are `%`, `?` and `#`; make it
    with `urllib.parse.quote`.

    Raises `InvalidOption` for a scheme, a part or an option that it does not know.
    """
    parts = _split(url)
    maker = _MAKERS.get(parts.scheme)
    if maker is None:
        raise InvalidOption(
            f"the URL {_without_password(url)!r} has the scheme {parts.scheme!r}: expected one of "
            f"{', '.join(f'{scheme}://' for scheme in _MAKERS)}"
        )
    if "#" in url:
        raise InvalidOption(
            f"the URL {_without_password(url)!r} has a '#', after which nothing would be read: "
            "write %23 for one in a path"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    return maker(unquote(parts.netloc), unquote(parts.path), options)


def borrow(connection: Connection) -> Broker:
    """Return a broker in the transaction of a caller's own SQLite connection."""
    from qcore.adapters.sqlite import SqliteBroker

    return SqliteBroker(BorrowedSqliteLink(connection))


def _memory(host: str, path: str, options: Mapping[str, str]) -> Broker:
    from qcore.adapters.memory import MemoryBroker

    if host or path:
        raise InvalidOption(f"memory://{host}{path}: expected memory:// and nothing after it")
    _refuse_rest(options, {}, "memory://")
    return MemoryBroker()


def _sqlite(host: str, path: str, options: Mapping[str, str]) -> Broker:
    from qcore.adapters.links.sqlite import AsyncSqliteLink
    from qcore.adapters.sqlite import SqliteBroker

    file = path.removeprefix("/")
    if host or not file:
        raise InvalidOption(
            f"sqlite://{host}{path} names no file: expected sqlite:///relative.db or "
            "sqlite:////absolute/path.db"
        )
    known: Mapping[str, Callable[[str], Any]] = {
        "synchronous": _one_of("full", "normal"),
        "timeout": float,
    }
    return SqliteBroker(AsyncSqliteLink(file, **_refuse_rest(options, known, "sqlite:///")))


_MAKERS: Final[Mapping[str, Callable[[str, str, Mapping[str, str]], Broker]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
}


def _refuse_rest(
    options: Mapping[str, str], known: Mapping[str, Callable[[str], Any]], scheme: str
) -> dict[str, Any]:
    """Return options as values; refuse those not known."""
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in known:
            raise InvalidOption(
                f"{scheme} has no option {name!r}: expected "
                f"{', '.join(known) if known else 'none at all'}"
            )
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise InvalidOption(f"the option {name}={text!r} of {scheme}: {error}") from None
    return values


def _one_of(*words: str) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {' or '.join(words)}")
        return text

    return chosen


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # its words may repeat a password
        scheme, colon, _ = url.partition(":")
        raise InvalidOption(
            f"the URL {scheme}{colon}… cannot be read: expected one such as memory:// or "
            f"{DEFAULT_URL}"
        ) from None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":…@")
