"""Plain data as text that people read: JSON with colours, whole numbers whole, and bounded."""

import json
from collections.abc import Iterator, Sequence
from typing import Final, cast

from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.entrypoints.dashboard.masking import Masked

MOST_TOKENS: Final = 4_000
MOST_OF_TEXT: Final = 8_000
"""Characters of one text."""
INDENT: Final = "  "


@record
class Token:
    """A piece of text, and what it is: key, text, number, word, masked, cut, or plain."""

    kind: str
    text: str


def tokens(data: object) -> Sequence[Token]:
    """Return plain data as tokens of JSON, indented; of very much the beginning.

    What JSON does not know, such as bytes, is shown as Python does.
    """
    found: list[Token] = []
    for token in _tokens(data, "\n"):
        if len(found) >= MOST_TOKENS:
            return [*found, Token("cut", "\n… cut: the rest is not shown")]
        found.append(token)
    return found


def _tokens(data: object, line: str | None) -> Iterator[Token]:
    """Yield tokens; `line` begins a new line, None keeps all of it on one."""
    leaf, inner = data, None if line is None else line + INDENT
    begin, between, end = inner or "", f",{inner or ' '}", line or ""
    if isinstance(data, dict) and data:
        yield Token("plain", "{")
        held = cast("dict[object, object]", data)
        for number, (key, value) in enumerate(held.items()):
            yield Token("plain", between if number else begin)
            yield Token("key", _json_text(str(key)))
            yield Token("plain", ": ")
            yield from _tokens(value, inner)
        yield Token("plain", f"{end}}}")
    elif isinstance(data, list | tuple) and data:
        yield Token("plain", "[")
        for number, value in enumerate(cast("Sequence[object]", data)):
            yield Token("plain", between if number else begin)
            yield from _tokens(value, inner)
        yield Token("plain", f"{end}]")
    else:
        yield _leaf(leaf)


def _leaf(value: object) -> Token:
    match value:
        case Masked():
            return Token("masked", value)
        case str():
            return Token("text", _json_text(value))
        case None | bool():
            return Token("word", json.dumps(value))
        case int() | float():
            return Token("number", shown(value, MOST_OF_TEXT))
        case dict() | list() | tuple():
            return Token("plain", "{}" if isinstance(value, dict) else "[]")
        case _:
            return Token("text", shown(value, MOST_OF_TEXT))


def _json_text(text: str) -> str:
    cut = text[:MOST_OF_TEXT]
    rest = len(text) - len(cut)
    return json.dumps(cut, ensure_ascii=False) + (f" … {rest:,} characters more" if rest else "")


def in_one_line(data: object, most: int = 160) -> str:
    """Return plain data as one line of JSON, cut to some characters."""
    text = ""
    for token in _tokens(data, None):
        text += token.text
        if len(text) > most:
            return f"{text[:most]}…"
    return text
