"""Whether values of a type arrive as they were given, once they are encoded and decoded."""

from functools import cached_property
from typing import Any, Final

from qcore.app.calls.codec import Codec
from qcore.app.calls.round_trip import RoundTrip, is_equal
from qcore.app.calls.type_shapes import hash_caching_class, names_any
from qcore.domain.errors import CannotDecode, CannotEncode

EXACT: Final = frozenset({str, int, float, bool})
"""Types whose values arrive as they were given, also where the annotation names none."""

_NO_KIND: Final[Any] = Any


class Arrival:
    """The arrival of the values of one type, by which a parameter or a result is annotated."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.is_exact = isinstance(kind, type) and kind in EXACT
        """Whether what is of just this type needs no comparison."""

    def why_not(self, given: object, arrived: object, codec: Codec, path: str) -> str | None:
        """Return in words why a value does not arrive as it was given; None if it does."""
        if not is_equal(given, arrived):
            compared = RoundTrip(codec.unsealed, sequences=self._names_sequences)
            changed = compared.difference(given, arrived, path)
            if changed is not None:
                return (
                    f"would arrive changed: {changed}: annotate it with a type that keeps it, or "
                    "choose another form for it"
                )
        if given is not None and self._hash_cacher is not None:
            return (
                f"could not be hashed when it arrives: {self._hash_cacher.__qualname__} caches its "
                "hash, and is made without a call of its __init__: expected a class without "
                "cache_hash=True"
            )
        return None

    def encode(self, value: object, codec: Codec) -> bytes:
        """Return a value as bytes; raise `CannotEncode` for one that would arrive changed.

        One that does not fit the type, as a middleware may have returned it, still arrives where it
        is read as no type, as by a handle that was made from an id.
        """
        data = codec.dumps(value)
        kind = self.kind
        if value is None or (type(value) in EXACT and (kind is Any or kind is type(value))):
            return data
        try:
            arrived = codec.loads(data, codec.content_type, kind)
        except CannotDecode:
            why = self._why_not_as_data(value, data, codec)
        else:
            why = self.why_not(value, arrived, codec, "$")
        if why is not None:
            raise CannotEncode(f"it {why}")
        return data

    @staticmethod
    def _why_not_as_data(value: object, data: bytes, codec: Codec) -> str | None:
        try:
            arrived = codec.loads(data, codec.content_type, _NO_KIND)
        except CannotDecode as error:
            return f"would not arrive: {error}"
        why = Arrival(Any).why_not(value, arrived, codec, "$")
        return None if why is None else f"does not fit its annotation, and as plain data {why}"

    @cached_property
    def _names_sequences(self) -> bool:
        return not names_any(self.kind)

    @cached_property
    def _hash_cacher(self) -> type | None:
        return hash_caching_class(self.kind)
