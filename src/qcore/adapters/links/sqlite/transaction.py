"""`Transaction`: statements on a connection, and the waiting for another process's lock.

Waiting is done here, as SQLite's own busy handler sleeps up to 0.1 s between tries and so lets an
unlucky process starve.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, sleep
from typing import Final

from qcore.adapters.links.sqlite.errors import is_transient, is_undecodable
from qcore.adapters.links.sqlite.interfaces import Row, Values

LOCK_POLL: Final = 0.0005
"""Seconds between two tries to take a lock of whose release nobody tells."""
LEAST, GREATEST = -(1 << 63), (1 << 63) - 1
"""The integers that SQLite stores."""


def poll(_seconds: float) -> None:
    """Wait for the time after which a lock is worth another try."""
    sleep(LOCK_POLL)


class Transaction:
    """`Tx` over a connection: runs statements, and waits while another connection has the lock.

    `wait` waits until the lock may be free, for the seconds that it is given at most.
    """

    owns_file = True

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock_timeout: float,
        wait: Callable[[float], None] = poll,
    ) -> None:
        self._connection = connection
        self._lock_timeout = lock_timeout
        self._wait = wait

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run a statement and return all its rows.

        Text that is not UTF-8, which only a hand can have written there, is returned as its bytes.
        """
        try:
            return self._fetch(sql, values)
        except OverflowError:
            return self._fetch(sql, _bounded(values))
        except sqlite3.OperationalError as error:
            if is_undecodable(error):
                return self._fetch_undecoded(sql, values)
            if not is_transient(error):
                raise
        return self._execute_when_unlocked(sql, values)

    def _fetch(self, sql: str, values: Values) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def _fetch_undecoded(self, sql: str, values: Values) -> list[Row]:
        self._connection.text_factory = _text_or_bytes
        try:
            return self._fetch(sql, values)
        finally:
            self._connection.text_factory = str

    def _execute_when_unlocked(self, sql: str, values: Values) -> list[Row]:
        deadline = monotonic() + self._lock_timeout
        while True:
            self._wait(max(0.0, deadline - monotonic()))
            try:
                return self._fetch(sql, values)
            except sqlite3.OperationalError as error:
                if not is_transient(error) or monotonic() >= deadline:
                    raise

    def executemany(self, sql: str, values: Sequence[Values]) -> None:
        """Run a statement without rows, once for each of `values`."""
        try:
            self._connection.executemany(sql, values)
        except OverflowError:
            # those before it are run twice: what counts from a stored number names rows by key
            self._connection.executemany(sql, [_bounded(each) for each in values])


def _bounded(values: Values) -> Values:
    """Return values with each integer beyond 64 bits as the one nearest to it that can be stored.

    One more than the greatest is all that is ever made of a number that somebody has edited.
    """
    if isinstance(values, Mapping):
        return {name: _storable(value) for name, value in values.items()}
    return [_storable(value) for value in values]


def _storable(value: object) -> object:
    return min(max(value, LEAST), GREATEST) if isinstance(value, int) else value


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
