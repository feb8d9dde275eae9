"""The tables: made at the first connection, refused when they are not ours or not of our time."""

from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.errors import BrokerUnusable

APPLICATION_ID: Final = 0x71636F72
"""The letters "qcor": what `file` and SQLite know a file of ours by."""
VERSION: Final = 3
"""Of the tables. Those of 1 and 2, which have no unique keys or no details, were never released."""

_SCHEMA: Final = statements("schema")
_TABLES: Final = [sql for sql in _SCHEMA.values() if sql.startswith("CREATE")]


def prepare(tx: Tx) -> None:
    """Make the tables unless they are there.

    Raise `BrokerUnusable`, with nothing written, if the database is not for us. In a file of our
    own, also turn on the write-ahead log: readers and a writer do not wait for each other, and a
    commit is one write.
    """
    if not tx.own:
        if not _is_made(tx):
            _make(tx)
        return
    # somebody else may be making the same tables at this moment: seen in one piece or not at all.
    # Whatever goes wrong, the connection is closed, which undoes the transaction
    tx.execute("BEGIN")
    made = _is_made(tx)
    tx.execute("COMMIT")
    if made:
        return
    # an empty file
    tx.execute("PRAGMA journal_mode = WAL")
    tx.execute("BEGIN IMMEDIATE")
    if not _is_made(tx):
        _make(tx)
        tx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        tx.execute(f"PRAGMA user_version = {VERSION}")
    tx.execute("COMMIT")


def _make(tx: Tx) -> None:
    for table in _TABLES:
        tx.execute(table)
    tx.execute(_SCHEMA["mark"], (VERSION,))


def _is_made(tx: Tx) -> bool:
    """Return whether the tables are there; raise if the database is not for us."""
    application = tx.execute("PRAGMA application_id")[0][0]
    if application == APPLICATION_ID:
        _check(tx.execute("PRAGMA user_version")[0][0])
    made = bool(tx.execute(_SCHEMA["is_made"]))
    if made:
        _check(tx.execute(_SCHEMA["version"])[0][0])
    elif tx.own:
        _check_empty(tx, application)
    return made


def _check(version: int) -> None:
    if version > VERSION:
        raise BrokerUnusable(
            f"the database has schema version {version}, and this qcore knows {VERSION}: "
            "install the qcore that made it, or a newer one"
        )
    if version < VERSION:
        raise BrokerUnusable(
            f"the database has schema version {version}, of a qcore before its first release, and "
            f"this qcore knows {VERSION}: let the one that made it finish its tasks, then remove "
            "the file, or the tables qcore_* if it has others"
        )


def _check_empty(tx: Tx, application: int) -> None:
    """Refuse a database in which somebody else keeps something."""
    tables = [name for (name,) in tx.execute(_SCHEMA["others"])]
    if application or tables:
        raise BrokerUnusable(
            f"the database is somebody else's (application id {application:#x}, "
            f"{', '.join(tables) or 'no tables'}): give qcore a file of its own, or make its "
            "tables there on purpose, with a broker over BorrowedSqliteLink"
        )
