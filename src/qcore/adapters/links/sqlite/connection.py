"""`ManagedConnection`: opened at its first use, shared by threads, closed before a fork.

Theory of operation. Work items arrive in groups. First each runs what takes no lock: reads, and
prechecks that find nothing to do. What is left runs in one `BEGIN IMMEDIATE … COMMIT`, each item in
a savepoint, so that one that fails undoes itself alone. If SQLite rolls the whole transaction back,
as it may on a full disk, each item is run again in a transaction of its own, and only those that
fail there report an error.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from threading import RLock
from time import monotonic
from typing import Any, Final
from weakref import finalize

from qcore.adapters.links.sqlite import exit_hooks, fork_safety
from qcore.adapters.links.sqlite.errors import mapped
from qcore.adapters.links.sqlite.file_identity import OpenFiles, files_at, inode_of, warn_replaced
from qcore.adapters.links.sqlite.interfaces import Merge, Prepare
from qcore.adapters.links.sqlite.lost_log import close_without_checkpoint, fold, leave_lost_log
from qcore.adapters.links.sqlite.only_name import other_name
from qcore.adapters.links.sqlite.transaction import Transaction, poll
from qcore.adapters.links.sqlite.work_item import WorkItem
from qcore.adapters.links.sqlite.write_signal import WriteSignal
from qcore.domain.errors import BrokerUnusable, InvalidOption, StoreMissing

MEMORY: Final = ":memory:"
TIMEOUT: Final = 5.0
MAX_TIMEOUT: Final = 3_600.0
SYNCHRONOUS: Final = ("full", "normal")
STATEMENTS: Final = 256
CHECKPOINT_PAGES: Final = 4_000
"""Write-ahead log of 16 MB: a page that changes often is copied to the file less often than with
SQLite's default of 1,000 pages.
"""
LOG_LIMIT: Final = 32 << 20
"""Bytes to which a longer log is cut once it is folded into the file, as after an open reader had
kept it from that."""
LOG_CHECK_INTERVAL: Final = 0.1
"""Seconds between two checks of one connection whether log and index were removed or replaced."""
EXIT_PATIENCE: Final = 1.0
"""Seconds that the exit of the process waits for the call of another thread."""


class ManagedConnection:
    """A connection that is opened at its first use, and again after it was closed."""

    def __init__(self, path: str, timeout: float = TIMEOUT, synchronous: str = "full") -> None:
        if synchronous not in SYNCHRONOUS:
            raise InvalidOption(f"synchronous is {synchronous!r}: expected full or normal")
        if not 0 <= timeout <= MAX_TIMEOUT:
            raise InvalidOption(f"timeout is {timeout!r}: expected 0 to {MAX_TIMEOUT} seconds")
        self.path = path
        self.is_persistent = path != MEMORY
        self.makes_file = True
        self.lock = RLock()
        self._lock_timeout = timeout
        self._synchronous = synchronous
        self._prepare: Prepare | None = None
        self.merge: Merge | None = None
        self.signal: WriteSignal | None = None
        """By which other processes are told of commits, and tell of theirs; None for one that does
        not write, or in memory."""
        self.connection: sqlite3.Connection | None = None
        self.files: OpenFiles | None = None
        self._next_log_check = 0.0
        fork_safety.guard(self)

    def on_connect(self, prepare: Prepare, merge: Merge | None = None) -> None:
        """Run `prepare` on each connection from now on, and `merge` after a log was lost."""
        self._prepare, self.merge = prepare, merge

    def clone(self) -> "ManagedConnection":
        """Return another one to the same file; itself for a database in memory, which has one."""
        if not self.is_persistent:
            return self
        twin = ManagedConnection(self.path, self._lock_timeout, self._synchronous)
        twin.makes_file, twin.signal = self.makes_file, self.signal
        return twin

    def run(self, items: Sequence[WorkItem[Any]]) -> None:
        """Run items, which then have their answer or error; those that write share a commit."""
        self.leave_moved_files()
        with self.lock:
            try:
                connection = self.connect()
            except sqlite3.Error as error:
                _fail(items, mapped(error, self.path))
                return
            except StoreMissing as error:
                _fail(items, error)
                return
            except BrokerUnusable as error:
                _fail(items, BrokerUnusable(f"cannot use {self.path}: {error}"))
                return
            tx = self._transaction(connection)
            writers = [item for item in items if not item.run_without_lock(tx)]
            if writers:
                self._write(writers, connection, tx)
            self._map_errors(items)

    def data_version(self) -> int:
        """Return a number that changes when another connection has written to the file.

        Comparable only with earlier numbers of the same connection. Raises `sqlite3.Error`.
        """
        with self.lock:
            connection = self.connection or self.connect()
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def leave_moved_files(self) -> None:
        """Disconnect if the file, its log or its index was removed or replaced.

        Nobody else would see what is written to what was removed, and until it is closed its disk
        space is not freed. To check the file costs 2 µs; the log is checked every 0.1 s. The lock
        must not be held.
        """
        files = self.files
        if files is None or files.database is None:
            return
        if inode_of(self.path) != files.database:
            self.disconnect()
            warn_replaced(self.path, files.database)
        elif monotonic() >= self._next_log_check:
            self._next_log_check = monotonic() + LOG_CHECK_INTERVAL
            if self.has_lost_log():
                self._leave_lost_log()

    def has_lost_log(self) -> bool:
        """Return whether its log or index was removed or replaced."""
        return self.files is not None and self.files.has_lost_log()

    def _leave_lost_log(self) -> None:
        """Reconnect all connections that this process has to the file."""
        real = os.path.realpath(self.path)
        own = [each for each in fork_safety.guarded() if isinstance(each, ManagedConnection)]
        leave_lost_log([each for each in own if os.path.realpath(each.path) == real])

    def close(self) -> None:
        """Disconnect, with what is in the log folded into the file; the next item connects again.

        SQLite does that by itself for the last of all connections, unless two processes leave at
        the same moment: each then takes the other for one that stays.
        """
        self.leave_moved_files()
        with self.lock:
            if self.is_persistent and self.connection is not None:
                with suppress(sqlite3.Error):
                    fold(self.connection)
                self.disconnect()

    def disconnect(self) -> None:
        """Disconnect; the next item connects again. One in memory stays: to close it deletes it."""
        with self.lock:
            if self.is_persistent and self.connection is not None:
                self.connection = self.files = None
                # not called as it is: once the process is ending that does nothing, and a child of
                # multiprocessing, which ends by os._exit, would leave the log (Python 3.13)
                detached = self._disconnect.detach()
                if detached is not None:
                    _, disconnect, arguments, _ = detached
                    with suppress(sqlite3.Error):
                        disconnect(*arguments)

    def reset_in_child(self) -> None:
        """Do nothing: the connection was closed before the fork."""

    def connect(self) -> sqlite3.Connection:
        """Return the connection, opened and prepared if there is none."""
        if self.connection is not None:
            return self.connection
        other = other_name(self.path) if self.is_persistent else None
        if other is not None:
            raise BrokerUnusable(f"{other.problem}: {other.remedy}")
        # before connecting: if the file is replaced in between, we connect once more than needed
        before = inode_of(self.path)
        if before is None and not self.makes_file:
            raise StoreMissing(f"{self.path}: there is no such file")
        connection = sqlite3.connect(
            self.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        tx = self._transaction(connection)
        try:
            tx.execute(f"PRAGMA synchronous = {self._synchronous}")
            tx.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            tx.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
            if self._prepare is not None:
                self._prepare(tx)
            # the first read opens log and index
            tx.execute("PRAGMA schema_version")
        except BaseException:
            connection.close()
            raise
        exit_hooks.use_here()
        found = files_at(self.path)
        files = found._replace(database=before or found.database)
        if files.log is not None and files.log_index is None:
            close_without_checkpoint(connection, self.path)
            raise BrokerUnusable(
                "another connection of this process has a log open that somebody has removed: "
                "close it, or start the process anew"
            )
        self.connection, self.files = connection, files if self.is_persistent else None
        self._disconnect = finalize(self, _disconnect, connection, self.path, files)
        # see `_close_all`
        self._disconnect.atexit = False
        return connection

    def _transaction(self, connection: sqlite3.Connection) -> Transaction:
        wait = poll if self.signal is None else self.signal.wait_for_release
        return Transaction(connection, self._lock_timeout, wait)

    def _write(
        self, items: Sequence[WorkItem[Any]], connection: sqlite3.Connection, tx: Transaction
    ) -> None:
        """Run items in one transaction, or each in its own if that one was rolled back."""
        changes = connection.total_changes
        try:
            is_committed = _commit(items, connection, tx)
        except sqlite3.Error as error:
            _fail(items, error)
            return
        finally:
            self._tell(has_written=connection.total_changes != changes)
        if not is_committed and len(items) > 1:
            for item in items:
                self._write([item.reset()], connection, tx)

    def _tell(self, *, has_written: bool) -> None:
        """Tell other processes that a transaction has ended."""
        if self.signal is None:
            return
        if has_written:
            # also where it was rolled back, in vain, which is seldom
            self.signal.tell_of_commit()
        else:
            self.signal.tell_of_release()

    def _map_errors(self, items: Sequence[WorkItem[Any]]) -> None:
        """Map SQLite's errors, and disconnect after one that is permanent."""
        for item in items:
            if isinstance(item.error, sqlite3.Error):
                item.error = mapped(item.error, self.path)
        if any(isinstance(item.error, BrokerUnusable) for item in items):
            # a new connection may work once somebody has acted, without a restart of the process
            self.disconnect()


@exit_hooks.register
def _close_all() -> None:
    """Leave at exit as `close` does, also connections whose owner has not closed them."""
    for each in fork_safety.guarded():
        # at exit, an awaiting link's thread may still be using it
        if isinstance(each, ManagedConnection) and each.lock.acquire(timeout=EXIT_PATIENCE):
            each.lock.release()
            each.close()


def _disconnect(connection: sqlite3.Connection, path: str, files: OpenFiles) -> None:
    """Close a connection; as the last one, it must not remove a log that it does not have open."""
    if files.database == inode_of(path) and files.has_lost_log():
        close_without_checkpoint(connection, path)
    else:
        connection.close()


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
