"""What a task is called in Redis, and its place in the line of its queue."""

from typing import Final, TypeAlias

from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId

StoredId: TypeAlias = str | bytes
"""An id as it is stored."""

MARK: Final = b"\x01"
"""Ahead of sixteen bytes; no id begins with it, as it is not printable."""
DIGITS: Final = 32


def encode_id(task: TaskId) -> StoredId:
    """Return how an id is stored: one that is 32 hexadecimal digits, as ours are, in half of that.

    It is in memory twice for each task that waits.
    """
    if len(task) == DIGITS:
        try:
            name = bytes.fromhex(task)
        except ValueError:
            return task
        if name.hex() == task:
            return MARK + name
    return task


def decode_id(name: bytes) -> TaskId:
    """Return the id that is stored so."""
    return name[1:].hex() if name[:1] == MARK else name.decode(errors="replace")


def encode_sequence(number: int) -> str:
    """Return a number so that texts sort as their numbers do (lua/common.lua)."""
    digits = f"{number:x}"
    return chr(96 + len(digits)) + digits


def group_member_prefix(group: str, due: Moment) -> bytes:
    """Return how those of a group that are due at a moment begin (lua/common.lua)."""
    return f"{group}\1{due:024.9f}".encode()


def has_sequence(text: bytes) -> bool:
    """Return whether a text is as long as its letter says; what somebody wrote over may not be."""
    return len(text) > 1 and text[0] - 95 == len(text)


def end_of_sequence(text: bytes) -> int:
    """Return where behind the line of a value or a member the rest begins."""
    return max(0, text[0] - 95) if text else 0
