"""What goes over a wire to Redis, and what comes back."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import hiredis

Word: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Word, ...]
Reply: TypeAlias = Any
"""As Redis answers: bytes, int, None, or a list of them."""

LARGE: Final = 1 << 16
"""Bytes that are not worth a copy to spare a call of the system."""


def packed(commands: Sequence[Command]) -> list[bytes]:
    """Return commands as they go over the wire: small ones together, as each piece is a syscall."""
    pieces: list[bytes] = [_pack(command) for command in commands]
    return pieces if sum(map(len, pieces)) > LARGE else [b"".join(pieces)]


# its stub speaks of tuples of one word
_hiredis: Any = hiredis
_pack: Final[Callable[[Command], bytes]] = _hiredis.pack_command
