"""The largest payload and the largest result, in bytes as a serializer writes them."""

from typing import Final

from qcore.domain.errors import InvalidOption

DEFAULT_MAX_PAYLOAD: Final = 1 << 20
DEFAULT_MAX_RESULT: Final = DEFAULT_MAX_PAYLOAD


def byte_limit(name: str, value: object) -> int:
    """Return a limit in bytes; raise `InvalidOption` for what is none."""
    if type(value) is not int or value < 1:
        raise InvalidOption(f"{name} is {value!r}: expected a whole number of bytes from 1")
    return value
