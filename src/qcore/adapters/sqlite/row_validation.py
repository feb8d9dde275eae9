"""Type checks of rows: SQLite stores a value of any type in any column (sqlite.org/datatype3.html).

So a row that was edited by hand may hold text where a number belongs. A claim refuses such a row,
and an inspector is shown it with defaults in place of what does not fit.
"""

from collections.abc import Iterable
from functools import lru_cache
from types import NoneType
from typing import Any, Final

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.statements import statements
from qcore.domain.new_task import FIELDS

MAX_SHOWN: Final = 60
"""Characters of an unreadable value that an error message shows."""

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


class Unreadable(ValueError):
    """A row cannot be decoded as a task; the message says why."""


class RowTypes:
    """The types that the columns of a SELECT may have, by the schema."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._names = list(columns)
        kinds = [_TYPES[_COLUMNS[name].split()[1].rstrip(",")] for name in self._names]
        needed = ["NOT NULL" in _COLUMNS[name] for name in self._names]
        pairs = list(zip(kinds, needed, strict=True))
        self._allowed = [frozenset(k if n else (*k, NoneType)) for k, n in pairs]
        self._defaults: list[Any] = [k[0]() if n else None for k, n in pairs]
        # most rows have one of a few combinations of types: the cache takes a third of the time
        self._mismatches = lru_cache(self._find_mismatches)

    def mismatches(self, row: Row) -> tuple[int, ...]:
        """Return the indexes of values whose type their column may not have."""
        return self._mismatches(tuple(map(type, row)))

    def _find_mismatches(self, types: tuple[type, ...]) -> tuple[int, ...]:
        pairs = zip(types, self._allowed, strict=True)
        return tuple(index for index, (kind, allowed) in enumerate(pairs) if kind not in allowed)

    def coerced(self, row: Row) -> Row:
        """Return a row with each mismatch decoded as text, or replaced by its column's default."""
        mismatches = self.mismatches(row)
        if not mismatches:
            return row
        values = list(row)
        for index in mismatches:
            values[index] = _coerced(values[index], self._defaults[index])
        return tuple(values)

    def check(self, row: Row) -> None:
        """Raise `Unreadable` for a row with a mismatch."""
        for index in self.mismatches(row):
            raise Unreadable(f"{self._names[index]} is {abbreviated(row[index])}")


def _coerced(value: object, default: object) -> object:
    if isinstance(value, bytes) and isinstance(default, str):
        return value.decode(errors="replace")
    return default


def abbreviated(value: object) -> str:
    """Return the repr of a value, cut off after `MAX_SHOWN` characters."""
    if isinstance(value, str | bytes) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]!r}…"
    return repr(value)
