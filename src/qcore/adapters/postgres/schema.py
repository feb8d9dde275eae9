"""Creating the schema and its tables, and bringing those up to date that exist."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from zlib import crc32

from qcore.adapters.links.postgres import Prepare, Tx
from qcore.adapters.postgres.statements import statements
from qcore.domain.errors import BrokerUnusable

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

    Raises `BrokerUnusable`, with nothing written, for another version, or an encoding that is not
    UTF-8.
    """
    found = await tx.alone(_SCHEMA["find"], {"schema": schema})
    ((has_tables, _, encoding),) = found
    if encoding != "UTF8":
        raise BrokerUnusable(
            f"the database has the encoding {encoding}, which cannot store every text: expected "
            "one that was created with ENCODING 'UTF8'"
        )
    if has_tables and await _version(tx) == VERSION:
        return True
    # another process may be making the same tables at this moment
    await tx.fetch(_SCHEMA["lock"], {"key": lock_key(schema)})
    ((has_tables, has_schema, _),) = await tx.fetch(_SCHEMA["find"], {"schema": schema})
    if has_tables:
        await _upgrade(tx)
        return False
    if not has_schema:
        # only then: with the schema there, the user needs no privilege to make one
        tx.add(f"CREATE SCHEMA {schema}", {})
    for sql in (*_MADE, _SCHEMA["unlogged_token"]):
        tx.add(sql, {})
    tx.add(_SCHEMA["set_version"], {"version": VERSION})
    return False


async def _upgrade(tx: Tx) -> None:
    """Add what the versions after the one that is there have added.

    Workers of the older qcore that are connected go on: they do not know of the new tables.
    """
    version = await _version(tx)
    for newer in range(version + 1, VERSION + 1):
        for name in ADDED[newer]:
            tx.add(_SCHEMA[name], {})
    if version < VERSION:
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
