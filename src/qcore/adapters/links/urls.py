"""What the URL of any store has: options to read, and a password that no message may repeat."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from qcore.domain.errors import InvalidOption

HIDDEN: Final = "…"

_NO_PORT: Final = re.compile(r"(\[[^\]]*\])|:(?!\d{1,5}(?:,|$))[^,]*")


def without_password(url: str) -> str:
    """Return a URL as it may be shown: without its password and its options.

    What stands before the last `@` may be a password that nobody has percent-encoded, whatever
    marks are in it; and so may what stands in the place of a port and is none.
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


def options_of(
    query: str, known: Mapping[str, Callable[[str], Any]], scheme: str
) -> dict[str, Any]:
    """Return the options of a URL's query as values; refuse those not known, or given twice.

    `known` makes a value of a text, or raises a `ValueError` that says what was expected. What
    stands before an `@` may be the end of a password, and is not repeated.
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
    """Return names and texts, None for what is no text: an error would repeat it."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        return None


def one_of(*words: str) -> Callable[[str], str]:
    """Return what takes one of these words as it is."""

    def chosen(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {' or '.join(words)}")
        return text

    return chosen
