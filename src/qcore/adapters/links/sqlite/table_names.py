"""`table_names`: what is in a database, without a connection that could write to it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from qcore.adapters.links.sqlite.errors import mapped


def table_names(path: str) -> Sequence[str]:
    """Return the names of a file's tables; raise as a link does where it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            return [str(name) for (name,) in rows]
    except sqlite3.Error as error:
        raise mapped(error, path) from error
