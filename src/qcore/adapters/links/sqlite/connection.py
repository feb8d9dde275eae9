"""`ManagedConnection`: opened at its first use, shared by threads, closed before a fork.

Theory of operation. Work items arrive in groups. First each runs what takes no lock: reads, and
prechecks that find nothing to do. What is left runs in one `BEGIN IMMEDIATE … COMMIT`, each item in
a savepoint, so that one that fails undoes itself alone. If SQLite rolls the whole transaction back,
as it may on a full disk, each item is run again in a transaction of its own, and only those that
fail there report an error.

Waiting for another process's lock is done here, by polling, as SQLite's own busy handler sleeps up
to 0.1 s between tries and so lets an unlucky process starve.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import RLock
from time import monotonic, sleep
from typing import Any, Final
from weakref import finalize

from qcore.adapters.links.sqlite import fork_safety
from qcore.adapters.links.sqlite.errors import is_transient, is_undecodable, mapped
from qcore.adapters.links.sqlite.file_identity import FileIdentity, identity_of, warn_replaced
from qcore.adapters.links.sqlite.interfaces import Prepare, Row, Values
from qcore.adapters.links.sqlite.work_item import WorkItem
from qcore.domain.errors import BrokerUnusable, InvalidOption

LOCK_POLL: Final = 0.0005
"""Seconds between two tries to take a lock."""
MEMORY: Final = ":memory:"
TIMEOUT: Final = 5.0
MAX_TIMEOUT: Final = 3_600.0
SYNCHRONOUS: Final = ("full", "normal")
STATEMENTS: Final = 256
CHECKPOINT_PAGES: Final = 4_000
"""Write-ahead log of 16 MB: a page that changes often is copied to the file less often than with
SQLite's default of 1,000 pages.
"""


class Transaction:
    """`Tx` over a connection: runs statements, and waits while another connection has the lock."""

    owns_file = True

    def __init__(self, connection: sqlite3.Connection, lock_timeout: float) -> None:
        self._connection = connection
        self._lock_timeout = lock_timeout

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run a statement and return all its rows.

        Text that is not UTF-8, which only a hand can have written there, is returned as its bytes.
        """
        try:
            return self._fetch(sql, values)
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
            sleep(LOCK_POLL)
            try:
                return self._fetch(sql, values)
            except sqlite3.OperationalError as error:
                if not is_transient(error) or monotonic() >= deadline:
                    raise

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        """Run a statement without rows, once for each of `values`."""
        self._connection.executemany(sql, values)


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class ManagedConnection:
    """A connection that is opened at its first use, and again after it was closed."""

    def __init__(self, path: str, timeout: float = TIMEOUT, synchronous: str = "full") -> None:
        if synchronous not in SYNCHRONOUS:
            raise InvalidOption(f"synchronous is {synchronous!r}: expected full or normal")
        if not 0 <= timeout <= MAX_TIMEOUT:
            raise InvalidOption(f"timeout is {timeout!r}: expected 0 to {MAX_TIMEOUT} seconds")
        self.path = path
        self.is_persistent = path != MEMORY
        self.lock = RLock()
        self._lock_timeout = timeout
        self._synchronous = synchronous
        self._prepare: Prepare | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: FileIdentity | None = None
        fork_safety.guard(self)

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` on each connection that is made from now on."""
        self._prepare = prepare

    def clone(self) -> "ManagedConnection":
        """Return another one to the same file; itself for a database in memory, which has one."""
        if not self.is_persistent:
            return self
        return ManagedConnection(self.path, self._lock_timeout, self._synchronous)

    def run(self, items: Sequence[WorkItem[Any]]) -> None:
        """Run items, which then have their answer or error; those that write share a commit."""
        with self.lock:
            self.close_if_replaced()
            try:
                connection = self._connect()
            except sqlite3.Error as error:
                _fail(items, mapped(error, self.path))
                return
            except BrokerUnusable as error:
                _fail(items, BrokerUnusable(f"cannot use {self.path}: {error}"))
                return
            tx = Transaction(connection, self._lock_timeout)
            writers = [item for item in items if not item.run_without_lock(tx)]
            if writers:
                self._write(writers, connection, tx)
            self._map_errors(items)

    def data_version(self) -> int:
        """Return a number that changes when another connection has written to the file.

        Comparable only with earlier numbers of the same connection. Raises `sqlite3.Error`.
        """
        with self.lock:
            connection = self._connection or self._connect()
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def close_if_replaced(self) -> None:
        """Disconnect if the file was deleted or replaced; to check costs 2 µs.

        Nobody else would see what is written to the deleted file, and until it is closed its disk
        space is not freed.
        """
        with self.lock:
            before = self._file
            if not self.is_persistent or self._connection is None or before is None:
                return
            if identity_of(self.path) != before:
                self.close()
                warn_replaced(self.path, before)

    def close(self) -> None:
        """Disconnect; the next item connects again. One in memory stays: to close it deletes it."""
        with self.lock:
            if self.is_persistent and self._connection is not None:
                self._connection = None
                with suppress(sqlite3.Error):
                    self._disconnect()

    def reset_in_child(self) -> None:
        """Do nothing: the connection was closed before the fork."""

    def _connect(self) -> sqlite3.Connection:
        """Return the connection, opened and prepared if there is none."""
        if self._connection is not None:
            return self._connection
        # before connecting: if the file is replaced in between, we connect once more than needed
        before = identity_of(self.path)
        connection = sqlite3.connect(
            self.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        tx = Transaction(connection, self._lock_timeout)
        try:
            tx.execute(f"PRAGMA synchronous = {self._synchronous}")
            tx.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            if self._prepare is not None:
                self._prepare(tx)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._file = before or identity_of(self.path)
        self._disconnect = finalize(self, connection.close)
        # at exit, an awaiting link's thread may still be using it
        self._disconnect.atexit = False
        return connection

    def _write(
        self, items: Sequence[WorkItem[Any]], connection: sqlite3.Connection, tx: Transaction
    ) -> None:
        """Run items in one transaction, or each in its own if that one was rolled back."""
        try:
            is_committed = _commit(items, connection, tx)
        except sqlite3.Error as error:
            _fail(items, error)
            return
        if not is_committed and len(items) > 1:
            for item in items:
                self._write([item.reset()], connection, tx)

    def _map_errors(self, items: Sequence[WorkItem[Any]]) -> None:
        """Map SQLite's errors, and disconnect after one that is permanent."""
        for item in items:
            if isinstance(item.error, sqlite3.Error):
                item.error = mapped(item.error, self.path)
        if any(isinstance(item.error, BrokerUnusable) for item in items):
            # a new connection may work once somebody has acted, without a restart of the process
            self.close()


def _fail(items: Sequence[WorkItem[Any]], error: Exception) -> None:
    for item in items:
        item.error = error


def _commit(
    items: Sequence[WorkItem[Any]], connection: sqlite3.Connection, tx: Transaction
) -> bool:
    """Run items in one transaction; return False if it was rolled back with one of them."""
    tx.execute("BEGIN IMMEDIATE")
    try:
        for item in items:
            _run_in_savepoint(item, tx) if len(items) > 1 else _run_alone(item, tx)
            if not connection.in_transaction:
                # some errors roll back the whole transaction (sqlite.org/lang_transaction.html)
                return False
        tx.execute("COMMIT")
        return True
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run_alone(item: WorkItem[Any], tx: Transaction) -> None:
    """Run the only item of a transaction: if it fails, that is rolled back."""
    item.run(tx)
    if item.error is not None:
        with suppress(sqlite3.Error):
            tx.execute("ROLLBACK")


def _run_in_savepoint(item: WorkItem[Any], tx: Transaction) -> None:
    """Run one item of several: if it fails, only its own statements are rolled back."""
    tx.execute("SAVEPOINT item")
    item.run(tx)
    with suppress(sqlite3.Error):
        if item.error is not None:
            tx.execute("ROLLBACK TO item")
        tx.execute("RELEASE item")
