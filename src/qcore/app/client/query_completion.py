"""Completion of a query that somebody types: what is asked for where the text ends."""

import re
from typing import Final

from qcore.app.client.qualifiers import ARGS, QUALIFIERS
from qcore.app.client.query_terms import quoted
from qcore.domain.record import record

_BARE: Final = re.compile(r"[\w.:/@%+=^-]+")
"""Values that a query reads as they are, without quotes."""


@record
class Typed:
    """What is typed at the end of a query."""

    before: str
    """What stays as it is."""
    text: str
    """The beginning of a qualifier, or of a value, without its quotes."""
    qualifier: str | None = None
    """Whose value is typed; None where a qualifier is."""
    sign: str = ""
    """A minus before a qualifier that is typed."""


def typed_at_the_end(query: str) -> Typed:
    """Return what somebody types at the end of a query."""
    term, value, colon = 0, 0, -1
    is_quoted = is_escaped = False
    for at, char in enumerate(query):
        if is_escaped or (is_quoted and char not in '\\"'):
            is_escaped = False
        elif char == "\\" and is_quoted:
            is_escaped = True
        elif char == '"':
            is_quoted = not is_quoted
        elif char.isspace():
            term, colon = at + 1, -1
        elif char == ":" and colon < 0:
            value, colon = at + 1, at
        elif char == "," and colon >= 0:
            value = at + 1
    if colon >= 0:
        qualifier = query[term:colon].removeprefix("-")
        return Typed(query[:value], query[value:].strip('"'), qualifier)
    sign = "-" if query.startswith("-", term) else ""
    return Typed(query[:term], query[term:].removeprefix("-"), None, sign)


def qualifiers_beginning(typed: Typed) -> list[str]:
    """Return the qualifiers that begin as it is typed, each with what comes after it."""
    found = (each for each in QUALIFIERS if each.startswith(typed.text))
    return sorted(f"{typed.sign}{each}{'.' if each == ARGS else ':'}" for each in found)


def as_value(text: str) -> str:
    """Return a text as a value that means nothing else in a query."""
    return text if _BARE.fullmatch(text) else quoted(text)
