"""`q`, the queue of the settings: a `Qcore` that knows transactions and connections of Django."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Final, overload

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from qcore.adapters.links.borrowing import AwaitedConnection, BlockingConnection
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.coalescing import EnqueueAnswer, enqueue_divided
from qcore.app.client.enqueue_middleware import SendTasks
from qcore.app.client.inline import run_inline
from qcore.django.connections import close_connections, close_connections_of_coroutine
from qcore.django.settings import QueueSettings, read_settings
from qcore.django.transactions import AfterCommit, is_in_transaction
from qcore.domain.answers import Enqueued
from qcore.domain.errors import InvalidOption
from qcore.domain.new_task import NewTask
from qcore.domain.task import state_of_new
from qcore.entrypoints.connect import borrow
from qcore.entrypoints.facade import Qcore
from qcore.ports import Broker, Clock

AT_ONCE: Final = ""
"""In the place of the alias of a database whose commit is waited for."""

_waits_for: ContextVar[str | None] = ContextVar("qcore_waits_for", default=None)
"""Whose commit enqueues of this context wait for, in the place of what the settings say."""


class DjangoQcore(Qcore):
    """A `Qcore` whose tasks are enqueued when the transaction of the caller is committed.

    With the setting QCORE["DATABASE"] they are written over the connection of Django, as a part of
    that transaction, otherwise after it (`on_commit`), outside of a transaction at once. Around
    each handler, in its very thread, connections of Django are closed that cannot be used any more.
    """

    def __init__(self, given: QueueSettings) -> None:
        self.settings = given
        super().__init__(given.url, **given.options)
        self.around(only=("thread", "process"))(close_connections)
        self.around(only="coroutine")(close_connections_of_coroutine)
        self.enqueue_middleware(self._send)

    def _connect(self, url: str | None) -> tuple[str, Broker]:
        name, broker = super()._connect(url)
        if self.settings.database is not None and isinstance(broker, SqliteBroker):
            # with its tables beside Django's own, as the setting says: no news for the log
            broker = SqliteBroker(broker.link, beside_others=True)
        return name, broker

    @property
    def is_swapped(self) -> bool:
        """Whether another store is in the place of that of the settings, as in a test."""
        return bool(self._swapped)

    def queues(self) -> list[str]:
        """Return the queues that handlers name, and those of backends for Django's tasks."""
        from qcore.django.backend_queues import queues_of_backends

        return list(dict.fromkeys([*super().queues(), *queues_of_backends()]))

    @contextmanager
    def on_commit(self, using: str = DEFAULT_DB_ALIAS) -> Generator[None]:
        """Enqueue in the block when the open transaction of a database is committed, or not at all.

        What is wrong with a task is raised at once; its id is that of the handle, and it is not
        stored before. Without an open transaction, tasks are enqueued at once.
        """
        with _waiting_for(using):
            yield

    @contextmanager
    def at_once(self) -> Generator[None]:
        """Enqueue in the block at once, whatever becomes of an open transaction."""
        with _waiting_for(AT_ONCE):
            yield

    @overload
    def within(self, connection: AwaitedConnection) -> Client: ...
    @overload
    def within(self, connection: BlockingConnection) -> BlockingClient: ...
    def within(self, connection: AwaitedConnection | BlockingConnection) -> Client | BlockingClient:
        """Return a client that enqueues over a caller's own connection; see `Qcore.within`."""
        client = super().within(connection)
        return _ClientWithin(client) if isinstance(client, BlockingClient) else client

    def _blocking_client(self, traced: Broker, clock: Clock) -> BlockingClient:
        if self.settings.database is None:
            return super()._blocking_client(traced, clock)
        opened: Any = _OpenedInTransaction(traced, self._broker_within)
        return super()._blocking_client(opened, clock)

    async def _send(self, tasks: Sequence[NewTask], send: SendTasks) -> Sequence[EnqueueAnswer]:
        """Send tasks now, over the connection of Django, or when that has committed."""
        asked = _waits_for.get()
        if asked is None and (broker := self._broker_within()) is not None:
            await broker.open()
            return await enqueue_divided(broker, tasks, now=self.blocking.inner.clock.now())
        alias = self.settings.on_commit if asked is None else asked
        if not alias or not is_in_transaction(connections[alias]):
            return await send(tasks)
        transaction.on_commit(AfterCommit(_later(send, tasks)), using=alias)
        now = self.clock.now()
        return [Enqueued(task.id, state_of_new(task, now)) for task in tasks]

    def _broker_within(self) -> Broker | None:
        """Return a broker in the open transaction of the database that tasks are in, if any is."""
        alias = self.settings.database
        if alias is None or self.is_swapped or not connections[alias].in_atomic_block:
            return None
        return self._trace(borrow(connections[alias], self.broker)).blocking()


class _OpenedInTransaction:
    """A broker that is opened, where a transaction of Django is open, over the connection of that.

    To make tables over another connection would wait for the very transaction that waits for it.
    """

    def __init__(self, broker: Broker, within: Callable[[], Broker | None]) -> None:
        self._broker = broker
        self._within = within

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def blocking(self) -> "_OpenedInTransaction":
        return _OpenedInTransaction(self._broker.blocking(), self._within)

    async def open(self) -> None:
        await (self._within() or self._broker).open()


def _later(send: SendTasks, tasks: Sequence[NewTask]) -> Callable[[], None]:
    """Return what sends tasks with the context variables of now, such as those of a trace."""
    context = copy_context()

    async def sent() -> Sequence[EnqueueAnswer]:
        return await send(tasks)

    def call() -> None:
        context.run(run_inline, sent())

    return call


@contextmanager
def _waiting_for(alias: str) -> Generator[None]:
    if alias and alias not in connections:
        raise InvalidOption(
            f"using is {alias!r}: expected an alias of DATABASES, one of {', '.join(connections)}"
        )
    token = _waits_for.set(alias)
    try:
        yield
    finally:
        _waits_for.reset(token)


class _ClientWithin(BlockingClient):
    """A client over a caller's own connection, whose commit is not waited for."""

    def __init__(self, client: BlockingClient) -> None:
        self.inner = client.inner

    def enqueue(self, request: Any) -> Any:
        with _waiting_for(AT_ONCE):
            return super().enqueue(request)

    def enqueue_many(self, requests: Any) -> Any:
        with _waiting_for(AT_ONCE):
            return super().enqueue_many(requests)


def _configured() -> DjangoQcore:
    try:
        return DjangoQcore(read_settings())
    except InvalidOption as error:
        raise ImproperlyConfigured(f"QCORE: {error}") from None


q: Final = _configured()
"""The queue of the settings."""
