"""The link that awaits: transactions run on a thread of its own, and share commits."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar
from weakref import finalize

from qcore.adapters.links.sqlite.blocking_link import BlockingSqliteLink, Twin
from qcore.adapters.links.sqlite.connection import TIMEOUT, Handle
from qcore.adapters.links.sqlite.interfaces import Act
from qcore.adapters.links.sqlite.link_base import Linked, nothing
from qcore.adapters.links.sqlite.work_item import Job

T = TypeVar("T")

GROUP: Final = 128
"""Transactions that share a commit at most: other processes wait meanwhile."""


class AsyncSqliteLink(Linked):
    """Run transactions on one thread, those that arrive while one runs in the next commit together.

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
        self._server: _Server | None = None
        # not the handle's: that is held while a transaction runs, and the loop must not wait for it
        self._changing = Lock()

    def blocking(self) -> BlockingSqliteLink:
        """Return a link to the same database that never suspends."""
        return Twin(self._handle.another(), self._watch)

    async def open(self) -> None:
        """Connect now rather than at the first call; where that fails, leave no thread behind."""
        try:
            await self._run(Job(nothing, writes=False))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect when the calls in flight have ended; a later call connects again."""
        with self._changing:
            server, self._server = self._server, None
        if server is not None and server.is_alive():
            await server.ended(None)

    async def read(self, act: Act[T]) -> T:
        """Run one query."""
        return await self._run(Job(act, writes=False))

    async def write(self, act: Act[T], look: Act[T | None] | None = None) -> T:
        """Run a transaction, and return its answer when it is on the disk."""
        return await self._run(Job(act, look, writes=True))

    async def _run(self, job: Job[T]) -> T:
        server = self._server
        # the child of a fork has its parent's link, but not its thread
        if server is None or not server.is_alive():
            server = self._serve()
        await server.ended(job)
        return job.result()

    def _serve(self) -> "_Server":
        """Start the thread, unless somebody else just did."""
        with self._changing:
            if self._server is None or not self._server.is_alive():
                self._server = _Server(self._handle)
                finalize(self, self._server.stop)
            return self._server


class _Call:
    """A job, and who waits for it where; None for the end of all jobs."""

    __slots__ = ("future", "job", "loop")

    def __init__(self, job: Job[Any] | None) -> None:
        self.job = job
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def end(self) -> None:
        """Wake who waits, unless they went away."""
        if not self.future.done():
            self.future.set_result(None)


class _Server:
    """The thread of a link, until it is stopped."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._inbox: SimpleQueue[_Call | None] = SimpleQueue()
        # not a base class: a Thread has private attributes too, in Python 3.13 also a _handle
        self._thread = Thread(target=self._run, name="qcore-sqlite", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether it runs jobs: not once it was stopped, nor in the child of a fork."""
        return self._thread.is_alive()

    def ended(self, job: Job[Any] | None) -> asyncio.Future[None]:
        """Return what is done when the job has been run, or with None when all jobs have."""
        call = _Call(job)
        self._inbox.put(call)
        return call.future

    def stop(self) -> None:
        """End when the jobs so far have been run."""
        self._inbox.put(None)

    def _run(self) -> None:
        """Run jobs as they come."""
        while True:
            calls = self._waiting()
            # who went away before it began need not have it done: a claim would be nobody's
            jobs = [c.job for c in calls if c is not None and c.job and not c.future.cancelled()]
            if jobs:
                self._handle.run(jobs)
            last = calls[-1] is None or calls[-1].job is None
            if last:
                self._handle.close()
            _wake([call for call in calls if call is not None])
            if last:
                return

    def _waiting(self) -> "list[_Call | None]":
        """Wait for a call, and return it with those behind it, up to the last of all."""
        calls = [self._inbox.get()]
        with suppress(Empty):
            while len(calls) < GROUP and calls[-1] is not None and calls[-1].job is not None:
                calls.append(self._inbox.get_nowait())
        return calls


def _wake(calls: Sequence[_Call]) -> None:
    """Wake who waits, with one call to each event loop."""
    for loop in {call.loop for call in calls}:
        theirs = [call for call in calls if call.loop is loop]
        # a loop that was closed has nobody who waits
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_end_all, theirs)


def _end_all(calls: Sequence[_Call]) -> None:
    for call in calls:
        call.end()
