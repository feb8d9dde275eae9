"""Arrays as the text that Postgres reads as such, for the statements that `unnest` them.

psycopg adapts lists in Python, element by element: a hundred payloads take it 0.6 ms, and these 0.1
(psycopg 3.3.9). Each has its type in the statement: `%(ids)s::text[]`.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final

_PLACE: Final = Struct(">IH")


def numbers(values: Iterable[float | None]) -> str:
    """Return an array of ints or of floats, of which `repr` is the shortest that comes back."""
    return f"{{{','.join(['NULL' if each is None else repr(each) for each in values])}}}"


def texts(values: Iterable[str | None]) -> str:
    """Return an array of texts."""
    return f"{{{','.join(['NULL' if each is None else _quoted(each) for each in values])}}}"


def blobs(values: Iterable[bytes | None]) -> str:
    """Return an array of bytes."""
    parts = ["NULL" if each is None else f'"\\\\x{each.hex()}"' for each in values]
    return f"{{{','.join(parts)}}}"


def flags(values: Iterable[bool]) -> str:
    """Return an array of booleans."""
    return f"{{{','.join(['t' if each else 'f' for each in values])}}}"


def row_places(values: Iterable[bytes]) -> str:
    """Return an array of what `ctid` is: the number of a block, and of the row within it."""
    places = [f'"({block},{number})"' for block, number in map(_PLACE.unpack, values)]
    return f"{{{','.join(places)}}}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
