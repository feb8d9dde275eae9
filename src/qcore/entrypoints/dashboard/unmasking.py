"""Arguments in a form, and back: what is masked there, and left as it is, stays what it was."""

import json
from typing import Any, Final, cast

from qcore.domain.text import shown
from qcore.entrypoints.dashboard.masking import HIDDEN, Mask
from qcore.entrypoints.dashboard.refusals import BadRequest

MOST: Final = 200_000
"""Characters of arguments in a form."""


def as_text(data: Any, mask: Mask) -> str | None:
    """Return arguments as masked JSON to be edited; None where they are no JSON, or too long."""
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        is_same = json.loads(text) == data and text.startswith("{")
        masked = json.dumps(mask.of(data), ensure_ascii=False, indent=2)
    except (TypeError, ValueError, RecursionError):
        return None
    return masked if is_same and len(masked) <= MOST else None


def from_text(text: str, data: object, mask: Mask) -> dict[str, Any]:
    """Return edited arguments: those that were left as they were shown are those of `data`.

    Raises `BadRequest` for text that is no JSON object, and for a masked value in another place.
    """
    try:
        edited: object = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the arguments are no JSON: {error}") from None
    if not isinstance(edited, dict):
        raise BadRequest(f"the arguments are {shown(edited)}: expected an object of JSON")
    return cast("dict[str, Any]", _merged(edited, data, mask.of(data)))


def _merged(edited: Any, original: Any, masked: Any) -> Any:
    if edited == masked and (type(edited) is type(masked) or isinstance(masked, str)):
        return original
    match edited, original, masked:
        case dict(), dict(), dict():
            return _merged_object(edited, original, masked)
        case list(), list(), list():
            return _merged_list(edited, original, masked)
        case _:
            return _new(edited)


def _merged_object(edited: Any, original: Any, masked: Any) -> dict[str, Any]:
    return {
        key: _merged(value, original[key], masked[key]) if key in original else _new(value)
        for key, value in edited.items()
    }


def _merged_list(edited: Any, original: Any, masked: Any) -> list[Any]:
    return [
        _merged(value, original[at], masked[at]) if at < len(original) else _new(value)
        for at, value in enumerate(edited)
    ]


def _new(value: Any) -> Any:
    """Return a value that was put in; raise `BadRequest` where it has what only stands for one."""
    if HIDDEN in json.dumps(value, ensure_ascii=False):
        raise BadRequest(
            f"{shown(value)} has {HIDDEN}, which stands for a masked value: leave such values "
            "where they are, or put in others"
        )
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
