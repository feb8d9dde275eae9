"""`Serializer`: values to bytes and back."""

from typing import Protocol, TypeVar

T = TypeVar("T")


class Serializer(Protocol):
    """Values to bytes and back.

    One that has a method `why_unreadable(kind)` is asked for each annotation when a handler is
    declared: it returns why no value can be read as the type, None where one can. Of one that has a
    method `reader(kind)`, workers read arguments with the function of bytes that it returns, and
    with `loads` what that raises an error for.
    """

    @property
    def content_type(self) -> str:
        """Return the name of the format, stored with what was written in it."""
        ...

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes; raise `CannotEncode` where it has no form."""
        ...

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `data` is, as a `kind`; raise `CannotDecode` if it is none."""
        ...
