"""`AsyncSqliteLink`, which awaits: its transactions run on a thread of its own."""

import asyncio
import os
from threading import Lock
from typing import TypeVar
from weakref import finalize

from qcore.adapters.links.sqlite.blocking_link import BlockingSqliteLink, BlockingTwin
from qcore.adapters.links.sqlite.connection import TIMEOUT
from qcore.adapters.links.sqlite.interfaces import TxFunction
from qcore.adapters.links.sqlite.link_base import LinkBase, no_op
from qcore.adapters.links.sqlite.work_item import WorkItem
from qcore.adapters.links.sqlite.worker_thread import WorkerThread

T = TypeVar("T")


class AsyncSqliteLink(LinkBase):
    """Run transactions on one thread; those that arrive while it is busy share the next commit.

    It may be used from several event loops, each in a thread of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timeout: float = TIMEOUT,
        synchronous: str = "full",
    ) -> None:
        super().__init__(path, timeout=timeout, synchronous=synchronous)
        self._worker: WorkerThread | None = None
        # not the connection's lock: a transaction holds that, and a loop must not wait for it
        self._worker_lock = Lock()

    def blocking(self) -> BlockingSqliteLink:
        """Return a link to the same database that never suspends."""
        return BlockingTwin(self._connection.clone(), self._watcher)

    async def open(self) -> None:
        """Connect now rather than at the first call; after an error no thread is left behind.

        Cancelled while it waits for another's lock, it does not wait on for its thread to end.
        """
        try:
            await self._run(WorkItem(no_op, writes=False))
        except asyncio.CancelledError:
            worker = self._take_worker()
            if worker is not None:
                worker.stop()
            raise
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect when the calls in flight have ended; a later call connects again."""
        worker = self._take_worker()
        if worker is not None and worker.is_alive():
            await worker.shut_down()

    def _take_worker(self) -> WorkerThread | None:
        with self._worker_lock:
            worker, self._worker = self._worker, None
        return worker

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query."""
        return await self._run(WorkItem(function, writes=False))

    async def write(
        self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None
    ) -> T:
        """Run a transaction, and return its answer when it is on the disk."""
        return await self._run(WorkItem(function, precheck, writes=True))

    async def _run(self, item: WorkItem[T]) -> T:
        worker = self._worker
        # a fork copies the link, but not its thread
        if worker is None or not worker.is_alive():
            worker = self._ensure_worker()
        await worker.submit(item)
        return item.result()

    def _ensure_worker(self) -> WorkerThread:
        """Start the thread, unless another one of the caller's just did."""
        with self._worker_lock:
            if self._worker is None or not self._worker.is_alive():
                self._worker = WorkerThread(self._connection)
                finalize(self, self._worker.stop)
            return self._worker
