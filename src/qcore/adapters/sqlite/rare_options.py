"""What was asked for of what few tasks ask for: one column for all of it."""

from typing import Final

from msgspec import DecodeError, Struct, json

from qcore.adapters.sqlite.row_validation import Unreadable, shown
from qcore.domain.new_task import REJECT, NewTask


class More(Struct, frozen=True, omit_defaults=True):
    """The fields of `NewTask` that have no columns of their own."""

    unique_key: str | None = None
    unique_for: float | None = None
    on_duplicate: str = REJECT


NOTHING_MORE: Final = More()
_READ: Final = json.Decoder(More).decode


def written(task: NewTask) -> str:
    """Return it as it is stored."""
    return json.encode(More(task.unique_key, task.unique_for, task.on_duplicate)).decode()


def more_of(text: str | None) -> More:
    """Return what is stored; raise `Unreadable`."""
    if not text:
        return NOTHING_MORE
    try:
        return _READ(text)
    except (DecodeError, RecursionError):
        raise Unreadable(f"more is {shown(text)}") from None


def more_shown(text: str | None) -> More:
    """Return what is stored as well as possible."""
    try:
        return more_of(text)
    except Unreadable:
        return NOTHING_MORE
