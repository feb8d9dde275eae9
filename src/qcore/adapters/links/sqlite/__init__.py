"""Links to SQLite: an awaiting one, a blocking one, and two over a caller's own connection."""

from sqlite3 import Connection

from qcore.adapters.links.sqlite.async_link import AsyncSqliteLink
from qcore.adapters.links.sqlite.awaited_connection import AwaitedSqliteLink
from qcore.adapters.links.sqlite.blocking_link import BlockingSqliteLink
from qcore.adapters.links.sqlite.borrowed_connection import BorrowedSqliteLink
from qcore.adapters.links.sqlite.file_identity import log_of
from qcore.adapters.links.sqlite.interfaces import Link, Prepare, Row, Tx, TxFunction, Values
from qcore.adapters.links.sqlite.only_name import other_name
from qcore.adapters.links.sqlite.table_names import table_names
from qcore.adapters.links.sqlite.write_signal import why_not_told

__all__ = [
    "AsyncSqliteLink",
    "AwaitedSqliteLink",
    "BlockingSqliteLink",
    "BorrowedSqliteLink",
    "Connection",
    "Link",
    "Prepare",
    "Row",
    "Tx",
    "TxFunction",
    "Values",
    "log_of",
    "other_name",
    "table_names",
    "why_not_told",
]
