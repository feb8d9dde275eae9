"""Tests of applications of Django: a queue in memory for each test, whose tasks run in its thread.

A `TestCase` runs each test in a transaction that is undone, so that no other connection sees what
it has written. Handlers therefore run in the thread of the test, over its connection, when the test
says so (`run_tasks`).
"""

import asyncio
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections

from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.app.tasks.handler import HandlerWithOptions
from qcore.app.worker.pools.handler_pools import thread_pool
from qcore.app.worker.pools.threads import Job, ThreadPool
from qcore.django.queue import DjangoQcore, q
from qcore.django.transactions import run_after_commit
from qcore.domain.events import WorkerStarted, WorkerStopped, WorkerStopping
from qcore.domain.moments import Moment
from qcore.domain.task import Task
from qcore.testing import ManualClock, assert_enqueued, drain
from qcore.testing.draining import ENOUGH

__all__ = ["InMemoryQueue", "QueueMixin", "queue_in_memory"]


class InMemoryQueue:
    """The queue of a test: its tasks are in memory, and run when the test says so."""

    def __init__(self, inner: DjangoQcore) -> None:
        self.q = inner

    def run_tasks(
        self, *, jump: bool = True, until: Moment | None = None, most: int = ENOUGH
    ) -> int:
        """Run tasks in this thread until there is nothing left to run; return how many runs it was.

        See `qcore.testing.drain` for the parameters. What is to be enqueued after a commit is so
        before, and between the runs: the transaction of a `TestCase` is never committed.
        """
        return async_to_sync(self.arun_tasks)(jump=jump, until=until, most=most)

    async def arun_tasks(
        self, *, jump: bool = True, until: Moment | None = None, most: int = ENOUGH
    ) -> int:
        """Do what `run_tasks` does, in an asynchronous test."""
        runs = 0
        token = thread_pool.set(_CallersThread)
        try:
            while True:
                await sync_to_async(self.commit)()
                made = await drain(self.q, jump=jump, until=until, most=most - runs)
                runs += made
                if not made:
                    return runs
        finally:
            thread_pool.reset(token)

    def commit(self) -> None:
        """Enqueue what waits for a commit, unless it was rolled back meanwhile."""
        for connection in connections.all(initialized_only=True):
            run_after_commit(connection)

    def assert_enqueued(self, task: HandlerWithOptions[..., Any], /, **some_arguments: Any) -> Task:
        """Return the first waiting task of a handler with at least these arguments.

        Raises AssertionError where there is none; see `qcore.testing.assert_enqueued`.
        """
        self.commit()
        return assert_enqueued(task, **some_arguments)


@contextmanager
def queue_in_memory() -> Generator[InMemoryQueue]:
    """Have `q` keep tasks in memory while the block lasts, as for one test: nothing is left."""
    instruments = q.instruments
    with q.swapped("memory://", clock=ManualClock(time.time())):
        q.instruments = tuple(
            _quiet() if isinstance(each, LoggingInstrument) else each for each in instruments
        )
        try:
            yield InMemoryQueue(q)
        finally:
            q.instruments = instruments


def _quiet() -> LoggingInstrument:
    """Return a log of what tasks do, without the starts and stops of workers."""
    log = LoggingInstrument()
    for kind in (WorkerStarted, WorkerStopping, WorkerStopped):
        log.ignore(kind)
    return log


class QueueMixin:
    """For test cases of Django: `class SignUp(QueueMixin, TestCase)`. Each test has a queue.

    It is `self.queue`, also in `setUp`; in `setUpTestData` there is none.
    """

    queue: InMemoryQueue

    def run(self, result: Any = None) -> Any:
        """Run the test with a queue in memory."""
        with queue_in_memory() as self.queue:
            return super().run(result)  # type: ignore[misc]


class _CallersThread(ThreadPool):
    """Runs plain handlers in the thread of the test, one after the other.

    It is the thread that waits in `async_to_sync`, where `sync_to_async` runs what it is given, as
    for the asynchronous methods of the ORM.
    """

    def _start(self, job: Job) -> None:
        self._running = asyncio.ensure_future(sync_to_async(job)())


_until_the_end: Final = ExitStack()


def keep_in_memory() -> None:
    """Have `q` keep tasks in memory until the process ends, unless it does."""
    if not q.is_swapped:
        _until_the_end.enter_context(queue_in_memory())
