"""`BlockingSqliteLink`, which blocks: its `async def` methods never suspend."""

from typing import Self, TypeVar

from qcore.adapters.links.sqlite.connection import ManagedConnection
from qcore.adapters.links.sqlite.file_watcher import FileWatcher
from qcore.adapters.links.sqlite.interfaces import TxFunction
from qcore.adapters.links.sqlite.link_base import LinkBase, no_op
from qcore.adapters.links.sqlite.work_item import WorkItem

T = TypeVar("T")


class BlockingSqliteLink(LinkBase):
    """Run transactions in the calling thread, one at a time; any thread may call."""

    def blocking(self) -> Self:
        """Return itself."""
        return self

    async def open(self) -> None:
        """Connect now rather than at the first call."""
        self._run(WorkItem(no_op, writes=False))

    async def close(self) -> None:
        """Disconnect when the calls in flight have ended; a later call connects again."""
        self._connection.close()

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query."""
        return self._run(WorkItem(function, writes=False))

    async def write(
        self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None
    ) -> T:
        """Run a transaction, and return its answer when it is on the disk."""
        return self._run(WorkItem(function, precheck, writes=True))

    def _run(self, item: WorkItem[T]) -> T:
        self._connection.run([item])
        return item.result()


class BlockingTwin(BlockingSqliteLink):
    """The blocking link of an awaiting one: a connection of its own, and the same watcher."""

    def __init__(self, connection: ManagedConnection, watcher: FileWatcher) -> None:
        self._connection = connection
        self._watcher = watcher
