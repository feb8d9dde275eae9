"""What goes over a wire to Redis, and what comes back."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import hiredis

Word: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Word, ...]
Reply: TypeAlias = Any
"""As Redis answers: bytes, int, None, or a list of them."""

LARGE: Final = 1 << 14
"""Bytes that are worth a syscall."""


def packed(commands: Iterable[Command]) -> list[bytes]:
    """Return commands as they go over the wire."""
    return [_pack(command) for command in commands]


def pieces(commands: Iterable[Command]) -> Iterator[bytes]:
    """Yield commands as they go over the wire, small ones together: each takes a syscall.

    A command is not taken before those ahead of it are large enough to be on their way.
    """
    small: list[bytes] = []
    size = 0
    for command in commands:
        small.append(_pack(command))
        size += len(small[-1])
        if size >= LARGE:
            yield b"".join(small)
            small, size = [], 0
    yield b"".join(small)


# its stub speaks of tuples of one word
_hiredis: Any = hiredis
_pack: Final[Callable[[Command], bytes]] = _hiredis.pack_command
