"""Compare a value with what it has become, encoded and decoded, and say what is not the same.

Equality decides first, as it is the value's own. Where that says no, the parts are compared one by
one, as NaN, a datetime in a repeated hour, and objects without an `__eq__` are not equal to an
exact copy of themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from qcore.app.calls.object_parts import parts_of
from qcore.app.calls.user_code import reraise_ctrl_c
from qcore.domain.text import shown

MAX_PAIRED: Final = 100
"""Members of a set that are paired with each other one by one."""
MAX_KEY: Final = 60
"""Characters of a key, in a message."""

Compare: TypeAlias = Callable[[Any, Any, str], str | None]
"""Return in words what has changed, given a value, what has become of it, and its path."""

_ARRAYS: Final = (list, tuple)
_GIVEN_AS_DATA: Final = frozenset({str, int, float, list, tuple, dict})
"""Types of which an annotation may make another: a datetime of text, an object of a mapping."""
_DATA: Final = _GIVEN_AS_DATA | {bytes, bool, type(None)}


def is_equal(one: object, other: object) -> bool:
    """Return whether `one == other`; false where their `__eq__` raises, or returns no truth."""
    try:
        return bool(one == other)
    except BaseException as error:  # noqa: BLE001  (whatever a user's class does)
        reraise_ctrl_c(error)
        return False


class RoundTrip:
    """The rules of a comparison.

    `encode` is what values were encoded with, and `sequences` says whether a tuple may arrive as
    the list that its annotation names: not where the annotation is `Any`, which names nothing.
    """

    def __init__(self, encode: Callable[[object], bytes], *, sequences: bool) -> None:
        self._encode = encode
        self._sequences = sequences
        self._rules: Final[Sequence[tuple[tuple[type, ...], Compare]]] = (
            ((dict,), self._of_mappings),
            (_ARRAYS, self._of_sequences),
            ((set, frozenset), self._of_sets),
            ((datetime,), self._of_moments),
            ((float, Decimal), self._of_numbers),
        )

    def difference(self, given: object, arrived: object, path: str = "$") -> str | None:
        """Return in words the first part that has changed, None if there is none.

        Without the values, which may be secrets.
        """
        try:
            return self._difference(given, arrived, path)
        except RecursionError:
            return f"the {_kind(given)} at {path} is nested too deeply to be compared"

    def _difference(self, given: Any, arrived: Any, path: str) -> str | None:
        if given is arrived or is_equal(given, arrived):
            return None
        if type(given) is not type(arrived):
            return self._of_types(given, arrived, path)
        for kinds, compare in self._rules:
            if isinstance(given, kinds):
                return compare(given, arrived, path)
        return self._of_objects(given, arrived, path)

    def _of_types(self, given: Any, arrived: Any, path: str) -> str | None:
        if _is_array(given) and _is_array(arrived):
            if self._sequences:
                return self._of_sequences(given, arrived, path)
        elif type(given) in _GIVEN_AS_DATA and type(arrived) not in _DATA:
            return None
        return f"the {_kind(given)} at {path} arrives as {_kind(arrived)}"

    def _of_mappings(
        self, given: Mapping[Any, Any], arrived: Mapping[Any, Any], path: str
    ) -> str | None:
        for key, value in given.items():
            text = shown(key, MAX_KEY)
            if key not in arrived:
                return f"the {_kind(key)} {text}, a key at {path}, does not arrive as it is"
            found = self._difference(value, arrived[key], f"{path}[{text}]")
            if found is not None:
                return found
        return None if len(given) == len(arrived) else _other(given, path)

    def _of_sequences(self, given: Sequence[Any], arrived: Sequence[Any], path: str) -> str | None:
        for index, (one, other) in enumerate(zip(given, arrived, strict=False)):
            found = self._difference(one, other, f"{path}[{index}]")
            if found is not None:
                return found
        return None if len(given) == len(arrived) else _other(given, path)

    def _of_sets(self, given: set[Any], arrived: set[Any], path: str) -> str | None:
        left = list(arrived - given)
        if len(given) != len(arrived) or len(left) > MAX_PAIRED:
            return _other(given, path)
        for one in given - arrived:
            paired = [each for each in left if self._difference(one, each, path) is None]
            if not paired:
                return _other(given, path)
            left = [each for each in left if each is not paired[0]]
        return None

    def _of_moments(self, given: datetime, arrived: datetime, path: str) -> str | None:
        # in an hour that a clock goes through twice, one equals none of another zone (PEP 495)
        is_aware = given.tzinfo is not None and arrived.tzinfo is not None
        is_same = is_aware and given.timestamp() == arrived.timestamp()
        return None if is_same else _other(given, path)

    def _of_numbers(self, given: object, arrived: object, path: str) -> str | None:
        # a NaN
        return None if repr(given) == repr(arrived) else _other(given, path)

    def _of_objects(self, given: object, arrived: object, path: str) -> str | None:
        parts, others = parts_of(given), parts_of(arrived)
        says_no = type(given).__eq__ is not object.__eq__
        if parts is None or others is None:
            is_same = not says_no and self._encode(given) == self._encode(arrived)
            return None if is_same else _other(given, path)
        for name, part in parts.items():
            if name not in others:
                return f"the {_kind(part)} at {path}.{name} does not arrive"
            found = self._difference(part, others[name], f"{path}.{name}")
            if found is not None:
                return found
        # its own word counts, unless one of its parts, such as a NaN, is to blame for it
        is_blameless = all(is_equal(part, others[name]) for name, part in parts.items())
        return _other(given, path) if says_no and is_blameless else None


def _is_array(value: object) -> bool:
    return isinstance(value, _ARRAYS)


def _other(given: object, path: str) -> str:
    return f"the {_kind(given)} at {path} arrives as another {_kind(given)}"


def _kind(value: object) -> str:
    return type(value).__qualname__.rpartition(".")[2]
