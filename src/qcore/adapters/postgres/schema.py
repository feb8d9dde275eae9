"""Creating the schema and its tables, and bringing those up to date that exist."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from zlib import crc32

from qcore.adapters.links.postgres import Prepare, Tx
from qcore.adapters.postgres.statements import statements
from qcore.domain.errors import BrokerUnusable
from qcore.domain.record import record

ADDED: Final[Mapping[int, Sequence[str]]] = {
    2: ["primary_key_room"],
    3: ["token_bound", "unlogged_token"],
}
"""What each version has added to the one before it, by the names of the statements that make it."""
VERSION: Final = 3
OLDEST: Final = 1
"""The oldest version that is brought up to date."""

_SCHEMA: Final = statements("schema")
INDEXES: Final = frozenset(
    {
        f"{table}_pkey"
        for table in ("tasks", "details", "limits", "workers", "entries", "statistics")
    }
    | {found for sql in _SCHEMA.values() for found in re.findall(r"INDEX (\w+) ON", sql)}
)
"""The names of the indexes that there should be."""
_MADE: Final = [sql for sql in _SCHEMA.values() if sql.startswith("CREATE")]


def preparing(schema: str) -> Prepare:
    """Return what prepares a schema of this name."""
    return partial(prepare, schema=schema)


def lock_key(schema: str) -> int:
    """Return the number of the advisory lock under which a schema is made or changed."""
    return crc32(f"qcore schema {schema}".encode())


async def prepare(tx: Tx, schema: str) -> bool:
    """Create the schema and the tables unless they exist, and add what an older qcore did not have.

    Return whether all was as it should be.

    Raises `BrokerUnusable`, with nothing written, for another version, an encoding that is not
    UTF-8, and a user who may not read the tables, or may not make or change them where that is due.
    """
    found = await _find(tx, schema)
    if found.encoding != "UTF8":
        raise BrokerUnusable(
            f"the database has the encoding {found.encoding}, which cannot store every text: "
            "expected one that was created with ENCODING 'UTF8'"
        )
    if found.table_owner is not None:
        if not found.may_read:
            raise BrokerUnusable(
                f"{found.user} may not read the tables in the schema {schema}: have their owner, "
                f"{found.table_owner}, run {'; '.join(grants(schema, found.user))}"
            )
        if await _version(tx) == VERSION:
            return True
    # another process may be making the same tables at this moment
    await tx.fetch(_SCHEMA["lock"], {"key": lock_key(schema)})
    found = await _find(tx, schema)
    if found.table_owner is not None:
        await _upgrade(tx, found, schema)
        return False
    if found.schema_owner is None:
        if not found.may_make_schema:
            raise BrokerUnusable(
                f"there is no schema {schema}, and {found.user} may not make one: have somebody "
                f"who may run CREATE SCHEMA {schema} AUTHORIZATION {found.user}"
            )
        # only then: with the schema there, the user needs no privilege to make one
        tx.add(f"CREATE SCHEMA {schema}", {})
    elif not found.may_make_tables:
        raise BrokerUnusable(
            f"the schema {schema} has no tables, and {found.user} may not make them: connect once "
            f"as its owner, {found.schema_owner}, as by `qcore queues`"
        )
    for sql in (*_MADE, _SCHEMA["unlogged_token"]):
        tx.add(sql, {})
    tx.add(_SCHEMA["set_version"], {"version": VERSION})
    return False


def grants(schema: str, user: str) -> Sequence[str]:
    """Return the statements by which the owner of the tables lets another user use them.

    `user` is quoted as SQL has it.
    """
    return (
        f"GRANT USAGE ON SCHEMA {schema} TO {user}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}",
        f"GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {schema} TO {user}",
    )


@record
class _Found:
    """What there is of a schema, and what the user may do with it. Names are quoted as in SQL."""

    encoding: str
    user: str
    schema_owner: str | None
    table_owner: str | None
    may_make_schema: bool
    may_make_tables: bool
    may_read: bool
    may_change: bool


async def _find(tx: Tx, schema: str) -> _Found:
    (row,) = await tx.alone(_SCHEMA["find"], {"schema": schema})
    return _Found(*row)


async def _upgrade(tx: Tx, found: _Found, schema: str) -> None:
    """Add what the versions after the one that is there have added.

    Workers of the older qcore that are connected go on: they do not know of the new tables.
    """
    version = await _version(tx)
    if version == VERSION:
        return
    if not found.may_change:
        raise BrokerUnusable(
            f"the tables in the schema {schema} have version {version}, and this qcore needs "
            f"{VERSION}: {found.user} may not change them. Connect once as their owner, "
            f"{found.table_owner}, as by `qcore queues`"
        )
    for newer in range(version + 1, VERSION + 1):
        for name in ADDED[newer]:
            tx.add(_SCHEMA[name], {})
    tx.add(_SCHEMA["raise_version"], {"version": VERSION})


async def _version(tx: Tx) -> int:
    """Return the version of the tables; raise `BrokerUnusable` for one that cannot be used."""
    ((version,),) = await tx.alone(_SCHEMA["version"], {})
    if not isinstance(version, int):
        raise BrokerUnusable(
            f"the table meta gives {version!r} as the schema's version: expected the one row "
            f"{VERSION}. Set it, if nobody has changed the other tables"
        )
    if version > VERSION:
        raise BrokerUnusable(
            f"the tables have schema version {version}, and this qcore knows {VERSION}: "
            "install the qcore that made them, or a newer one"
        )
    if version < OLDEST:
        raise BrokerUnusable(
            f"the tables have schema version {version}, and this qcore knows {OLDEST} to {VERSION}"
        )
    return version
