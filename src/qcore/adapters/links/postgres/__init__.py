"""Links to Postgres: an awaiting one, a blocking one, and one over a caller's own connection."""

from qcore.adapters.links.postgres import arrays
from qcore.adapters.links.postgres.address import Address, parse
from qcore.adapters.links.postgres.borrowed_connection import BorrowedPostgresLink
from qcore.adapters.links.postgres.interfaces import Link, Prepare, Row, Tx, Values
from qcore.adapters.links.postgres.link import BlockingPostgresLink, PostgresLink, link_to

__all__ = [
    "Address",
    "BlockingPostgresLink",
    "BorrowedPostgresLink",
    "Link",
    "PostgresLink",
    "Prepare",
    "Row",
    "Tx",
    "Values",
    "arrays",
    "link_to",
    "parse",
]
