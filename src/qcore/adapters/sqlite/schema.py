"""Creating the tables at the first connection, and bringing those up to date that exist."""

from collections.abc import Mapping, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.errors import BrokerUnusable
from qcore.log.logger import get_logger

APPLICATION_ID: Final = 0x71636F72
"""The letters "qcor", in the header of a file of ours, by which `file` may tell it."""
ADDED: Final[Mapping[int, Sequence[str]]] = {
    4: ("workers",),
    5: ("entries", "waking"),
    6: ("statistics",),
    7: ("audit",),
}
"""What each version has added to the one before it, by the names of the statements that make it."""
VERSION: Final = max(ADDED)
"""Version of the schema. 1, without unique keys, and 2, without details, were never released."""
OLDEST: Final = min(ADDED) - 1
"""The oldest version that is brought up to date."""

_SCHEMA: Final = statements("schema")
_TABLES: Final = [sql for sql in _SCHEMA.values() if sql.startswith("CREATE")]


def prepare(tx: Tx, *, beside_others: bool | None = False) -> None:
    """Create the tables unless they exist, and add those that an older qcore did not have.

    In a file of our own this also turns on the write-ahead log, with which readers and a writer do
    not wait for each other, and a commit is one write. Raises `BrokerUnusable`, with nothing
    written, if the database has another schema version, or another application's tables: unless
    `beside_others`, for a file that is an application's too, or will be. Its journal mode is kept
    then, and so is `user_version`, by which an application may number its own schema. With None
    the tables are made beside others as well, and the log says so: it may be the wrong file.
    """
    if not tx.owns_file:
        version = _version(tx)
        if version is None:
            _create(tx)
        else:
            _upgrade(tx, version)
        return
    # one transaction, as another process may be creating the same tables at this moment. After an
    # error the link closes the connection, which rolls it back
    tx.execute("BEGIN")
    version, others = _version(tx), _others(tx)
    tx.execute("COMMIT")
    if version == VERSION:
        return
    if version is None and not others:
        # WAL cannot be turned on inside a transaction; the file is still empty
        tx.execute("PRAGMA journal_mode = WAL")
    elif version is None and beside_others is False:
        raise _taken(others)
    tx.execute("BEGIN IMMEDIATE")
    version = _version(tx)
    if version is None:
        _create_in_file(tx, beside_others=beside_others)
    else:
        _upgrade(tx, version)
    tx.execute("COMMIT")


def _create_in_file(tx: Tx, *, beside_others: bool | None) -> None:
    """Create the tables, and say in the file's header whose it is, unless it has others."""
    others = _others(tx)
    if others and beside_others is False:
        raise _taken(others)
    _create(tx)
    if others:
        if beside_others is None:
            get_logger().warning("tables made in a database that has others", others=others)
        return
    tx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if beside_others is False:
        tx.execute(f"PRAGMA user_version = {VERSION}")


def _create(tx: Tx) -> None:
    for table in _TABLES:
        tx.execute(table)
    tx.execute(_SCHEMA["set_version"], (VERSION,))


def _upgrade(tx: Tx, version: int) -> None:
    """Add what the versions after `version` have added.

    Workers of the older qcore that are connected go on: they do not know of the new tables.
    """
    for newer in range(version + 1, VERSION + 1):
        for name in ADDED[newer]:
            tx.execute(_SCHEMA[name])
    if version < VERSION:
        tx.execute(_SCHEMA["raise_version"], (VERSION,))
        if tx.owns_file and _numbers_file(tx) == version:
            tx.execute(f"PRAGMA user_version = {VERSION}")


def _numbers_file(tx: Tx) -> int:
    """Return the version in the header of a file; 0 where that is not ours to number."""
    # an application whose tables are beside ours may number its own schema there
    if tx.execute("PRAGMA application_id")[0][0] != APPLICATION_ID:
        return 0
    version: int = tx.execute("PRAGMA user_version")[0][0]
    return 0 if version and tx.execute(_SCHEMA["tables_of_others"]) else version


def _version(tx: Tx) -> int | None:
    """Return the version of the tables, None where there are none.

    Raises `BrokerUnusable` for one that cannot be used.
    """
    if (of_file := _numbers_file(tx)) != 0:
        _check_version(of_file)
    if not tx.execute(_SCHEMA["meta_columns"]):
        return None
    return _check_version(tx.execute(_SCHEMA["version"])[0][0])


def _check_version(version: object) -> int:
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
    if version < OLDEST:
        raise BrokerUnusable(
            f"the database has schema version {version}, of a qcore before its first release, and "
            f"this qcore knows {VERSION}: let the one that made it finish its tasks, then remove "
            "the file, or the tables qcore_* if it has others"
        )
    return version


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
