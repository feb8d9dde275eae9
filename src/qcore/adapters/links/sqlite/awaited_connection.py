"""`AwaitedSqliteLink`, over a caller's own connection of aiosqlite: tasks in its transaction."""

from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar

from qcore.adapters.links.borrowing import Source, not_usable
from qcore.adapters.links.sqlite.borrowed_connection import BorrowedSqliteLink
from qcore.adapters.links.sqlite.file_watcher import FileWatcher, Subscriber
from qcore.adapters.links.sqlite.interfaces import FindEnded, TxFunction
from qcore.domain.errors import BrokerUnusable
from qcore.ports import Kinds, Notify

P = ParamSpec("P")
T = TypeVar("T")

EXPECTED: Final = (
    "expected a connection of aiosqlite, or an AsyncSession or AsyncConnection of SQLAlchemy over "
    "sqlite+aiosqlite://"
)


class AwaitedSqliteLink(BorrowedSqliteLink):
    """Do what the link above does in the thread of a connection of aiosqlite.

    Such a connection is an `sqlite3.Connection` that one thread uses, which calls what is sent to
    it one after the other: so a transaction of many statements is sent as one call.
    """

    def __init__(self, source: Source, expected: str | None = None) -> None:
        self._source = source
        self._expected = expected
        self._taken: object = None
        self._prepare = None
        # not known before the connection is there
        self._path = ""
        self._watcher = FileWatcher()

    @property
    def is_persistent(self) -> bool:
        """Return whether the database is a file, which it is taken for before its first use."""
        return self._taken is None or super().is_persistent

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query within the caller's transaction, or one of its own that leaves no lock."""
        return await self._in_its_thread(self._read, function)

    async def write(
        self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None
    ) -> T:
        """Run a savepoint within the caller's transaction; begin that if there is none."""
        return await self._in_its_thread(self._write, function, precheck)

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,
    ) -> Subscriber:
        """Notify after each write of another connection."""
        await self._in_its_thread(bool)
        return await super().subscribe(queues, kinds, notify, find_ended=find_ended)

    async def _in_its_thread(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Any = await self._source()
        # aiosqlite has no public name for either; SQLAlchemy goes by its private ones, too
        run, raw = getattr(connection, "_execute", None), getattr(connection, "_connection", None)
        if run is None:
            raise not_usable(connection, EXPECTED)
        if raw is None:
            raise BrokerUnusable(
                "the caller's connection of aiosqlite cannot be used: it is closed"
            )
        if connection is not self._taken:
            await run(self._take, raw)
            self._taken = connection
        answer: T = await run(call, *args, **kwargs)
        return answer
