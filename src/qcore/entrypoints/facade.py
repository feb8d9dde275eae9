"""`Qcore`: one object with a broker, clients, an inspector and a router wired together."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from inspect import iscoroutinefunction
from random import SystemRandom
from types import TracebackType
from typing import Final, Self, Unpack, overload

from qcore.adapters.clocks import SystemClock
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.links.borrowing import (
    AwaitedConnection,
    BlockingConnection,
    is_awaited,
)
from qcore.adapters.links.urls import without_password
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.adapters.wrappers import TracedBroker
from qcore.app.calls.codec import Codec
from qcore.app.calls.introspection import unwraps_to
from qcore.app.calls.options import Options
from qcore.app.client.blocking_entries import BlockingEntries
from qcore.app.client.blocking_inspector import BlockingInspector
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.enqueue_middleware import EnqueueMiddleware, TellEnqueued
from qcore.app.client.entries import Entries
from qcore.app.client.inspector import Inspector
from qcore.app.client.own_frames import without_own_frames
from qcore.app.client.size_limits import DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_RESULT, byte_limit
from qcore.app.tasks.lifespan import Lifespan
from qcore.app.tasks.router import Router
from qcore.app.tasks.router_tree import ErrorHook
from qcore.app.worker.groups.aggregate_now import aggregate_now
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.periodic.alone import Scheduler
from qcore.app.worker.settings import WorkerOptions, WorkerSettings
from qcore.app.worker.worker import Worker
from qcore.domain.backoff import Curve
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.events import BrokerCalled, Operated, TasksEnqueued
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.new_task import DEFAULT_QUEUE, TaskId
from qcore.domain.retry import Dice, RetryPolicy
from qcore.entrypoints.connect import borrow, connect, url_of_environment
from qcore.entrypoints.embedding import StartNotice, run_beside
from qcore.ports import Broker, Clock, Instrument, Serializer, timekeeper_of

# seeded by the system: workers that share a seed would retry in step
DICE: Final = SystemRandom().random

NOTHING: Final[Mapping[type, object]] = FrozenDict()


class Qcore(Router):
    """A queue with its tasks: `@q.task` declares them, `q.worker()` runs them.

    `url` names the broker (see `connect`): without it the environment's QCORE_URL, else `url` of
    `[tool.qcore]` in the working folder's pyproject.toml, else the file qcore.db there. Everything
    else can be given instead of the default: the broker itself, the clock (the store's if it has
    one, else this machine's), the serializer, the dice that spread retries, and the instruments (a
    log by default). Nothing is opened before it is used.

    `defaults` are options of all tasks, such as `{"max_retry": 5}`, `retry` and `is_failure` what
    follows a failure, each unless a task or its router says so itself; `on_error` is one or several
    functions that are called with every error, see `Router.on_error`.
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
        on_error: ErrorHook | Sequence[ErrorHook] = (),
    ) -> None:
        if url is not None and broker is not None:
            raise InvalidOption("both url and broker are given: expected one of them")
        super().__init__(
            self, defaults=defaults, retry=retry, is_failure=is_failure, on_error=on_error
        )
        first = serializer or JsonSerializer()
        self.codec = Codec([first, *_read_beside(first)])
        self.instruments = (LoggingInstrument(),) if instruments is None else _listed(instruments)
        self._enqueue_middleware: list[EnqueueMiddleware] = []
        self._wraps: list[Callable[[Broker], Broker]] = []
        self._max_payload = max_payload
        self._max_result = byte_limit("max_result", max_result)
        self.has_own_store = url is not None or broker is not None
        """Whether code says where tasks wait, rather than the settings."""
        store, broker = self._connect(url) if broker is None else (_shown(broker), broker)
        self._wire(broker, store, clock, dice)

    def _connect(self, url: str | None) -> tuple[str, Broker]:
        """Return a URL as it may be shown, and its broker."""
        try:
            url = url_of_environment() if url is None else url
            broker = connect(url)
            return without_password(url), broker
        except InvalidOption as error:
            # a traceback that shows variables is not to show a password
            del url
            raise without_own_frames(error)  # noqa: B904  (it is the same error)

    def _wire(self, broker: Broker, store: str, clock: Clock | None, dice: Dice) -> None:
        self.store = store
        """Where tasks wait, as it may be shown: the URL, or the name of the broker's class."""
        self._given_clock = clock
        clock = clock or _clock_of(broker)
        self.broker = broker
        self._traced = self._trace(broker)
        self.clock = clock
        self.dice = dice
        self.client = Client(
            self._traced,
            clock=clock,
            codec=self.codec,
            max_payload=self._max_payload,
            middleware=self._enqueue_middleware,
            teller=self._enqueue_teller(),
        )
        """For asynchronous code."""
        self.blocking = self._blocking_client(broker)
        """For code that blocks."""
        told = Instruments(self.instruments).sender(Operated)
        self.inspector = Inspector(self._traced, clock=clock, codec=self.codec, emit=told)
        """Reads what the store holds and moves tasks, for asynchronous code."""
        self.blocking_inspector = BlockingInspector(
            self.blocking.inner.broker,
            clock=self.blocking.inner.clock,
            codec=self.codec,
            emit=told,
        )
        """The same for code that blocks."""
        self.entries = Entries(self.client, emit=told)
        """The entries of periodic tasks, for asynchronous code."""
        self.blocking_entries = BlockingEntries(self.blocking, emit=told)
        """The entries of periodic tasks, for code that blocks."""

    def add_instrument(self, instrument: Instrument) -> None:
        """Tell one more instrument from now on, of the broker's calls too if it wants those."""
        self.instruments = (*self.instruments, instrument)
        self._wire(self.broker, self.store, self._given_clock, self.dice)

    def _enqueue_teller(self) -> Callable[[], TellEnqueued | None]:
        """Return a function that says what is to be told of each enqueue, if anything."""
        return partial(Instruments(self.instruments).sender, TasksEnqueued)

    def _trace(self, broker: Broker) -> Broker:
        """Return a broker inside its wrappers.

        Its calls are told to the instruments, if any of them wants that.
        """
        for wrap in self._wraps:
            broker = wrap(broker)
        emit = Instruments(self.instruments)
        return TracedBroker(broker, emit) if emit.wants(BrokerCalled) else broker

    def _client(self, broker: Broker) -> Client:
        return Client(
            self._trace(broker),
            clock=self._given_clock or _clock_of(broker),
            codec=self.codec,
            max_payload=self._max_payload,
            middleware=self._enqueue_middleware,
            teller=self._enqueue_teller(),
        )

    def _blocking_client(self, broker: Broker) -> BlockingClient:
        clock = self._given_clock or _clock_of(broker)
        return BlockingClient(
            self._trace(broker),
            clock=clock,
            codec=self.codec,
            max_payload=self._max_payload,
            middleware=self._enqueue_middleware,
            teller=self._enqueue_teller(),
        )

    def enqueue_middleware(self, middleware: EnqueueMiddleware) -> EnqueueMiddleware:
        """Wrap a coroutine function `(tasks, send)` around every enqueue, here and in `swapped`.

        It awaits `send(tasks)` with the `NewTask`s, perhaps with other headers, and returns its
        answers; the first registered is the outermost. What a run enqueues when it succeeds is not
        sent by a client, nor what a schedule makes. Over the blocking client it must not suspend.
        Register it before the queue is used. Raises `InvalidOption` for what cannot be awaited.
        """
        if not unwraps_to(iscoroutinefunction, middleware):
            raise InvalidOption(
                f"{middleware!r} is no middleware: expected a coroutine function, "
                "async def middleware(tasks, send)"
            )
        self._enqueue_middleware.append(middleware)
        self._wire(self.broker, self.store, self._given_clock, self.dice)
        return middleware

    def wrap_broker(self, wrap: Callable[[Broker], Broker]) -> None:
        """Put a wrapper around the broker of all that is made of this queue from now on.

        `wrap` is called with each broker, also with those of `swapped`, and returns one around it.
        Call it before the queue is used.
        """
        self._wraps.append(wrap)
        self._wire(self.broker, self.store, self._given_clock, self.dice)

    @contextmanager
    def swapped(
        self,
        url: str = "memory://",
        *,
        broker: Broker | None = None,
        clock: Clock | None = None,
        dice: Dice | None = None,
        lifespans: Sequence[Lifespan] | None = None,
        provided: Mapping[type, object] = NOTHING,
    ) -> Generator[Self]:
        """Use another broker, clock or dice while the block lasts, as a test does.

        Tasks stay declared; whatever enqueues or runs them in the block does so over there. Without
        a `clock` it goes by the one that this queue was given, or else by the other broker's time.
        `lifespans` are entered in the place of all that are declared, `[]` for none; `provided` are
        objects in the place of what lifespans and arounds yield, by the type that a handler asks
        for (`ctx.state`, `Provided`).
        """
        before = self.broker, self.store, self._given_clock, self.dice
        store, broker = self._connect(url) if broker is None else (_shown(broker), broker)
        self._wire(broker, store, clock or self._given_clock, dice or self.dice)
        node = self.node
        instead = node.lifespans_instead, node.state_instead
        node.lifespans_instead = instead[0] if lifespans is None else [*lifespans]
        node.state_instead = {**instead[1], **provided}
        try:
            yield self
        finally:
            node.lifespans_instead, node.state_instead = instead
            self._wire(*before)

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
        Session or Connection) or Django's. One that is awaited (psycopg's AsyncConnection,
        SQLAlchemy's AsyncSession and AsyncConnection over psycopg) gets a client that awaits.
        Raises `InvalidOption` for any other.
        """
        broker = borrow(connection, self.broker)
        return self._client(broker) if is_awaited(connection) else self._blocking_client(broker)

    def worker(self, **settings: Unpack[WorkerOptions]) -> Worker:
        """Return a worker for these tasks; see `WorkerSettings`."""
        return self._worker(WorkerSettings(**settings), self.instruments)

    @asynccontextmanager
    async def running(self, **settings: Unpack[WorkerOptions]) -> AsyncGenerator[Worker, None]:
        """Run a worker beside the block, on its event loop: `async with q.running(…) as worker:`.

        The store is opened and the lifespans are entered before the block begins; what keeps the
        worker from starting is raised there. When the block ends, the worker stops within its
        grace. A worker that ends with an error meanwhile says so in the log at once, and the error
        is raised when the block ends, unless the block itself raises one. `settings` are those of
        `worker`. The store stays open: `async with q, q.running(…):` closes it, too.
        """
        notice = StartNotice()
        worker = self._worker(WorkerSettings(**settings), (*self.instruments, notice))
        async with run_beside(worker, notice):
            yield worker

    def _worker(self, settings: WorkerSettings, instruments: Sequence[Instrument]) -> Worker:
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

    def scheduler(self, queues: Sequence[str] | None = None) -> Scheduler:
        """Return a scheduler of periodic tasks that runs none: workers have one of their own.

        `queues` are those whose entries it looks at, besides what is declared here; None for all.
        """
        return Scheduler(
            self._traced,
            self,
            client=self.client,
            clock=self.clock,
            dice=self.dice,
            queues=queues,
            emit=Instruments(self.instruments),
        )

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


def _shown(broker: Broker) -> str:
    return type(broker).__name__


def _listed(instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    if not isinstance(instruments, Iterable):
        raise InvalidOption(f"instruments is {instruments!r}: expected [{instruments!r}]")
    return tuple(instruments)


def _read_beside(first: Serializer) -> Sequence[Serializer]:
    """Return what reads what was written before a change of serializer.

    A serializer may say so itself, in `also_reads`. One that has an `inner` may be there to refuse
    what only looks like what that one wrote: beside it, nothing is read that it does not name.
    """
    plain = () if hasattr(first, "inner") else (JsonSerializer(), MessagePackSerializer())
    beside: Sequence[Serializer] = getattr(first, "also_reads", plain)
    return beside


def _clock_of(broker: Broker) -> Clock:
    """Return the clock that all who use a broker go by."""
    timekeeper = timekeeper_of(broker)
    return SystemClock() if timekeeper is None else SystemClock(time=timekeeper.time)
