"""Creating the tables at the first connection, and checking the version of those that exist."""

from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.errors import BrokerUnusable

APPLICATION_ID: Final = 0x71636F72
"""The letters "qcor", in the header of a file of ours, by which `file` may tell it."""
VERSION: Final = 3
"""Version of the schema. 1, without unique keys, and 2, without details, were never released."""

_SCHEMA: Final = statements("schema")
_TABLES: Final = [sql for sql in _SCHEMA.values() if sql.startswith("CREATE")]


def prepare(tx: Tx) -> None:
    """Create the tables unless they exist.

    Raises `BrokerUnusable`, with nothing written, if the database has another application's tables
    or another schema version. In a file of our own this also turns on the write-ahead log, with
    which readers and a writer do not wait for each other, and a commit is one write.
    """
    if not tx.owns_file:
        if not _exists(tx):
            _create(tx)
        return
    # one transaction, as another process may be creating the same tables at this moment. After an
    # error the link closes the connection, which rolls it back
    tx.execute("BEGIN")
    exists = _exists(tx)
    tx.execute("COMMIT")
    if exists:
        return
    # WAL cannot be turned on inside a transaction; the file is still empty
    tx.execute("PRAGMA journal_mode = WAL")
    tx.execute("BEGIN IMMEDIATE")
    if not _exists(tx):
        _create(tx)
        tx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        tx.execute(f"PRAGMA user_version = {VERSION}")
    tx.execute("COMMIT")


def _create(tx: Tx) -> None:
    for table in _TABLES:
        tx.execute(table)
    tx.execute(_SCHEMA["set_version"], (VERSION,))


def _exists(tx: Tx) -> bool:
    """Return whether the tables exist; raise `BrokerUnusable` if they cannot be ours."""
    application = tx.execute("PRAGMA application_id")[0][0]
    if application == APPLICATION_ID:
        _check_version(tx.execute("PRAGMA user_version")[0][0])
    exists = bool(tx.execute(_SCHEMA["meta_columns"]))
    if exists:
        _check_version(tx.execute(_SCHEMA["version"])[0][0])
    elif tx.owns_file:
        _check_unused(tx, application)
    return exists


def _check_version(version: int) -> None:
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


def _check_unused(tx: Tx, application: int) -> None:
    """Raise `BrokerUnusable` for a database that another application uses."""
    tables = [name for (name,) in tx.execute(_SCHEMA["other_tables"])]
    if application or tables:
        raise BrokerUnusable(
            f"the database is somebody else's (application id {application:#x}, "
            f"{', '.join(tables) or 'no tables'}): give qcore a file of its own, or make its "
            "tables there on purpose, with a broker over BorrowedSqliteLink"
        )
