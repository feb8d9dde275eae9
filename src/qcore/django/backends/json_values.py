"""Whether a value is the same after it was written as JSON and read again."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final, cast

from qcore.domain.text import shown

MAX_DEPTH: Final = 100


def as_json(value: object, where: str, depth: int = 0) -> Any:
    """Return a value as it arrives, tuples as lists; raise `TypeError` for what would be another.

    `where` says in the error which value it is, such as `kwargs["order"]`.
    """
    if depth > MAX_DEPTH:
        raise TypeError(f"{where} is nested more than {MAX_DEPTH} deep")
    match value:
        case None | bool() | int():
            return value
        case float() if isfinite(value):
            return value
        case str():
            _check_text(value, where)
            return value
        case bytes() | bytearray() | memoryview():
            raise _refused(cast("object", value), where)
        case Mapping():
            pairs = cast("Mapping[object, object]", value).items()
            return {
                _key(key, where): as_json(each, f"{where}[{key!r:.40}]", depth + 1)
                for key, each in pairs
            }
        case Sequence():
            several = cast("Sequence[object]", value)
            return [as_json(each, f"{where}[{i}]", depth + 1) for i, each in enumerate(several)]
        case _:
            raise _refused(value, where)


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{where} has the key {shown(key)}: JSON has text for keys alone")
    _check_text(key, where)
    return key


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TypeError(f"{where} is {shown(text)}: it has a surrogate, which is no text") from None


def _refused(value: object, where: str) -> TypeError:
    return TypeError(
        f"{where} is {shown(value)}: expected what JSON has (None, bool, int, float, str, a list, "
        "a dict with text for keys); give an object's id instead of the object"
    )
