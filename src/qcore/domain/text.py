"""Errors and values of users as text: of bounded length, in UTF-8, and whatever they do when asked.

Their `__str__` and `__repr__` are anyone's code: they may raise, return what is no text, or call
`exit`. A message about a value must not fail because of it, nor hide the error that it is about.
"""

import traceback
from types import TracebackType
from typing import Final

MAX_ERROR: Final = 2_000
"""Characters of an error that are kept."""
MAX_SHOWN: Final = 80
"""Characters of a value that a message shows."""


def said_by(error: BaseException) -> str:
    """Return what an error says, nothing where its own `__str__` fails."""
    try:
        # `str` may return a subclass, whose methods are anyone's code too
        return str.__str__(str(error))
    except BaseException:  # noqa: BLE001  (an error about an error must not hide the first)
        return ""


def traceback_of(error: BaseException) -> str:
    """Return an error's whole traceback as text, without the values of variables.

    Those may be arguments and secrets: the log of an application shows them unless it is told not
    to, where it is given the error itself.
    """
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except BaseException:  # noqa: BLE001  (its own text, notes or causes must not hide the error)
        return "".join(traceback.format_tb(trace_of(error))) + type(error).__name__


def trace_of(error: BaseException) -> TracebackType | None:
    """Return an error's traceback, past whatever its class has put in that attribute's place."""
    found: TracebackType | None = vars(BaseException)["__traceback__"].__get__(error)
    return found


def shown(value: object, most: int = MAX_SHOWN) -> str:
    """Return a value's `repr`, cut to `most` characters; of a long text also say how long it is."""
    if type(value) is str and len(value) > most:
        return f"{value[:60]!r}… ({len(value)} characters)"
    try:
        text = str.__str__(repr(value))
    except BaseException as error:  # noqa: BLE001  (whatever its class does)
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= most else f"{text[:most]}…"


def storable(text: str) -> str:
    """Return text cut to the length that is kept, with what UTF-8 cannot say escaped."""
    # a lone surrogate, as in a file name, is not text to a store
    text = escaped(text)
    return text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR - 1]}…"


def one_line(text: str, most: int) -> str:
    """Return text as one line of at most so many characters, without what terminals obey."""
    text = " ".join(escaped(text).split())
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def is_utf8(text: str) -> bool:
    """Return whether UTF-8 can say it: not a lone surrogate, as a file's name may have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(text: str) -> str:
    """Return text with what UTF-8 cannot say, and what ends text elsewhere, escaped."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
