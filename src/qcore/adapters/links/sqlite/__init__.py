"""The links to SQLite: one that awaits, one that blocks, and one over a caller's own connection."""

from sqlite3 import Connection

from qcore.adapters.links.sqlite.awaiting import AsyncSqliteLink
from qcore.adapters.links.sqlite.blocking import BlockingSqliteLink
from qcore.adapters.links.sqlite.borrowed import BorrowedSqliteLink
from qcore.adapters.links.sqlite.shapes import Act, Link, Prepare, Row, Tx, Values

__all__ = [
    "Act",
    "AsyncSqliteLink",
    "BlockingSqliteLink",
    "BorrowedSqliteLink",
    "Connection",
    "Link",
    "Prepare",
    "Row",
    "Tx",
    "Values",
]
