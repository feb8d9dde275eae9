"""The fields of a task that have no column of their own: one JSON object in one column."""

from operator import attrgetter
from typing import Any, Final

from msgspec import DecodeError, defstruct, json

from qcore.adapters.sqlite.row_validation import COLUMN_OF, Unreadable, shown
from qcore.domain.new_task import FIELDS, USUAL, NewTask

NAMED: Final = [each for each in FIELDS.values() if each.name not in COLUMN_OF]

More: Final[Any] = defstruct(
    "More",
    [(each.name, each.type, each.default) for each in NAMED],
    frozen=True,
    omit_defaults=True,
)
"""Those fields, each left out where it is as usual.

One of a name that is not known, which a newer qcore has written, is passed over; it is lost if the
older one then changes another of these.
"""

NOTHING_MORE: Final = More()
_READ: Final = json.Decoder(More).decode
_fields: Final = attrgetter(*(each.name for each in NAMED))
_USUALLY: Final = _fields(USUAL)


def has_more(task: NewTask) -> bool:
    """Return whether any of these fields is not as usual."""
    return bool(_fields(task) != _USUALLY)


def written(task: NewTask) -> str | None:
    """Return them as they are stored."""
    return json.encode(More(*_fields(task))).decode() if has_more(task) else None


def more_of(text: str | None) -> Any:
    """Return what is stored; raise `Unreadable`."""
    if not text:
        return NOTHING_MORE
    try:
        return _READ(text)
    except (DecodeError, RecursionError):
        raise Unreadable(f"more is {shown(text)}") from None


def more_shown(text: str | None) -> Any:
    """Return what is stored as well as possible."""
    try:
        return more_of(text)
    except Unreadable:
        return NOTHING_MORE
