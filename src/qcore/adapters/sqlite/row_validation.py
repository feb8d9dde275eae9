"""Checks of rows: SQLite stores a value of any type in any column (sqlite.org/datatype3.html).

So a row that was edited by hand may hold text where a number belongs, or an infinite number. A
claim refuses such a row, and an inspector is shown it with defaults in place of what does not fit.
Rows that no claim would come to, as their place in the order is none, are found by a sweep.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from types import NoneType
from typing import Any, Final

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.statements import statements
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import FIELDS
from qcore.domain.stored_options import Unreadable, abbreviated

MAX_WHOLE: Final = 1 << 62
"""Half of what SQLite stores, so that a counter has room to grow."""

_COLUMNS: Final = {
    line.split()[0]: line
    for line in statements("schema")["tasks"].splitlines()
    if line.startswith(" ")
}
COLUMNS: Final = [name for name in _COLUMNS if name not in {"queue", "holds"}]
"""The columns that a task is decoded from, in the order of the table.

The statements name each of them rather than `*`: a column that is read costs time in every claim.
"""

COLUMN_OF: Final = {
    name: column
    for name in FIELDS
    if (column := {"due": "not_before", "group": "group_name"}.get(name, name)) in _COLUMNS
}
"""Fields of `NewTask` to the columns that store them; the other fields are rare options."""

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "INTEGER": (int,),
    "REAL": (float, int),
    "TEXT": (str,),
    # an UPDATE typed in a shell stores TEXT in a BLOB column
    "BLOB": (bytes, str),
}


def unreadable(column: str, value: object) -> str:
    """Return the error of a task whose row has a value that its column cannot have."""
    return f"the stored row cannot be read: {column} is {abbreviated(value)}"


class RowTypes:
    """The values that the columns of a SELECT may have, by the schema."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._names = list(columns)
        kinds = [_TYPES[_COLUMNS[name].split()[1].rstrip(",")] for name in self._names]
        needed = ["NOT NULL" in _COLUMNS[name] for name in self._names]
        pairs = list(zip(kinds, needed, strict=True))
        self._allowed = [frozenset(k if n else (*k, NoneType)) for k, n in pairs]
        self._defaults: list[Any] = [k[0]() if n else None for k, n in pairs]
        # most rows have one of a few combinations of types: the cache takes a third of the time
        self._mismatches = lru_cache(self._find_mismatches)
        self._reals = lru_cache(self._find_reals)

    def _find_mismatches(self, types: tuple[type, ...]) -> tuple[int, ...]:
        """Return the indexes of values whose type their column may not have."""
        pairs = zip(types, self._allowed, strict=True)
        return tuple(index for index, (kind, allowed) in enumerate(pairs) if kind not in allowed)

    def _find_reals(self, types: tuple[type, ...]) -> Callable[[Row], tuple[float, ...]]:
        """Return what picks the values that are moments, or numbers of seconds."""
        found = [index for index, kind in enumerate(types) if kind is float]
        return itemgetter(*found) if len(found) > 1 else lambda _: ()

    def coerced(self, row: Row) -> Row:
        """Return a row with each mismatch decoded as text, or replaced by its column's default."""
        mismatches = self._mismatches(tuple(map(type, row)))
        return self._replaced(row, mismatches) if mismatches else row

    def shown(self, row: Row) -> Row:
        """Return a coerced row in which every number of seconds is one that can be shown."""
        row = self.coerced(row)
        endless = self._endless(row, tuple(map(type, row)))
        return self._replaced(row, endless) if endless else row

    def _replaced(self, row: Row, indexes: Iterable[int]) -> Row:
        values = list(row)
        for index in indexes:
            values[index] = _coerced(values[index], self._defaults[index])
        return tuple(values)

    def _endless(self, row: Row, types: tuple[type, ...]) -> Sequence[int]:
        """Return the indexes of numbers of seconds that are infinite, or beyond all dates."""
        # one comparison for the usual row: an endless number makes an endless sum
        if -LAST_MOMENT <= sum(self._reals(types)(row)) <= LAST_MOMENT:
            return ()
        return [
            index
            for index, value in enumerate(row)
            if type(value) is float and not -LAST_MOMENT <= value <= LAST_MOMENT
        ]

    def check(self, row: Row) -> None:
        """Raise `Unreadable` for a row with a mismatch, or with a number of endless seconds."""
        types = tuple(map(type, row))
        for index in self._mismatches(types) or self._endless(row, types):
            raise Unreadable(f"{self._names[index]} is {abbreviated(row[index])}")


def _coerced(value: object, default: object) -> object:
    if isinstance(value, bytes) and isinstance(default, str):
        return value.decode(errors="replace")
    return default


def text(value: object) -> str:
    """Return a value that is text; bytes as text, and nothing for any other."""
    return value if isinstance(value, str) else str(_coerced(value, ""))


def whole(value: object, default: int | None = None) -> int | None:
    """Return a value that is a number of something, the default for any other."""
    return value if type(value) is int and 0 <= value <= MAX_WHOLE else default


def seconds(value: object, default: float = 0.0) -> float:
    """Return a value that is a moment or a number of seconds, the default for any other."""
    if type(value) in {int, float} and -LAST_MOMENT <= value <= LAST_MOMENT:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    return default
