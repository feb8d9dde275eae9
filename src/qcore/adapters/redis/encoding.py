"""Encode ids and sequence numbers as Redis stores them, and decode them."""

from typing import Final, TypeAlias

from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId

StoredId: TypeAlias = str | bytes
"""An id as Redis stores it."""

MARK: Final = b"\x01"
"""In front of an id in binary; no id begins with it, as it is not printable."""
DIGITS: Final = 32


def encode_id(task: TaskId) -> StoredId:
    """Encode an id; one of 32 hexadecimal digits, as qcore makes them, becomes 17 bytes.

    Redis holds it twice for each pending task.
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
    """Decode an id."""
    return name[1:].hex() if name[:1] == MARK else name.decode(errors="replace")


def encode_sequence(number: int) -> str:
    """Encode a sequence number so that texts sort as numbers (lua/lib/sequence.lua)."""
    digits = f"{number:x}"
    return chr(96 + len(digits)) + digits


def group_member_prefix(group: str, due: Moment) -> bytes:
    """Return a member of `groups` without the id at its end (lua/lib/group_member.lua)."""
    return f"{group}\1{due:024.9f}".encode()


def has_sequence(text: bytes) -> bool:
    """Return whether a text is one sequence, as long as its letter says."""
    return len(text) > 1 and text[0] - 95 == len(text)


def end_of_sequence(text: bytes) -> int:
    """Return the index behind the sequence at the beginning of a value or a member."""
    return max(0, text[0] - 95) if text else 0
