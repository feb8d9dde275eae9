"""JSON and MessagePack serializers, over msgspec.

Both formats take plain data, attrs and msgspec classes, dataclasses, TypedDict, named tuples,
enums, datetimes and timedeltas, UUID, Decimal, bytes and sets, and pydantic models (anything with
`model_dump` and `model_validate`). What a value is comes from the type that it is read as: read as
`object`, a datetime in JSON is text and a set is a list. How deeply values may be nested is up to
Python: 730 levels in 3.11, and since 3.14 as many as the stack holds, a fifth of them to be read.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final, Protocol, TypeVar, cast, get_args, get_origin

import attrs
import msgspec

from qcore.domain.errors import CannotDecode, CannotEncode

T = TypeVar("T")

MAX_PATH_STEPS: Final = 16
"""Steps of the path to a value, in an error message."""
MAX_KEY: Final = 60
MAX_REASON: Final = 400
"""Characters of a key and of a cause, in an error message."""


class _Decoder(Protocol):
    def decode(self, data: bytes, /) -> Any: ...


class _Serializer:
    """The base of both formats: one encoder, and a cache of decoders by type."""

    def __init__(
        self, encode: Callable[[object], bytes], decoder: Callable[[object], _Decoder]
    ) -> None:
        self._encode = encode
        self._decoder = decoder
        self._decoders: dict[object, _Decoder] = {}

    def dumps(self, value: object) -> bytes:
        """Return a value as bytes; raise `CannotEncode`, which names the part that has no form."""
        try:
            return self._encode(value)
        except Exception as error:
            raise CannotEncode(_describe_failure(value, self._encode, error)) from error

    def loads(self, data: bytes, kind: type[T]) -> T:
        """Return the value that `data` is, as a `kind`.

        Raises `CannotDecode`, which names the place in the data, where it does not fit; also
        where a validator of the type refuses it, or where there is no reading such a type.
        """
        try:
            try:
                # each enqueue and each run decodes: the usual case makes no call of its own
                decoder = self._decoders[kind]
            except (KeyError, TypeError):
                decoder = self._decoder_of(kind)
            value: T = decoder.decode(data)
        except Exception as error:
            raise CannotDecode(f"cannot be read as {_name(kind)}: {_reason(error)}") from error
        return value

    def reader(self, kind: type[T]) -> Callable[[bytes], T]:
        """Return what reads data as a `kind`; its errors are not those of `loads`."""
        if getattr(self.loads, "__func__", None) is not _Serializer.loads:
            # somebody's own
            return lambda data: self.loads(data, kind)
        return self._decoder_of(kind).decode

    def why_unreadable(self, kind: object) -> str | None:
        """Return why no value can be read as a type; None where one can."""
        try:
            self._decoder_of(kind)
        except Exception as error:  # noqa: BLE001  (whatever the annotations of a class raise)
            return _reason(error)
        return None

    def _decoder_of(self, kind: object) -> _Decoder:
        try:
            # two threads may build one at the same time: they are equal
            return self._decoders.setdefault(kind, self._decoder(kind))
        except TypeError:
            # an annotation whose metadata cannot be hashed
            return self._decoder(kind)


class JsonSerializer(_Serializer):
    """Write JSON, which any language can read.

    Whole numbers have any size. NaN and the infinities have no form in JSON and are refused. The
    keys of a mapping are written as text: of 1 and "1" in one mapping the later wins. A time zone's
    offset from UTC is written to the minute.
    """

    content_type: str = "application/json"

    def __init__(self) -> None:
        super().__init__(_to_json, lambda kind: msgspec.json.Decoder(kind, dec_hook=_read_foreign))


class MessagePackSerializer(_Serializer):
    """Write MessagePack: smaller, quicker, and bytes stay bytes.

    Whole numbers beyond 64 bits are refused.
    """

    content_type: str = "application/msgpack"

    def __init__(self) -> None:
        super().__init__(
            _MESSAGE_PACK.encode,
            lambda kind: msgspec.msgpack.Decoder(kind, dec_hook=_read_foreign),
        )


def _plain(value: object) -> object:
    """Return a value of a type unknown to msgspec as one of a known type (its `enc_hook`)."""
    match value:
        case type():
            raise TypeError("a class has no form in this format")
        case str():
            return str.__str__(value)
        case int():
            return int.__int__(value)
        case float():
            return float.__float__(value)
        case PurePath():
            return str(value)
        case _:
            return _dumped(value)


def _dumped(value: object) -> object:
    """Return a pydantic model as plain data."""
    dump: Callable[..., object] | None = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"a {type(value).__qualname__} has no form in this format")
    # by alias, as a model is validated by alias; without computed fields, which it may forbid
    return dump(mode="json", by_alias=True, round_trip=True)


def _read_foreign(kind: Any, value: object) -> object:
    """Return plain data as a value of a type unknown to msgspec (its `dec_hook`)."""
    if hasattr(kind, "model_validate_json"):
        # from JSON, as a strict model takes text for a datetime only there; json.dumps, as it
        # writes NaN, which pydantic reads
        return kind.model_validate_json(json.dumps(msgspec.to_builtins(value)))
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    base: type = get_origin(kind) or kind
    if base is Iterable and isinstance(value, list):
        # msgspec knows Collection and what is narrower
        members: Any = list[get_args(kind) or (Any,)]  # type: ignore[misc]
        return msgspec.convert(value, members, dec_hook=_read_foreign)
    if isinstance(value, base):
        return value
    if issubclass(base, PurePath) and isinstance(value, str):
        return base(value)
    raise TypeError(f"there is no reading a {base.__qualname__}")


_JSON: Final = msgspec.json.Encoder(enc_hook=_plain)
_MESSAGE_PACK: Final = msgspec.msgpack.Encoder(enc_hook=_plain)
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""The first bytes of NaN and the infinities in MessagePack; they cannot occur in UTF-8."""


def _to_json(value: object) -> bytes:
    data = _JSON.encode(value)
    # msgspec writes NaN and the infinities as null, which would lose them silently
    if b"null" in data and _may_have_non_finite(value):
        _refuse_non_finite(value)
    return data


def _may_have_non_finite(value: object) -> bool:
    """Return whether there may be a NaN or infinity, in a tenth of the time of being sure."""
    try:
        return _NOT_FINITE.search(_MESSAGE_PACK.encode(value)) is not None
    except OverflowError:
        # an integer of more than 64 bits, which MessagePack cannot write
        return True


def _refuse_non_finite(value: object) -> None:
    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_plain)
    try:
        json.dumps(plain, allow_nan=False, default=lambda _: None)
    except ValueError:
        raise ValueError("JSON has no form for NaN and the infinities") from None


def _describe_failure(value: object, encode: Callable[[object], bytes], error: Exception) -> str:
    """Return a message: which part of a value cannot be encoded, and why."""
    path, depth = "$", 0
    while depth < MAX_PATH_STEPS and (inner := _first_unencodable(value, encode)) is not None:
        step, value, error = inner
        path, depth = path + step, depth + 1
    if depth == MAX_PATH_STEPS:
        return f"the value at {path}… cannot be encoded: {_reason(error)}"
    return f"the {type(value).__name__} at {path} cannot be encoded: {_reason(error)}"


def _first_unencodable(
    value: object, encode: Callable[[object], bytes]
) -> tuple[str, object, Exception] | None:
    """Return the first part of a value that cannot be encoded by itself."""
    for step, part in _parts(value):
        try:
            encode(part)
        except Exception as error:  # noqa: BLE001  (it is returned)
            return step, part, error
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the direct parts of a value, each with its step of the path."""
    if isinstance(value, dict):
        for key, part in cast("dict[object, object]", value).items():
            shown = _truncate(repr(key), MAX_KEY)
            yield f" key {shown}", key
            yield f"[{shown}]", part
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, part in enumerate(cast("Iterable[object]", value)):
            yield f"[{index}]", part
    else:
        for name in _field_names(type(value)):
            yield f".{name}", getattr(value, name, None)


def _field_names(kind: type) -> Sequence[str]:
    """Return the names of the fields of an attrs, dataclass or msgspec class."""
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    return ()


def _name(kind: object) -> str:
    return kind.__qualname__ if isinstance(kind, type) else repr(kind)


def _reason(error: Exception) -> str:
    """Return an error's message, in one line of bounded length."""
    text = " ".join(f"{error}".split()) or type(error).__name__
    if isinstance(error, LookupError):
        # its message is the key alone
        text = f"{type(error).__name__}: {text}"
    if isinstance(error, RecursionError):
        text = f"it is nested too deeply ({text})"
    return _truncate(text.encode(errors="backslashreplace").decode(), MAX_REASON)


def _truncate(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
