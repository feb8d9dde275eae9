"""One connection, whoever uses it: transactions in groups, a thread at a time, safe to fork."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import RLock
from time import monotonic, sleep
from typing import Any, Final
from weakref import finalize

from qcore.adapters.links.sqlite import fork_safety
from qcore.adapters.links.sqlite.errors import is_transient, is_undecodable, mapped
from qcore.adapters.links.sqlite.file_identity import Identity, identity_of, warn_of_loss
from qcore.adapters.links.sqlite.interfaces import Prepare, Row, Values
from qcore.adapters.links.sqlite.work_item import Job
from qcore.domain.errors import BrokerUnusable, InvalidOption

NAP: Final = 0.0005
"""Seconds between two tries at a lock: SQLite's own naps of up to 0.1 s starve who is unlucky."""
MEMORY: Final = ":memory:"
TIMEOUT: Final = 5.0
LONGEST_TIMEOUT: Final = 3_600.0
SYNCHRONOUS: Final = ("full", "normal")
STATEMENTS: Final = 256
CHECKPOINT_PAGES: Final = 4_000
"""A log of 16 MB: hot pages are copied into the file less often than with SQLite's 1,000."""


class Connected:
    """The transaction object: a connection, and the statements run on it."""

    owns_file = True

    def __init__(self, connection: sqlite3.Connection, patience: float) -> None:
        self._connection = connection
        self._patience = patience

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run a statement and return all its rows; wait while another connection is in the way.

        Text that is not UTF-8 is answered as its bytes.
        """
        try:
            return self._fetch(sql, values)
        except sqlite3.OperationalError as error:
            if is_undecodable(error):
                return self._fetch_as_found(sql, values)
            if not is_transient(error):
                raise
        return self._execute_in_time(sql, values)

    def _fetch(self, sql: str, values: Values) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def _fetch_as_found(self, sql: str, values: Values) -> list[Row]:
        self._connection.text_factory = _text_or_bytes
        try:
            return self._fetch(sql, values)
        finally:
            self._connection.text_factory = str

    def _execute_in_time(self, sql: str, values: Values) -> list[Row]:
        deadline = monotonic() + self._patience
        while True:
            sleep(NAP)
            try:
                return self._fetch(sql, values)
            except sqlite3.OperationalError as error:
                if not is_transient(error) or monotonic() >= deadline:
                    raise

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        """Run a statement that answers nothing, once for each of `values`."""
        self._connection.executemany(sql, values)


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class Handle:
    """A connection that is made at its first use."""

    def __init__(self, path: str, timeout: float = TIMEOUT, synchronous: str = "full") -> None:
        if synchronous not in SYNCHRONOUS:
            raise InvalidOption(f"synchronous is {synchronous!r}: expected full or normal")
        if not 0 <= timeout <= LONGEST_TIMEOUT:
            raise InvalidOption(f"timeout is {timeout!r}: expected 0 to {LONGEST_TIMEOUT} seconds")
        self.path = path
        self.lasting = path != MEMORY
        self.lock = RLock()
        self._patience = timeout
        self._synchronous = synchronous
        self._prepare: Prepare | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: Identity | None = None
        fork_safety.guard(self)

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` on each connection that is made from now on."""
        self._prepare = prepare

    def another(self) -> "Handle":
        """Return one on the same database: of one in memory there is no other."""
        return Handle(self.path, self._patience, self._synchronous) if self.lasting else self

    def run(self, jobs: Sequence[Job[Any]]) -> None:
        """Run jobs, and note in each what came of it; those that write share one commit."""
        with self.lock:
            self.let_go_of_lost()
            try:
                connection = self._connect()
            except sqlite3.Error as error:
                _fail(jobs, mapped(error, self.path))
                return
            except BrokerUnusable as error:
                _fail(jobs, BrokerUnusable(f"cannot use {self.path}: {error}"))
                return
            tx = Connected(connection, self._patience)
            writers = [job for job in jobs if not job.answered(tx)]
            if writers:
                self._write(writers, connection, tx)
            self._review(jobs)

    def version(self) -> int:
        """Return a number that changes when another connection has written to the file.

        Numbers of two connections cannot be compared. Raises what SQLite raises.
        """
        with self.lock:
            connection = self._connection or self._connect()
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def let_go_of_lost(self) -> None:
        """Disconnect if the file was deleted or replaced; costs 2 µs.

        What would be written to it nobody else would see, and its space is kept until then.
        """
        with self.lock:
            before = self._file
            if not self.lasting or self._connection is None or before is None:
                return
            if identity_of(self.path) != before:
                self.close()
                warn_of_loss(self.path, before)

    def close(self) -> None:
        """Disconnect; the next job connects again. What is in memory stays."""
        with self.lock:
            if self.lasting and self._connection is not None:
                self._connection = None
                with suppress(sqlite3.Error):
                    self._disconnect()

    def forget(self) -> None:
        """Forget nothing: the connection was closed before the fork."""

    def _connect(self) -> sqlite3.Connection:
        """Return the connection, made and prepared if there is none."""
        if self._connection is not None:
            return self._connection
        # asked before: if it is replaced meanwhile, to connect once too often does no harm
        before = identity_of(self.path)
        connection = sqlite3.connect(
            self.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        tx = Connected(connection, self._patience)
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
        # at exit the thread of an awaiting link may still be at work
        self._disconnect.atexit = False
        return connection

    def _write(
        self, jobs: Sequence[Job[Any]], connection: sqlite3.Connection, tx: Connected
    ) -> None:
        """Run jobs in one transaction, or each in its own if one of them undid the others."""
        try:
            whole = _commit(jobs, connection, tx)
        except sqlite3.Error as error:
            _fail(jobs, error)
            return
        if not whole and len(jobs) > 1:
            for job in jobs:
                self._write([job.afresh()], connection, tx)

    def _review(self, jobs: Sequence[Job[Any]]) -> None:
        """Name the errors, and disconnect after one that somebody has to act on."""
        for job in jobs:
            if isinstance(job.error, sqlite3.Error):
                job.error = mapped(job.error, self.path)
        if any(isinstance(job.error, BrokerUnusable) for job in jobs):
            # whoever acts on it should not have to restart us as well
            self.close()


def _fail(jobs: Sequence[Job[Any]], error: Exception) -> None:
    for job in jobs:
        job.error = error


def _commit(jobs: Sequence[Job[Any]], connection: sqlite3.Connection, tx: Connected) -> bool:
    """Run jobs in one transaction; return whether it was not undone by one of them."""
    tx.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            _run_beside(job, tx) if len(jobs) > 1 else _run_alone(job, tx)
            if not connection.in_transaction:
                # a full disk may undo the whole transaction (sqlite.org/lang_transaction.html)
                return False
        tx.execute("COMMIT")
        return True
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run_alone(job: Job[Any], tx: Connected) -> None:
    """Run a job whose failure undoes the transaction."""
    job.run(tx)
    if job.error is not None:
        with suppress(sqlite3.Error):
            tx.execute("ROLLBACK")


def _run_beside(job: Job[Any], tx: Connected) -> None:
    """Run a job whose failure undoes itself alone."""
    tx.execute("SAVEPOINT job")
    job.run(tx)
    with suppress(sqlite3.Error):
        if job.error is not None:
            tx.execute("ROLLBACK TO job")
        tx.execute("RELEASE job")
