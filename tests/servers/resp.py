"""Where one value of the Redis protocol, version 2 or 3, ends and the next begins.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from collections.abc import Iterator

PUSH = b">"
SIZED = b"$=!"
GATHERED = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
"""How many values there are for each that is counted."""


class Splitter:
    """Give the bytes of a connection back as whole values, each as it was."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every value that is complete now."""
        self._rest += data
        while (end := end_of(self._rest, 0)) is not None:
            yield bytes(self._rest[:end])
            del self._rest[:end]


def end_of(data: bytearray, start: int) -> int | None:
    """Return where the value that starts here ends; None while it is not complete."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, after = bytes(data[start : start + 1]), line + 2
    if kind in GATHERED:
        # Attributes are followed by the value that has them.
        extra = 1 if kind == b"|" else 0
        return _skip(data, after, int(data[start + 1 : line]) * GATHERED[kind] + extra)
    if kind in SIZED:
        size = int(data[start + 1 : line])
        end = after if size < 0 else after + size + 2
        return end if end <= len(data) else None
    return after


def _skip(data: bytearray, start: int, values: int) -> int | None:
    end: int | None = start
    for _ in range(values):
        if end is None:
            return None
        end = end_of(data, end)
    return end
