"""The thread on which an awaiting link runs transactions, batched into shared commits.

SQLite blocks, so an event loop must not call it. One thread, as a database has one writer at a time
anyway. Whatever was submitted while it was busy is run next, in one transaction: the cost of a
commit, mostly that of its fsync, is shared by up to `MAX_GROUP` callers.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final

from qcore.adapters.links.sqlite.connection import ManagedConnection
from qcore.adapters.links.sqlite.work_item import WorkItem

MAX_GROUP: Final = 128
"""Transactions that share a commit: other processes wait for the lock meanwhile."""


class _Submission:
    """A work item and the future that its caller awaits; without an item it ends the thread."""

    __slots__ = ("future", "item", "loop")

    def __init__(self, item: WorkItem[Any] | None) -> None:
        self.item = item
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def resolve(self) -> None:
        """Wake the caller, unless it was cancelled."""
        if not self.future.done():
            self.future.set_result(None)


class WorkerThread:
    """A daemon thread that runs work items on one connection until it is stopped."""

    def __init__(self, connection: ManagedConnection) -> None:
        self._connection = connection
        self._submissions: SimpleQueue[_Submission | None] = SimpleQueue()
        # not a base class: the private attributes of Thread change with Python's versions
        self._thread = Thread(target=self._run, name="qcore-sqlite", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether it runs items: not once it was stopped, nor in the child of a fork."""
        return self._thread.is_alive()

    def submit(self, item: WorkItem[Any]) -> asyncio.Future[None]:
        """Return a future, of the running loop, that is done when the item has been run."""
        return self._submit(item)

    def shut_down(self) -> asyncio.Future[None]:
        """Return a future that is done when all items were run and the connection is closed."""
        return self._submit(None)

    def _submit(self, item: WorkItem[Any] | None) -> asyncio.Future[None]:
        submission = _Submission(item)
        self._submissions.put(submission)
        return submission.future

    def stop(self) -> None:
        """End when the items submitted so far have been run; may be called without a loop."""
        self._submissions.put(None)

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            # a call that was cancelled before it began must not run: nobody would have its claims
            items = [s.item for s in batch if s is not None and s.item and not s.future.cancelled()]
            if items:
                self._run_items(items)
            is_last = batch[-1] is None or batch[-1].item is None
            if is_last:
                self._connection.close()
            _resolve([submission for submission in batch if submission is not None])
            if is_last:
                return

    def _run_items(self, items: Sequence[WorkItem[Any]]) -> None:
        try:
            self._connection.run(items)
        except Exception as error:  # noqa: BLE001  (whoever awaits an item would wait for ever)
            for item in items:
                item.error = error

    def _next_batch(self) -> "list[_Submission | None]":
        """Wait for a submission; return it and those behind it, none after one that ends all."""
        batch = [self._submissions.get()]
        with suppress(Empty):
            while len(batch) < MAX_GROUP and batch[-1] is not None and batch[-1].item is not None:
                batch.append(self._submissions.get_nowait())
        return batch


def _resolve(submissions: Sequence[_Submission]) -> None:
    """Wake the callers, with one `call_soon_threadsafe` for each event loop."""
    for loop in {submission.loop for submission in submissions}:
        theirs = [submission for submission in submissions if submission.loop is loop]
        # raised by a loop that was closed, with which its callers ended
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve_all, theirs)


def _resolve_all(submissions: Sequence[_Submission]) -> None:
    for submission in submissions:
        submission.resolve()
