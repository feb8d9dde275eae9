"""The link over a caller's own connection: what is written is theirs to commit."""

from collections.abc import Iterable, Mapping, Sequence
from sqlite3 import Connection, Error
from typing import Self, TypeVar

from qcore.adapters.links.sqlite.connection import Connected
from qcore.adapters.links.sqlite.errors import mapped
from qcore.adapters.links.sqlite.file_watcher import Subscriber, Watch, watch_of
from qcore.adapters.links.sqlite.interfaces import Act, FindEnded, Prepare, Row, Values
from qcore.domain.errors import BrokerUnusable
from qcore.domain.new_task import TaskId
from qcore.ports import Kinds, Notify

T = TypeVar("T")


class _Borrowed(Connected):
    """Statements on a connection whose owner may want rows in another shape."""

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
        # how long to wait for a lock is set on the connection already
        self._tx = _Borrowed(connection, 0.0)
        self._prepare: Prepare | None = None
        files = {name: file for _, name, file in self._tx.execute("PRAGMA database_list")}
        self._path: str = files["main"]
        self._watch = watch_of(self._path) if self._path else Watch()

    @property
    def lasting(self) -> bool:
        """Whether the database is a file: it outlives the process, and others may open it."""
        return bool(self._path)

    @property
    def path(self) -> str:
        """Return where the file is, or what stands for a database in memory."""
        return self._path or ":memory:"

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` before each call: its caller may have undone what it did."""
        self._prepare = prepare

    def blocking(self) -> Self:
        """Return itself."""
        return self

    async def open(self) -> None:
        """Make the tables if there are none."""
        await self.write(_nothing)

    async def close(self) -> None:
        """Do nothing: the connection is the caller's."""

    async def read(self, act: Act[T]) -> T:
        """Run one query."""
        return await self.write(act)

    async def write(self, act: Act[T], look: Act[T | None] | None = None) -> T:
        """Run a transaction within the caller's."""
        try:
            # to release the outermost savepoint would be to commit
            if not self._connection.in_transaction:
                self._tx.execute("BEGIN IMMEDIATE")
            self._tx.execute("SAVEPOINT qcore")
            try:
                if self._prepare is not None:
                    self._prepare(self._tx)
                seen = None if look is None else look(self._tx)
                answer = act(self._tx) if seen is None else seen
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
        """Tell nobody: there is nothing to hear before the caller commits."""

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell nobody: there is nothing to hear before the caller commits."""

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell nobody: there is nothing to hear before the caller commits."""

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,  # noqa: ARG002  (see below)
    ) -> Subscriber:
        """Notify of anything after another connection has written to the file.

        Never of ended leases: to find them would be to read over the caller's connection, from the
        thread that polls the file.
        """
        subscriber = Subscriber(queues, kinds, notify, self._watch)
        self._watch.add(subscriber)
        return subscriber


def _nothing(_: object) -> None:
    """Ask for nothing but the tables."""
