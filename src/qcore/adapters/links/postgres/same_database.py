"""Whether a caller's connection is to the database in which the tasks are.

One that is made with the URL's host, port and name is. Others may be, too, by another name of the
host or through a pooler: then both servers are asked who they are, once for each place.
"""

from typing import Any, Final, Protocol, TypeAlias

from psycopg.pq import ConnStatus, TransactionStatus

from qcore.adapters.links.postgres.interfaces import Link, Row, Tx
from qcore.adapters.links.postgres.server import Server
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption

Place: TypeAlias = tuple[str, str, str]
"""The host, the port and the database's name, as a connection was made with them."""
IDENTITY: Final = "SELECT current_database()::text, pg_postmaster_start_time()::text"
DEFAULT_PORT: Final = "5432"


class Asked(Protocol):
    """A session over a caller's connection."""

    connection: Any

    async def execute(self, sql: str) -> list[Row]:
        """Run a statement."""
        ...


def is_known(session: Asked, server: Server) -> bool:
    """Return whether a connection is known to be to the database of a server, or cannot be asked.

    One that cannot, as its transaction has failed, says so when it is used next.
    """
    pgconn = session.connection.pgconn
    if pgconn.status != ConnStatus.OK or pgconn.transaction_status == TransactionStatus.INERROR:
        return True
    place = _place_of(session)
    return place in server.places or _is_named(place, server)


async def check_database(session: Asked, server: Server, beside: Link) -> None:
    """Raise `InvalidOption` for a connection to another database than that of a server.

    `beside` is a link to it. Where that cannot be asked, the connection is taken for one to the
    same, and it is not asked again: each enqueue would wait for the answer.
    """
    try:
        wanted = await beside.read(_identity)
    except (BrokerUnavailable, BrokerUnusable):
        wanted = None
    host, port, name = place = _place_of(session)
    if wanted is not None and await session.execute(IDENTITY) != wanted:
        raise InvalidOption(
            f"the connection is to the database {name!r} of {host}:{port}, and the tasks of this "
            f"queue are in {server.address.shown}, where nobody would look for this one: expected "
            "a connection to that database, or a queue with the URL of the other"
        )
    server.places.add(place)


def _place_of(session: Asked) -> Place:
    pgconn = session.connection.pgconn
    return _text(pgconn.host), _text(pgconn.port), _text(pgconn.db)


async def _identity(tx: Tx) -> list[Row]:
    return await tx.fetch(IDENTITY, {})


def _is_named(place: Place, server: Server) -> bool:
    host, port, name = place
    said = server.address.conninfo
    return (
        name == said.get("dbname")
        and host in str(said.get("host")).split(",")
        and port in str(said.get("port", DEFAULT_PORT)).split(",")
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
