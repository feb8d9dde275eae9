"""The options that a Redis URL may have, and what makes a value of each."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from qcore.adapters.links.redis.address import Kind
from qcore.adapters.links.urls import one_of

MOST_SECONDS: Final = 86_400
MAX_DIGITS: Final = 9
MAX_NAMESPACE: Final = 128


def known_options(kind: Kind, *, tls: bool) -> Mapping[str, Callable[[str], Any]]:
    """Return the options of a kind of URL, and what makes a value of each."""
    return {
        **_FOR_ALL,
        **(_FOR_TLS if tls else {}),
        **(_FOR_SENTINEL if kind == "sentinel" else {}),
        **(_FOR_UNIX if kind == "unix" else {}),
    }


def whole(text: str) -> int:
    """Return a whole number, or raise `ValueError`; nothing but digits will do."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise ValueError("expected a whole number from 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"expected seconds, more than 0 and at most {MOST_SECONDS:,}")
    return seconds


def _fsync(text: str) -> tuple[int, int] | None:
    if text in {"no", "local"}:
        return None if text == "no" else (1, 0)
    try:
        replicas = whole(text)
    except ValueError:
        replicas = 0
    if replicas == 0:
        raise ValueError("expected no, local, or a number of replicas from 1")
    return 1, replicas


def _verify(text: str) -> bool:
    return one_of("full", "none")(text) == "full"


def _namespace(text: str) -> str:
    if not 0 < len(text) <= MAX_NAMESPACE or not text.isprintable() or set(text) & set(" {}"):
        raise ValueError(
            f"expected 1 to {MAX_NAMESPACE} characters, no braces, blanks or control characters"
        )
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,128}", text):
        raise ValueError("expected 1 to 128 printable ASCII characters without blanks")
    return text


def _file(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("expected the path of a file")
    return text


def _text(text: str) -> str:
    return text


_FOR_ALL: Final[Mapping[str, Callable[[str], Any]]] = {
    "namespace": _namespace,
    "timeout": _seconds,
    "replicas": whole,
    "fsync": _fsync,
    "replica_timeout": _seconds,
    "name": _name,
}
_FOR_TLS: Final[Mapping[str, Callable[[str], Any]]] = {
    "ca": _file,
    "cert": _file,
    "key": _file,
    "verify": _verify,
}
_FOR_SENTINEL: Final[Mapping[str, Callable[[str], Any]]] = {
    "sentinel_user": _text,
    "sentinel_password": _text,
}
_FOR_UNIX: Final[Mapping[str, Callable[[str], Any]]] = {"db": whole}
