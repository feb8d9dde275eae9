"""`Qcore`: one object with a broker, clients, an inspector and a router wired together."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack, overload

from qcore.adapters.links.borrowing import (
    AwaitedConnection,
    BlockingConnection,
    is_awaited,
)
from qcore.app.calls.options import Options
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.own_frames import without_own_frames
from qcore.app.client.size_limits import DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_RESULT
from qcore.app.tasks.router import RouterOptions
from qcore.app.tasks.router_tree import ErrorHook
from qcore.app.tasks.task_defaults import ErrorClasses
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.settings import WorkerOptions, WorkerSettings
from qcore.domain.backoff import Curve
from qcore.domain.errors import QcoreError
from qcore.domain.new_task import DEFAULT_QUEUE, TaskId
from qcore.domain.retry import Dice, RetryPolicy
from qcore.entrypoints.configuration import DICE, ConfiguredRouter
from qcore.entrypoints.connect import borrow
from qcore.ports import Broker, Clock, Instrument, Serializer

# what runs tasks is imported by the methods that need it: most processes only enqueue
if TYPE_CHECKING:
    from qcore.app.worker.periodic.alone import Scheduler
    from qcore.app.worker.worker import Worker


class Qcore(ConfiguredRouter):
    """A queue with its tasks: `@q.task` declares them, `q.worker()` runs them.

    `url` names the broker (see `connect`): without it the environment's QCORE_URL, else `url` of
    `[tool.qcore]` in the working folder's pyproject.toml, else the file qcore.db there. Everything
    else can be given instead of the default: the broker itself, the clock (the store's if it has
    one, else this machine's), the serializer, the dice that spread retries, and the instruments (a
    log by default). Nothing is opened before it is used.

    `defaults` are options of all tasks, such as `{"max_retry": 5}`, `retry`, `is_failure`,
    `retry_on` and `give_up_on` what follows a failure, each unless a task or its router says so
    itself; `on_error` is one or several functions that are called with every error, see
    `Router.on_error`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        broker: Broker | None = None,
        clock: Clock | None = None,
        serializer: Serializer | None = None,
        dice: Dice = DICE,
        instruments: Sequence[Instrument] | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        max_result: int = DEFAULT_MAX_RESULT,
        defaults: Options | None = None,
        retry: RetryPolicy | Curve | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        retry_on: ErrorClasses | None = None,
        give_up_on: ErrorClasses | None = None,
        on_error: ErrorHook | Sequence[ErrorHook] = (),
    ) -> None:
        super().__init__(
            defaults=defaults,
            retry=retry,
            is_failure=is_failure,
            retry_on=retry_on,
            give_up_on=give_up_on,
            on_error=on_error,
        )
        self.configure(
            url,
            broker=broker,
            clock=clock,
            serializer=serializer,
            dice=dice,
            instruments=instruments,
            max_payload=max_payload,
            max_result=max_result,
        )

    @classmethod
    def later(cls, **said: Unpack[RouterOptions]) -> Self:
        """Return a queue that declares tasks, and is told by `q.configure(…)` where they wait.

        For an application that is made by a function. What needs a store (enqueue, worker,
        inspector, …) raises `InvalidOption` before. The parameters are those of `Qcore` that are
        about tasks: `defaults`, `retry`, `is_failure`, `retry_on`, `give_up_on`, `on_error`.
        """
        q = cls.__new__(cls)
        ConfiguredRouter.__init__(q, **said)
        return q

    @overload
    def within(self, connection: AwaitedConnection) -> Client: ...
    @overload
    def within(self, connection: BlockingConnection) -> BlockingClient: ...
    def within(self, connection: AwaitedConnection | BlockingConnection) -> Client | BlockingClient:
        """Return a client that enqueues in the transaction of a caller's own connection.

        Its tasks are there when that transaction is committed, and never were if it is undone. The
        database must be the one whose tasks the workers run: `Qcore("sqlite:///app.db")` with the
        application's own file, or `Qcore("postgresql://…")`. The tables are made by whichever comes
        first, a worker or this. The connection is the driver's (sqlite3, psycopg), SQLAlchemy's (a
        Session or Connection) or Django's. One that is awaited (of aiosqlite, psycopg's
        AsyncConnection, SQLAlchemy's AsyncSession and AsyncConnection over either) gets a client
        that awaits. Where a test has swapped the store for one in memory, tasks are there at once.
        Raises `InvalidOption` for any other, and for a connection to another database: at the
        latest when something is enqueued.
        """
        if self.is_inline or self.is_swapped_into_memory:
            # inline they are run within the caller's transaction, too
            return self.client if is_awaited(connection) else self.blocking
        borrowed = borrow(connection, self.broker)
        traced, clock = self._trace(borrowed), self._clock_beside(borrowed)
        if is_awaited(connection):
            return self._client(traced, clock)
        return self._blocking_client(traced, clock)

    def worker(self, **settings: Unpack[WorkerOptions]) -> "Worker":
        """Return a worker for these tasks; see `WorkerSettings`."""
        return self._worker(WorkerSettings(**settings), self.instruments)

    @asynccontextmanager
    async def running(self, **settings: Unpack[WorkerOptions]) -> AsyncGenerator["Worker", None]:
        """Run a worker beside the block, on its event loop: `async with q.running(…) as worker:`.

        The store is opened and the lifespans are entered before the block begins; what keeps the
        worker from starting is raised there. When the block ends, the worker stops within its
        grace. A worker that ends with an error meanwhile says so in the log at once, and the error
        is raised when the block ends, unless the block itself raises one. `settings` are those of
        `worker`. The store stays open: `async with q, q.running(…):` closes it, too.
        """
        from qcore.entrypoints.embedding import StartNotice, run_beside

        notice = StartNotice()
        worker = self._worker(WorkerSettings(**settings), (*self.instruments, notice))
        async with run_beside(worker, notice):
            yield worker

    def _worker(self, settings: WorkerSettings, instruments: Sequence[Instrument]) -> "Worker":
        from qcore.app.worker.worker import Worker

        self._look_for_ends()
        worker = Worker(
            self._traced,
            self,
            settings,
            clock=self.clock,
            codec=self.codec,
            dice=self.dice,
            instruments=instruments,
            max_payload=self._max_payload,
            max_result=self._max_result,
            store=self.store,
        )
        for each in instruments:
            follow = getattr(each, "follow", None)
            if callable(follow):
                follow(worker)
        return worker

    async def aggregate(self, group: str, *, queue: str = DEFAULT_QUEUE) -> Sequence[TaskId]:
        """Make tasks of the members of a group now, ready or not; return the ids of those.

        Its aggregator is called here. Raises `InvalidOption` where it has none, and `QcoreError`
        where that fails: then the members that are left wait as before.
        """
        from qcore.app.worker.groups.aggregate_now import aggregate_now

        made = await aggregate_now(
            self._traced,
            self,
            queue,
            group,
            client=self.client,
            clock=self.clock,
            dice=self.dice,
            emit=Instruments(self.instruments),
        )
        return [event.task.id for event in made]

    def scheduler(self, queues: Sequence[str] | None = None) -> "Scheduler":
        """Return a scheduler of periodic tasks that runs none: workers have one of their own.

        `queues` are those whose entries it looks at, besides what is declared here; None for all.
        """
        from qcore.app.worker.periodic.alone import Scheduler

        self._look_for_ends()
        return Scheduler(
            self._traced,
            self,
            client=self.client,
            clock=self.clock,
            dice=self.dice,
            queues=queues,
            emit=Instruments(self.instruments),
        )

    def _look_for_ends(self) -> None:
        if self.node.has_end_hooks:
            from qcore.entrypoints.ends import look_for_ends

            look_for_ends(self)

    async def open(self) -> None:
        """Make the store ready now, rather than at its first use."""
        try:
            await self.broker.open()
        except QcoreError as error:
            raise without_own_frames(error)  # noqa: B904  (it is the same error)

    async def close(self) -> None:
        """Let go of the store."""
        self.blocking.close()
        await self.client.close()

    async def __aenter__(self) -> Self:
        """Open the store."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the store."""
        await self.close()
