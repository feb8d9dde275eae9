"""`BorrowedSession` and `AsyncBorrowedSession`: a caller's connection, of either colour.

By cursors of psycopg's, which begin the transaction that the connection's owner expects, prepare
statements if the owner has set that, and wait for a thread that uses the connection as well.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, Error, OperationalError
from psycopg.pq import Format
from psycopg.rows import tuple_row

from qcore.adapters.links.postgres.interfaces import Row, Statement, Values
from qcore.adapters.links.postgres.sessions import is_quiet, literal


def _first(error: OperationalError) -> Error:
    """Return what went wrong in a pipeline: to leave it may fail as well, and hide that."""
    return error.__context__ if isinstance(error.__context__, Error) else error


class BorrowedSession:
    """A connection that blocks: its `async def` methods never suspend."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection
        self._cursor = self._new_cursor()

    def _new_cursor(self) -> Cursor[Row]:
        # not what the connection makes: its owner may have set another class, as Django does
        cursor = Cursor(self.connection, row_factory=tuple_row)
        cursor.format = Format.BINARY
        return cursor

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        return is_quiet(self.connection)

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        cursor = self._cursor
        cursor.execute(literal(sql), values)
        return cursor.fetchall() if cursor.description else []

    async def pipeline(self, statements: Sequence[Statement]) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last."""
        cursor = self._cursor
        try:
            with self.connection.pipeline():
                for sql, values in statements:
                    cursor = self._new_cursor()
                    cursor.execute(literal(sql), values or None)
        except OperationalError as error:
            raise _first(error) from None
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()


class AsyncBorrowedSession:
    """A connection that awaits; see `BorrowedSession`."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self._cursor = self._new_cursor()

    def _new_cursor(self) -> AsyncCursor[Row]:
        cursor = AsyncCursor(self.connection, row_factory=tuple_row)
        cursor.format = Format.BINARY
        return cursor

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        return is_quiet(self.connection)

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        cursor = self._cursor
        await cursor.execute(literal(sql), values)
        return await cursor.fetchall() if cursor.description else []

    async def pipeline(self, statements: Sequence[Statement]) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last."""
        cursor = self._cursor
        try:
            async with self.connection.pipeline():
                for sql, values in statements:
                    cursor = self._new_cursor()
                    await cursor.execute(literal(sql), values or None)
        except OperationalError as error:
            raise _first(error) from None
        return await cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Disconnect, also from a loop that has ended: nothing is waited for."""
        self.connection.pgconn.finish()
