"""URLs of stores: their options parsed, and their passwords kept out of messages."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from qcore.domain.errors import InvalidOption

HIDDEN: Final = "…"

_NO_PORT: Final = re.compile(r"(\[[^\]]*\])|:(?!\d{1,5}(?:,|$))[^,]*")


def without_password(url: str) -> str:
    """Return a URL as it may be shown: without its password and its options.

    A password may not have been percent-encoded: everything before the last `@` is taken for user
    and password, and a port that is no number may be the rest of one.
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    user = ""
    if "@" in rest and not rest.startswith("/"):
        login, _, rest = rest.rpartition("@")
        name, colon, _ = login.partition(":")
        user = f"{name}:{HIDDEN}@" if colon else f"{name}@"
    rest = rest.partition("?")[0]
    hosts = re.split("[/#]", rest, maxsplit=1)[0]
    shown = _NO_PORT.sub(lambda match: match[1] or f":{HIDDEN}", hosts)
    return f"{scheme}{mark}{user}{rest if shown == hosts else shown}"


def parse_options(
    query: str, known: Mapping[str, Callable[[str], Any]], scheme: str
) -> dict[str, Any]:
    """Return the options of a URL's query by name, parsed by the parsers in `known`.

    A parser raises a `ValueError` that says what was expected. Raises `InvalidOption` for an option
    that is unknown, invalid or given twice; its message does not repeat a query with an `@`, which
    may hold the end of a password.
    """
    pairs = _pairs(query)
    if pairs is None:
        raise InvalidOption(f"the options of {scheme} are not percent-encoded UTF-8")
    hidden = HIDDEN if "@" in query else None
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            raise InvalidOption(
                f"{scheme} has no option {hidden or name!r}: expected "
                f"{', '.join(known) if known else 'none at all'}"
            )
        if name in values:
            raise InvalidOption(f"the option {name} of {scheme} is given twice: expected it once")
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise InvalidOption(
                f"the option {name}={hidden or text!r} of {scheme}: {error}"
            ) from None
    return values


def _pairs(query: str) -> list[tuple[str, str]] | None:
    """Return names and texts, None if they are not UTF-8: the parser's error would repeat them."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        return None


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts these words alone."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {' or '.join(words)}")
        return text

    return parse
