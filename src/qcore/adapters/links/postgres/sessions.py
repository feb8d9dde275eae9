"""`AsyncSession` and `SyncSession`: a connection each, of either colour, with the same methods.

A server that is frozen answers nothing, and neither libpq nor `statement_timeout` notices. So both
connections bound how long they wait: `wait` is where psycopg waits for a socket, whatever for.
"""

import logging
import select
from collections.abc import Generator, Mapping, Sequence
from time import monotonic
from typing import Any, Final, LiteralString, Self, TypeVar

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, Error, OperationalError
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import tuple_row

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


class _OfOthers(logging.Filter):
    """Passes over what psycopg says of a pipeline of ours that broke: its error is raised."""

    def filter(self, record: logging.LogRecord) -> bool:
        pipeline = record.args[0] if isinstance(record.args, tuple) and record.args else None
        connection = getattr(pipeline, "_conn", None)
        return not isinstance(connection, BoundedConnection | _BoundedAsyncConnection)


logging.getLogger("psycopg").addFilter(_OfOthers())


def _first(error: OperationalError) -> Error:
    """Return what went wrong in a pipeline: to leave it may fail as well, and hide that."""
    return error.__context__ if isinstance(error.__context__, Error) else error


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
    """A connection that blocks: its `async def` methods never suspend.

    `prepares` says whether statements with values are prepared at once; None leaves that to the
    connection, as its owner has set it: behind a pooler they are not to be.
    """

    def __init__(self, connection: Connection[Any], *, prepares: bool | None = None) -> None:
        self.connection = connection
        self._prepares = prepares
        self._cursor = self._new_cursor()

    def _new_cursor(self) -> Cursor[Row]:
        # not what the connection makes: its owner may have set another class, as Django does
        cursor = Cursor(self.connection, row_factory=tuple_row)
        cursor.format = Format.BINARY
        return cursor

    @classmethod
    async def connect(
        cls, conninfo: Mapping[str, Any], patience: float, prepare: int | None
    ) -> Self:
        """Connect in autocommit."""
        connection = BoundedConnection.connect(
            **conninfo, autocommit=True, prepare_threshold=prepare
        )
        connection.patience = patience + MARGIN
        return cls(connection, prepares=True)

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        return is_quiet(self.connection)

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        cursor = self._cursor
        cursor.execute(literal(sql), values, prepare=values is not None and self._prepares)
        return cursor.fetchall() if cursor.description else []

    async def pipeline(self, statements: Sequence[Statement]) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last."""
        cursor = self._cursor
        try:
            with self.connection.pipeline():
                for sql, values in statements:
                    cursor, prepares = self._new_cursor(), bool(values) and self._prepares
                    cursor.execute(literal(sql), values or None, prepare=prepares)
        except OperationalError as error:
            raise _first(error) from None
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()


class AsyncSession:
    """A connection that awaits; see `SyncSession`."""

    def __init__(self, connection: AsyncConnection[Any], *, prepares: bool | None = None) -> None:
        self.connection = connection
        self._prepares = prepares
        self._cursor = self._new_cursor()

    def _new_cursor(self) -> AsyncCursor[Row]:
        cursor = AsyncCursor(self.connection, row_factory=tuple_row)
        cursor.format = Format.BINARY
        return cursor

    @classmethod
    async def connect(
        cls, conninfo: Mapping[str, Any], patience: float, prepare: int | None
    ) -> Self:
        """Connect in autocommit."""
        connection = await _BoundedAsyncConnection.connect(
            **conninfo, autocommit=True, prepare_threshold=prepare
        )
        connection.patience = patience + MARGIN
        return cls(connection, prepares=True)

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        return is_quiet(self.connection)

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        cursor = self._cursor
        await cursor.execute(literal(sql), values, prepare=values is not None and self._prepares)
        return await cursor.fetchall() if cursor.description else []

    async def pipeline(self, statements: Sequence[Statement]) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last."""
        cursor = self._cursor
        try:
            async with self.connection.pipeline():
                for sql, values in statements:
                    cursor, prepares = self._new_cursor(), bool(values) and self._prepares
                    await cursor.execute(literal(sql), values or None, prepare=prepares)
        except OperationalError as error:
            raise _first(error) from None
        return await cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Disconnect, also from a loop that has ended: nothing is waited for."""
        self.connection.pgconn.finish()
