"""`AsyncSession` and `SyncSession`: a connection each, of either colour, with the same methods.

A server that is frozen answers nothing, and neither libpq nor `statement_timeout` notices. So both
connections bound how long they wait: `wait` is where psycopg waits for a socket, whatever for.
"""

import select
from collections.abc import Generator, Mapping, Sequence
from time import monotonic
from typing import Any, Final, LiteralString, Self, TypeVar

from psycopg import AsyncConnection, Connection, OperationalError
from psycopg.pq import TransactionStatus

from qcore.adapters.links.postgres.extended_query import ExtendedQuery
from qcore.adapters.links.postgres.interfaces import Row, Statement, Values

T = TypeVar("T")

MARGIN: Final = 1.0
"""Seconds by which the server may be later with its own timeout than it was told."""


def bounded(waiting: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Go through what psycopg waits for, and give up after some seconds."""
    ends = monotonic() + seconds
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            if not ready and monotonic() > ends:
                raise OperationalError(f"the server has not answered for {seconds:g} seconds")
            wanted = waiting.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


class BoundedConnection(Connection[Row]):
    """Waits for the server no longer than `patience` seconds at a time."""

    patience: float = 60.0

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(bounded(gen, self.patience), *args, **kwargs)


class _BoundedAsyncConnection(AsyncConnection[Row]):
    patience: float = 60.0

    async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return await super().wait(bounded(gen, self.patience), *args, **kwargs)


def literal(sql: Any) -> LiteralString:
    """Return a statement as psycopg asks for it: ours come from files, apart from schemas."""
    query: LiteralString = sql
    return query


def is_quiet(connection: "Connection[Any] | AsyncConnection[Any]") -> bool:
    """Return whether an idle connection has said nothing: what a server says last is that it goes.

    So one that was closed while nobody used it is found without a round trip.
    """
    pgconn = connection.pgconn
    if connection.closed or pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


class SyncSession:
    """A connection of our own that blocks: its `async def` methods never suspend."""

    def __init__(self, connection: BoundedConnection) -> None:
        self.connection = connection
        self._query = ExtendedQuery(connection.pgconn)

    @classmethod
    async def connect(cls, conninfo: Mapping[str, Any], patience: float) -> Self:
        """Connect in autocommit."""
        connection = BoundedConnection.connect(**conninfo, autocommit=True)
        connection.patience = patience + MARGIN
        return cls(connection)

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        return is_quiet(self.connection)

    def prepare_nothing(self) -> None:
        """Have no statement prepared: behind a pooler another one would be asked for it."""
        self._query.prepares = False

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        rows: list[Row] = self.connection.wait(self._query.execute(sql, values))
        return rows

    async def pipeline(
        self, statements: Sequence[Statement], behind: Statement | None = None
    ) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last; then `behind`."""
        rows: list[Row] = self.connection.wait(self._query.pipeline(statements, behind))
        return rows

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()


class AsyncSession:
    """A connection of our own that awaits; see `SyncSession`."""

    def __init__(self, connection: _BoundedAsyncConnection) -> None:
        self.connection = connection
        self._query = ExtendedQuery(connection.pgconn)

    @classmethod
    async def connect(cls, conninfo: Mapping[str, Any], patience: float) -> Self:
        """Connect in autocommit."""
        connection = await _BoundedAsyncConnection.connect(**conninfo, autocommit=True)
        connection.patience = patience + MARGIN
        return cls(connection)

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        return is_quiet(self.connection)

    def prepare_nothing(self) -> None:
        """Have no statement prepared: behind a pooler another one would be asked for it."""
        self._query.prepares = False

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        rows: list[Row] = await self.connection.wait(self._query.execute(sql, values))
        return rows

    async def pipeline(
        self, statements: Sequence[Statement], behind: Statement | None = None
    ) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last; then `behind`."""
        rows: list[Row] = await self.connection.wait(self._query.pipeline(statements, behind))
        return rows

    def close(self) -> None:
        """Disconnect, also from a loop that has ended: nothing is waited for."""
        self.connection.pgconn.finish()
