"""The canonical form of a value: equal values have one, in every process.

A set's order depends on the process (hash randomization), a dict's on how it was filled; 1 and 1.0,
-0.0 and 0.0, or a moment in two time zones are equal and encoded differently.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from qcore.app.calls.object_parts import compared_parts_of
from qcore.domain.errors import CannotEncode

Encode: TypeAlias = Callable[[object], bytes]

MAX_INTEGRAL: Final = 2**53
"""Floats from here on are no longer every whole number."""


def canonical(value: object, encode: Encode) -> object:
    """Return what a value and those that are equal to it are encoded as, with the same bytes.

    `encode` tells in which order the members of a set go. Raises `CannotEncode` for what is nested
    too deeply, and for a moment before the first or after the last in UTC.
    """
    try:
        return _canonical(value, encode)
    except (RecursionError, OverflowError) as error:
        raise CannotEncode(f"it cannot be compared with others: {error}") from error


def _canonical(value: Any, encode: Encode) -> object:
    for kinds, arrange in _RULES:
        if isinstance(value, kinds):
            return arrange(value, encode)
    return _of_object(value, encode)


def _of_mapping(value: dict[Any, Any], encode: Encode) -> object:
    if all(isinstance(key, str) for key in value):
        return {key: _canonical(value[key], encode) for key in sorted(value)}
    # pairs, as not everything that equal keys have in common can be a key
    pairs = [[_canonical(key, encode), _canonical(part, encode)] for key, part in value.items()]
    return sorted(pairs, key=encode)


def _of_set(value: Iterable[Any], encode: Encode) -> object:
    return sorted((_canonical(each, encode) for each in value), key=encode)


def _of_array(value: Iterable[Any], encode: Encode) -> object:
    return [_canonical(each, encode) for each in value]


def _of_float(value: float, _encode: Encode) -> object:
    return int(value) if value.is_integer() and abs(value) < MAX_INTEGRAL else value


def _of_moment(value: datetime, _encode: Encode) -> object:
    return value if value.tzinfo is None else value.astimezone(UTC)


def _of_time(value: time, _encode: Encode) -> object:
    offset = value.utcoffset()
    if offset is None:
        return value
    since = timedelta(0, value.second, value.microsecond, 0, value.minute, value.hour)
    return since - offset


def _of_decimal(value: Decimal, _encode: Encode) -> object:
    """Return a number without the zeros at its end; `normalize` would round a long one."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        # no number, or infinite
        return value
    kept = "".join(map(str, digits)).rstrip("0")
    zeros = len(digits) - len(kept)
    return Decimal((sign, tuple(map(int, kept)), exponent + zeros)) if kept else Decimal(0)


def _of_object(value: object, encode: Encode) -> object:
    parts = compared_parts_of(value)
    if parts is None:
        return value
    arranged = {name: _canonical(part, encode) for name, part in sorted(parts.items())}
    try:
        encode(arranged)
    except CannotEncode:
        # of a part that only the class itself has a form for
        return value
    # with the class, as objects of two classes are not equal whatever is in them
    return [f"{type(value).__module__}.{type(value).__qualname__}", arranged]


_RULES: Final[Sequence[tuple[tuple[type, ...], Callable[[Any, Encode], object]]]] = (
    ((dict,), _of_mapping),
    ((set, frozenset), _of_set),
    ((list, tuple), _of_array),
    ((float,), _of_float),
    ((datetime,), _of_moment),
    ((time,), _of_time),
    ((Decimal,), _of_decimal),
)
