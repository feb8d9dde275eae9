"""Rarely used task options, stored as one JSON object in the column `more`.

A column each would cost every task, even as NULL, a quarter of a microsecond whenever it moves.
"""

from operator import attrgetter
from typing import Any, Final

from msgspec import DecodeError, defstruct, json

from qcore.adapters.sqlite.row_validation import COLUMN_OF, Unreadable, abbreviated
from qcore.domain.new_task import FIELDS, NewTask
from qcore.domain.task_fields import default_test

RARE_FIELDS: Final = [each for each in FIELDS.values() if each.name not in COLUMN_OF]

RareOptions: Final[Any] = defstruct(
    "RareOptions",
    [(each.name, each.type, each.default) for each in RARE_FIELDS],
    frozen=True,
    omit_defaults=True,
)
"""Those options; one that has its default is left out of the JSON.

An option that a newer qcore has stored and this one does not know is ignored. It is lost when this
one changes another rare option of the same task.
"""

NO_RARE_OPTIONS: Final = RareOptions()
_decode: Final = json.Decoder(RareOptions).decode
_fields: Final = attrgetter(*(each.name for each in RARE_FIELDS))
has_defaults: Final = default_test(RARE_FIELDS)
"""Return whether a task has the defaults of all of these options."""


def encode_options(task: NewTask) -> str | None:
    """Return the value of the column `more`; None where all have their defaults."""
    return None if has_defaults(task) else json.encode(RareOptions(*_fields(task))).decode()


def decode_options(text: str | None) -> Any:
    """Return the stored options; raise `Unreadable` where they are no such JSON."""
    if not text:
        return NO_RARE_OPTIONS
    try:
        return _decode(text)
    except (DecodeError, RecursionError):
        raise Unreadable(f"more is {abbreviated(text)}") from None


def decode_options_leniently(text: str | None) -> Any:
    """Return the stored options, or the defaults where they cannot be decoded."""
    try:
        return decode_options(text)
    except Unreadable:
        return NO_RARE_OPTIONS
