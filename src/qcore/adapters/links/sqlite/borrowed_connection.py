"""`BorrowedSqliteLink`, over a caller's own connection: tasks are written in its transaction."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from sqlite3 import Connection, Error, ProgrammingError
from typing import Self, TypeVar

from qcore.adapters.links.sqlite.errors import mapped
from qcore.adapters.links.sqlite.file_identity import is_same_file
from qcore.adapters.links.sqlite.file_watcher import FileWatcher, Subscriber, watcher_of
from qcore.adapters.links.sqlite.interfaces import (
    FindEnded,
    Merge,
    Prepare,
    Row,
    TxFunction,
    Values,
)
from qcore.adapters.links.sqlite.transaction import Transaction
from qcore.domain.errors import BrokerUnusable, InvalidOption
from qcore.domain.new_task import TaskId
from qcore.ports import Kinds, Notify

T = TypeVar("T")


class _BorrowedTransaction(Transaction):
    """Statements on a connection whose owner may have set a `row_factory`: qcore needs tuples."""

    owns_file = False

    def _fetch(self, sql: str, values: Values) -> list[Row]:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor.execute(sql, values).fetchall()


class BorrowedSqliteLink:
    """Write in the transaction of a caller's connection, which begins if there is none.

    Never commits: a task is enqueued when the caller's own rows are committed, or not at all. The
    connection is used in the calling thread, and nothing suspends. `expected` is the file in which
    the tasks are; None takes the connection's. Raises `InvalidOption` for a connection to another.
    """

    def __init__(self, connection: Connection, expected: str | None = None) -> None:
        self._prepare: Prepare | None = None
        self._expected = expected
        self._take(connection)

    def _take(self, connection: Connection) -> None:
        _check(connection)
        self._connection = connection
        # no waiting of our own for a lock: the connection's owner has set its timeout
        self._tx = _BorrowedTransaction(connection, 0.0)
        self._path = _path_of(self._tx)
        if self._expected is not None and not is_same_file(self._path, self._expected):
            raise InvalidOption(
                f"the connection is to {self.path}, and the tasks of this queue are in "
                f"{self._expected}, where nobody would look for this one: expected a connection to "
                "that file, or a queue with the URL of the other"
            )
        self._watcher = watcher_of(self._path) if self._path else FileWatcher()

    @property
    def is_persistent(self) -> bool:
        """Whether the database is a file: it outlives the process, and others may open it."""
        return bool(self._path)

    @property
    def path(self) -> str:
        """Return the path of the file, or ":memory:"."""
        return self._path or ":memory:"

    def on_connect(self, prepare: Prepare, merge: Merge | None = None) -> None:  # noqa: ARG002
        """Run `prepare` before each call, as the caller may have rolled back what it did.

        Never `merge`: whether the connection still has the log is its owner's matter.
        """
        self._prepare = prepare

    def blocking(self) -> Self:
        """Return itself."""
        return self

    async def open(self) -> None:
        """Create the tables if there are none."""
        await self.write(_no_op)

    async def close(self) -> None:
        """Do nothing: the connection is the caller's."""

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query within the caller's transaction, or one of its own that leaves no lock."""
        return self._read(function)

    async def write(
        self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None
    ) -> T:
        """Run a savepoint within the caller's transaction; begin that if there is none."""
        return self._write(function, precheck)

    def _read(self, function: TxFunction[T]) -> T:
        with self._errors_mapped():
            is_own = not self._connection.in_transaction
            if is_own:
                self._tx.execute("BEGIN")
            try:
                return self._run(function)
            finally:
                if is_own and self._connection.in_transaction:
                    self._tx.execute("ROLLBACK")

    def _write(self, function: TxFunction[T], precheck: TxFunction[T | None] | None) -> T:
        with self._errors_mapped():
            is_begun = self._connection.in_transaction
            if not is_begun:
                self._begin()
            try:
                answer = self._run(function, precheck)
            except BaseException:
                # one that was begun for this alone would keep its lock, and nobody knows of it
                if not is_begun and self._connection.in_transaction:
                    self._tx.execute("ROLLBACK")
                raise
            # its owner does not tell when it is committed, which nobody else can do before
            self._watcher.tell_of_writing()
            return answer

    def _begin(self) -> None:
        # its owner commits nothing that they have not begun: ours would never end. The attribute
        # `autocommit` came with Python 3.12; Django's connections have the isolation level None
        is_autocommit = getattr(self._connection, "autocommit", None) is True
        if is_autocommit or self._connection.isolation_level is None:
            raise InvalidOption(
                f"the connection to {self.path} is in autocommit mode and has no open transaction "
                "that a task could be a part of: begin one, such as with BEGIN or Django's "
                "transaction.atomic, and commit it afterwards"
            )
        self._tx.execute("BEGIN IMMEDIATE")

    def _run(self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None) -> T:
        """Run a savepoint: outside of a transaction it would begin one, and RELEASE commit it."""
        self._tx.execute("SAVEPOINT qcore")
        try:
            if self._prepare is not None:
                self._prepare(self._tx)
            known = None if precheck is None else precheck(self._tx)
            answer = function(self._tx) if known is None else known
        except BaseException:
            if self._connection.in_transaction:
                self._tx.execute("ROLLBACK TO qcore")
                self._tx.execute("RELEASE qcore")
            raise
        self._tx.execute("RELEASE qcore")
        return answer

    @contextmanager
    def _errors_mapped(self) -> Generator[None, None, None]:
        try:
            yield
        except ProgrammingError as error:
            raise _misused(self.path, error) from error
        except Error as error:
            raise mapped(error, self.path) from error

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell nobody: before the caller commits, there is nothing to be seen."""

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell nobody: before the caller commits, there is nothing to be seen."""

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell nobody: before the caller commits, there is nothing to be seen."""

    def tell_of_entries(self, queues: Iterable[str]) -> None:
        """Tell nobody: before the caller commits, there is nothing to be seen."""

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,  # noqa: ARG002  (see below)
    ) -> Subscriber:
        """Notify after each write of another connection.

        Never of ended leases: to find them, the thread that polls the file would have to read over
        the caller's connection.
        """
        subscriber = Subscriber(queues, kinds, notify, self._watcher)
        self._watcher.add(subscriber)
        return subscriber


def _no_op(_: object) -> None:
    """Do nothing: to run it creates the tables."""


def _check(connection: Connection) -> None:
    """Raise for what cannot be borrowed."""
    try:
        # other drivers of SQLite have connections of the same kind, and so have some wrappers
        is_usable = hasattr(connection, "in_transaction") and hasattr(connection, "text_factory")
    except ProgrammingError as error:
        raise _misused("its database", error) from error
    if not is_usable:
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise InvalidOption(
            f"the connection is a {kind}: expected a sqlite3.Connection, such as the one that "
            "SQLAlchemy has as connection.connection.dbapi_connection, and Django as "
            "connection.connection"
        )
    if connection.text_factory is not str:
        raise BrokerUnusable("the connection has a text_factory of its own: qcore needs str")


def _path_of(tx: Transaction) -> str:
    """Return the path of the database file, "" for one in memory."""
    try:
        files = {name: file for _, name, file in tx.execute("PRAGMA database_list")}
    except ProgrammingError as error:
        # of a connection that was made in another thread
        raise _misused("its database", error) from error
    return str(files["main"])


def _misused(path: str, error: ProgrammingError) -> BrokerUnusable:
    """Return the error for a connection that is closed, or was made in another thread."""
    return BrokerUnusable(f"the caller's connection to {path} cannot be used: {error}")
