"""`Sealing`, the base of both seals: a header with the key's id, verified before it is read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, TypeVar

from qcore.adapters.sealing.keys import ID, Keys, Secret, prepared
from qcore.adapters.serializers import JsonSerializer
from qcore.domain.errors import CannotDecode
from qcore.ports import Serializer

T = TypeVar("T")
Prepared = TypeVar("Prepared")
"""A secret prepared for use, whose repr does not show it."""

VERSION: Final = 1


class Sealing(ABC, Generic[Prepared]):
    """Write with `inner`, then seal; open the seal, then read with `inner`: never without a seal.

    A seal is version (1 byte), length of the key's id (1 byte), id (ASCII), and what the scheme
    adds. It holds for one content type: that is covered by it, and so is the key's id.

    `keys` is a mapping or a sequence of pairs of id and secret. The first seals and every one
    opens. `also_reads` are serializers whose content types are read beside this one's, for as long
    as a change lasts: what was written before a change of `inner` or of the seal, or, with a plain
    one, without any. Raises `InvalidOption` for keys that cannot be used; no secret is ever shown.
    """

    scheme: ClassVar[str]

    def __init__(
        self, inner: Serializer | None = None, *, keys: Keys, also_reads: Sequence[Serializer] = ()
    ) -> None:
        self.inner: Final[Serializer] = inner or JsonSerializer()
        self.content_type: str = f"{self.inner.content_type}; sealed={self.scheme}"
        self.also_reads: Final = tuple(also_reads)
        self._keys = prepared(keys, self._prepared)
        self._sealing_id = next(iter(self._keys))
        # ended by a zero, which no content type has: so none is a prefix of another
        self._bound = self.content_type.encode() + b"\0"
        self._header = header_of(self._sealing_id)

    def __repr__(self) -> str:
        """Show the content type and the ids of the keys."""
        return f"<{type(self).__name__} {self.content_type!r}, keys {', '.join(self._keys)}>"

    def dumps(self, value: object) -> bytes:
        """Return a value as sealed bytes; raise `CannotEncode` where it has no form."""
        body = self.inner.dumps(value)
        key, header = self._keys[self._sealing_id], self._header
        return header + self._sealed(key, self._bound + header, body)

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that sealed bytes are, as a `kind`.

        Raises `CannotDecode` where the seal is missing, wrong or of an unknown key; then `inner` is
        shown nothing.
        """
        id, end = _id_of(data)  # noqa: A001  (what it is called)
        key = self._keys.get(id)
        if key is None:
            raise CannotDecode(
                f"its seal is of the key {id!r}, which is unknown here: this side has "
                f"{', '.join(self._keys)}"
            )
        body = self._opened(key, self._bound + data[:end], data[end:])
        if body is None:
            raise CannotDecode(
                f"its seal is not that of the key {id!r}: it was changed, or sealed with another "
                "secret or for another content type"
            )
        return self.inner.loads(body, kind)

    def is_of_first_key(self, data: bytes) -> bool:
        """Return whether bytes say that they are sealed by the key that seals here."""
        return data.startswith(self._header)

    @staticmethod
    @abstractmethod
    def _prepared(id: str, secret: Secret, /) -> Prepared:  # noqa: A002  (as above)
        """Return a secret prepared for use; raise `InvalidOption` where it cannot be one."""

    @staticmethod
    @abstractmethod
    def _sealed(key: Prepared, bound: bytes, body: bytes, /) -> bytes:
        """Return a body sealed: signed or encrypted, with `bound` as associated data."""

    @staticmethod
    @abstractmethod
    def _opened(key: Prepared, bound: bytes, sealed: bytes, /) -> bytes | None:
        """Return the body, None where the seal is wrong."""


def header_of(id: str) -> bytes:  # noqa: A002  (as above)
    """Return the header of a seal: version, length of the key's id, id."""
    return bytes([VERSION, len(id)]) + id.encode("ascii")


def _id_of(data: bytes) -> tuple[str, int]:
    """Return the id of the key that sealed, and where it ends."""
    if data[:1] == bytes([VERSION]) and len(data) > 1:
        end = 2 + data[1]
        id = data[2:end].decode("latin-1")  # noqa: A001  (as above)
        # checked, as it is put into error messages, and so into logs
        if len(id) == data[1] and ID.fullmatch(id):
            return id, end
    raise CannotDecode(f"it has no seal: expected one of version {VERSION}")
