"""Creating the tables at the first connection, and checking the version of those that exist."""

from typing import Final

import structlog

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.errors import BrokerUnusable

APPLICATION_ID: Final = 0x71636F72
"""The letters "qcor", in the header of a file of ours, by which `file` may tell it."""
VERSION: Final = 3
"""Version of the schema. 1, without unique keys, and 2, without details, were never released."""

_SCHEMA: Final = statements("schema")
_TABLES: Final = [sql for sql in _SCHEMA.values() if sql.startswith("CREATE")]


def prepare(tx: Tx, *, beside_others: bool = False) -> None:
    """Create the tables unless they exist.

    In a file of our own this also turns on the write-ahead log, with which readers and a writer do
    not wait for each other, and a commit is one write. Raises `BrokerUnusable`, with nothing
    written, if the database has another schema version, or another application's tables: unless
    `beside_others`, for a file that is an application's too, or will be. Its journal mode is kept
    then, and so is `user_version`, by which an application may number its own schema.
    """
    if not tx.owns_file:
        if not _exists(tx):
            _create(tx)
        return
    # one transaction, as another process may be creating the same tables at this moment. After an
    # error the link closes the connection, which rolls it back
    tx.execute("BEGIN")
    exists, others = _exists(tx), _others(tx)
    tx.execute("COMMIT")
    if exists:
        return
    if not others:
        # WAL cannot be turned on inside a transaction; the file is still empty
        tx.execute("PRAGMA journal_mode = WAL")
    elif not beside_others:
        raise _taken(others)
    tx.execute("BEGIN IMMEDIATE")
    if not _exists(tx):
        _create_in_file(tx, beside_others=beside_others)
    tx.execute("COMMIT")


def _create_in_file(tx: Tx, *, beside_others: bool) -> None:
    """Create the tables, and say in the file's header whose it is, unless it has others."""
    others = _others(tx)
    if others and not beside_others:
        raise _taken(others)
    _create(tx)
    if others:
        structlog.get_logger("qcore").warning(
            "tables made in a database that has others", others=others
        )
        return
    tx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if not beside_others:
        tx.execute(f"PRAGMA user_version = {VERSION}")


def _create(tx: Tx) -> None:
    for table in _TABLES:
        tx.execute(table)
    tx.execute(_SCHEMA["set_version"], (VERSION,))


def _exists(tx: Tx) -> bool:
    """Return whether the tables exist; raise `BrokerUnusable` if they are of another version."""
    if tx.execute("PRAGMA application_id")[0][0] == APPLICATION_ID:
        version = tx.execute("PRAGMA user_version")[0][0]
        # an application whose tables are beside ours may number its own schema there
        if version not in {0, VERSION} and not tx.execute(_SCHEMA["tables_of_others"]):
            _check_version(version)
    exists = bool(tx.execute(_SCHEMA["meta_columns"]))
    if exists:
        _check_version(tx.execute(_SCHEMA["version"])[0][0])
    return exists


def _check_version(version: object) -> None:
    if type(version) is not int:
        raise BrokerUnusable(
            f"the table qcore_meta gives {version!r} as the schema's version: expected the one row "
            f"{VERSION}. Set it, if nobody has changed the other tables"
        )
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


def _others(tx: Tx) -> str:
    """Return what shows that another application uses the database; nothing if it is unused."""
    application = tx.execute("PRAGMA application_id")[0][0]
    tables = [name for (name,) in tx.execute(_SCHEMA["other_tables"])]
    if application in {0, APPLICATION_ID} and not tables:
        return ""
    return f"application id {application:#x}, {', '.join(tables) or 'no tables'}"


def _taken(others: str) -> BrokerUnusable:
    return BrokerUnusable(
        f"the database is somebody else's ({others}): give qcore a file of its own, or make its "
        "tables there on purpose, with SqliteBroker(link, beside_others=True)"
    )
