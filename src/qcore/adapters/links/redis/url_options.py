"""Options in the query of a Redis URL: declared at the field of `Address` that holds the value.

`option` is all there is to declare: name, default and type are the field's, the parser turns the
text into its value, `kind` and `tls` restrict the URLs that may have it. The page
docs/reference/urls.md has a row for each; tests/test_reference.py compares the two.
"""

import math
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from attrs import Attribute, field

from qcore.adapters.links.redis_schemes import Kind
from qcore.adapters.links.urls import one_of
from qcore.domain.record import record

T = TypeVar("T")

Parser: TypeAlias = Callable[[str], Any]
"""Returns the value of a text, or raises a `ValueError` that says what was expected."""

MAX_SECONDS: Final = 86_400
MAX_DIGITS: Final = 9
MAX_NAMESPACE: Final = 128


@record
class UrlOption:
    """How a field is read from a URL."""

    parse: Parser
    kind: Kind | None = None
    """The only kind of URL that may have it, None for all."""
    tls: bool = False
    """Whether only a URL with TLS may have it."""

    @property
    def is_general(self) -> bool:
        """Whether any URL may have it."""
        return self.kind is None and not self.tls

    def fits(self, kind: Kind, *, tls: bool) -> bool:
        """Return whether a URL of a kind may have it."""
        return self.kind in {None, kind} and (tls or not self.tls)


def option(
    default: T,
    parse: Parser,
    *,
    kind: Kind | None = None,
    tls: bool = False,
    is_secret: bool = False,
) -> T:
    """Return an attrs field that a URL's option sets; a secret is kept out of the `repr`."""
    metadata = {UrlOption: UrlOption(parse, kind, tls)}
    return field(default=default, repr=not is_secret, metadata=metadata)


def option_of(attribute: "Attribute[Any]") -> UrlOption | None:
    """Return the option that sets an attrs field, None for a field that none sets."""
    found: UrlOption | None = attribute.metadata.get(UrlOption)
    return found


def parse_whole_number(text: str) -> int:
    """Return a whole number, or raise `ValueError`; nothing but digits will do."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise ValueError("expected a whole number from 0")
    return int(text)


def parse_seconds(text: str) -> float:
    """Return a positive number of seconds, at most a day."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= MAX_SECONDS:
        raise ValueError(f"expected seconds, more than 0 and at most {MAX_SECONDS:,}")
    return found


def parse_fsync(text: str) -> tuple[int, int] | None:
    """Return WAITAOF's two numbers: append-only files of the server itself, and of replicas."""
    if text in {"no", "local"}:
        return None if text == "no" else (1, 0)
    try:
        replicas = parse_whole_number(text)
    except ValueError:
        replicas = 0
    if replicas == 0:
        raise ValueError("expected no, local, or a number of replicas from 1")
    return 1, replicas


def parse_verify(text: str) -> bool:
    """Return whether a certificate is checked."""
    return one_of("full", "none")(text) == "full"


def parse_namespace(text: str) -> str:
    """Return what every key begins with; braces would move its hash slot."""
    if not 0 < len(text) <= MAX_NAMESPACE or not text.isprintable() or set(text) & set(" {}"):
        raise ValueError(
            f"expected 1 to {MAX_NAMESPACE} characters, no braces, blanks or control characters"
        )
    return text


def parse_client_name(text: str) -> str:
    """Return a name that CLIENT SETNAME takes."""
    if not re.fullmatch(r"[!-~]{1,128}", text):
        raise ValueError("expected 1 to 128 printable ASCII characters without blanks")
    return text


def parse_file_path(text: str) -> str:
    """Return the path of a file."""
    if not text or not text.isprintable():
        raise ValueError("expected the path of a file")
    return text


def parse_variable_name(text: str) -> str:
    """Return the name of an environment variable."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("expected the name of an environment variable")
    return text
