"""Choose the serializer: the first one writes, the stored content type says which one reads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from qcore.app.calls.canonical import canonical
from qcore.app.calls.user_code import reraise_ctrl_c
from qcore.domain.errors import CannotDecode, CannotEncode, UnknownFormat
from qcore.domain.retry import described
from qcore.domain.uniqueness import digest_of
from qcore.ports import Serializer

T = TypeVar("T")


class Codec:
    """Write with the first serializer; read with the one that the content type names.

    So a rolling change of serializer needs no pause: tasks written before it are still read.

    A serializer calls code of its user's: its own, or that of the classes that it writes and reads.
    Whatever that raises is `CannotEncode` or `CannotDecode`.
    """

    def __init__(self, serializers: Sequence[Serializer]) -> None:
        self._first = serializers[0]
        self._by_type = {each.content_type: each for each in reversed(serializers)}
        self.content_type = self._first.content_type
        plain = self._first
        while (inner := getattr(plain, "inner", None)) is not None:
            # a signature or a nonce would make equal arguments unequal: keys need the bytes inside
            plain = inner
        self._plain: Serializer = plain
        self._is_sealed = plain is not self._first

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes; raise `CannotEncode` where it has no form in the format."""
        try:
            return self._first.dumps(value)
        except BaseException as error:  # noqa: BLE001  (whatever the classes of values raise)
            raise _cannot_encode(error)  # noqa: B904  (it has its cause)

    def digests(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Return a digest of each argument: equal values have equal ones, in every process.

        Of the bytes that are not yet signed or encrypted.
        """
        return {
            name: digest_of(self.unsealed(canonical(value, self.unsealed)))
            for name, value in arguments.items()
        }

    def unsealed(self, value: object) -> bytes:
        """Return a value as bytes that are not signed or encrypted: the same bytes each time."""
        try:
            return self._plain.dumps(value)
        except BaseException as error:  # noqa: BLE001  (whatever the classes of values raise)
            raise _cannot_encode(error)  # noqa: B904  (it has its cause)

    def writes_like(self, data: bytes, content_type: str | None) -> bool:
        """Return whether data are of the format and, where sealed, of the key that write here."""
        if (content_type or self.content_type) != self.content_type:
            return False
        ask: Callable[[bytes], bool] | None = getattr(self._first, "is_of_first_key", None)
        return ask is None or ask(data)

    def why_unreadable(self, kind: Any) -> str | None:
        """Return why no value can be read as a type; None where one can, or it is not known."""
        ask: Callable[[Any], str | None] | None = getattr(self._plain, "why_unreadable", None)
        return None if ask is None else ask(kind)

    def loads(self, data: bytes, content_type: str | None, kind: type[T]) -> T:
        """Return the value that `data` encodes, as a `kind`.

        Raises `CannotDecode` for data that does not fit, and for a content type that none of the
        serializers has: `UnknownFormat` then, unless values are sealed here, as what has no seal is
        not to be trusted.
        """
        serializer = self._first if content_type is None else self._reading(content_type)
        try:
            return serializer.loads(data, kind)
        except CannotDecode:
            raise
        except BaseException as error:
            reraise_ctrl_c(error)
            raise CannotDecode(f"the serializer raised {described(error)}") from error

    def reader(self, content_type: str | None, kind: type[T]) -> Callable[[bytes], T]:
        """Return what reads data of a content type as a `kind`, quicker than `loads`.

        Of data that do not fit it may raise anything: `loads` says what is wrong with them. Raises
        as `loads` for a content type that none of the serializers has.
        """
        serializer = self._reading(content_type)
        # of its class: one that passes on what it does not have itself may seal what another reads
        make: Callable[[Serializer, type[T]], Callable[[bytes], T]] | None
        make = getattr(type(serializer), "reader", None)
        return (
            (lambda data: serializer.loads(data, kind)) if make is None else make(serializer, kind)
        )

    def _reading(self, content_type: str | None) -> Serializer:
        """Return the serializer that reads a content type."""
        serializer = self._by_type.get(content_type or self.content_type)
        if serializer is None:
            raise (CannotDecode if self._is_sealed else UnknownFormat)(
                f"content type {content_type!r} is unknown here: this side reads "
                f"{', '.join(sorted(self._by_type))}"
            )
        return serializer


def _cannot_encode(error: BaseException) -> CannotEncode:
    """Return what a serializer raised as `CannotEncode`."""
    if isinstance(error, CannotEncode):
        return error
    reraise_ctrl_c(error)
    refused = CannotEncode(f"the serializer raised {described(error)}")
    refused.__cause__ = error
    return refused
