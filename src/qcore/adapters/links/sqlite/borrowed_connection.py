"""`BorrowedSqliteLink`, over a caller's own connection: tasks are written in its transaction."""

from collections.abc import Iterable, Mapping, Sequence
from sqlite3 import Connection, Error
from typing import Self, TypeVar

from qcore.adapters.links.sqlite.errors import mapped
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
from qcore.domain.errors import BrokerUnusable
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
    connection is used in the calling thread, and nothing suspends.
    """

    def __init__(self, connection: Connection) -> None:
        if connection.text_factory is not str:
            raise BrokerUnusable("the connection has a text_factory of its own: qcore needs str")
        self._connection = connection
        # no waiting of our own for a lock: the connection's owner has set its timeout
        self._tx = _BorrowedTransaction(connection, 0.0)
        self._prepare: Prepare | None = None
        files = {name: file for _, name, file in self._tx.execute("PRAGMA database_list")}
        self._path: str = files["main"]
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
        """Run a query within the caller's transaction."""
        return await self.write(function)

    async def write(
        self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None
    ) -> T:
        """Run a savepoint within the caller's transaction."""
        try:
            # a savepoint outside of a transaction begins one, and its RELEASE commits it
            if not self._connection.in_transaction:
                self._tx.execute("BEGIN IMMEDIATE")
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
        except Error as error:
            raise mapped(error, self.path) from error
        return answer

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell nobody: before the caller commits, there is nothing to be seen."""

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell nobody: before the caller commits, there is nothing to be seen."""

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
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
