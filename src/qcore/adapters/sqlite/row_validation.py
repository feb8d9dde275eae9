"""Whether a row holds what its columns are for: SQLite lets anybody write anything."""

from collections.abc import Iterable
from functools import lru_cache
from types import NoneType
from typing import Any, Final

from qcore.adapters.links.sqlite import Row
from qcore.adapters.sqlite.statements import statements
from qcore.domain.new_task import FIELDS

SHOWN: Final = 60
"""Characters of an unreadable value that are told."""

_COLUMNS: Final = {
    line.split()[0]: line
    for line in statements("schema")["tasks"].splitlines()
    if line.startswith(" ")
}
COLUMNS: Final = [name for name in _COLUMNS if name not in {"queue", "holds"}]
"""Those that a task is read from, in the order of the table.

The statements name them one by one, as each that is read costs every claim.
"""

COLUMN_OF: Final = {
    name: column
    for name in FIELDS
    if (column := {"due": "not_before", "group": "group_name"}.get(name, name)) in _COLUMNS
}
"""The fields of a task that have a column of their own, and its name."""

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "INTEGER": (int,),
    "REAL": (float, int),
    "TEXT": (str,),
    # an edit in a shell makes text of bytes
    "BLOB": (bytes, str),
}


class Unreadable(ValueError):
    """Say why a row cannot be read as a task."""


class Shape:
    """The types of some columns."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._names = list(columns)
        kinds = [_TYPES[_COLUMNS[name].split()[1].rstrip(",")] for name in self._names]
        needed = ["NOT NULL" in _COLUMNS[name] for name in self._names]
        pairs = list(zip(kinds, needed, strict=True))
        self._allowed = [frozenset(k if n else (*k, NoneType)) for k, n in pairs]
        self._blanks: list[Any] = [k[0]() if n else None for k, n in pairs]
        # rows have few shapes: to look one up takes a third of the time that it takes to check it
        self._misfits = lru_cache(self._misfits_of)

    def misfits(self, row: Row) -> tuple[int, ...]:
        """Return the places of values of a wrong type."""
        return self._misfits(tuple(map(type, row)))

    def _misfits_of(self, types: tuple[type, ...]) -> tuple[int, ...]:
        pairs = zip(types, self._allowed, strict=True)
        return tuple(place for place, (kind, allowed) in enumerate(pairs) if kind not in allowed)

    def fitted(self, row: Row) -> Row:
        """Return a row with what comes closest in place of values of a wrong type."""
        misfits = self.misfits(row)
        if not misfits:
            return row
        values = list(row)
        for place in misfits:
            values[place] = _closest(values[place], self._blanks[place])
        return tuple(values)

    def refuse_misfits(self, row: Row) -> None:
        """Raise `Unreadable` for a row with a value of a wrong type."""
        for place in self.misfits(row):
            raise Unreadable(f"{self._names[place]} is {shown(row[place])}")


def _closest(value: object, blank: object) -> object:
    if isinstance(value, bytes) and isinstance(blank, str):
        return value.decode(errors="replace")
    return blank


def shown(value: object) -> str:
    """Return a value, or its beginning."""
    if isinstance(value, str | bytes) and len(value) > SHOWN:
        return f"{value[:SHOWN]!r}…"
    return repr(value)
