"""`PostgresLink`: transactions over a pool of connections, and notifications.

Theory of operation
===================

Layers. A broker calls a `PostgresLink` (this file), which takes a session (`sessions`) from its
pool (`pool`) for each call. `server` has what the link that awaits and the one that blocks share:
how to connect, the server's clock (`clock_sync`), and whether a pooler is between. A
`BorrowedPostgresLink` (`borrowed_connection`) has no pool, and writes in a caller's transaction, by
cursors of psycopg's (`borrowed_sessions`); sessions of our own are faster below these
(`extended_query`).

Round trips. BEGIN goes with the first statement of a transaction, COMMIT with its last
(`transaction`), in a pipeline; a statement that decides alone is a transaction of its own. Where
others wrote the same at the same time, the transaction is run again: its function decides anew.

Retries. Within `timeout` seconds a call is made again, over a new connection, if the server was
lost before a commit was sent. What became of a commit whose answer was lost cannot be known: then
`BrokerUnavailable` is raised, and a caller that repeats the call gets a `Conflict` or a `LeaseLost`
for what had been written. A server that is read-only, or shuts down, is left: new connections go to
whichever of the URL's hosts takes writes (libpq's target_session_attrs).

Messages. `listener` has the one connection of this process that listens. NOTIFY is sent along with
the commit, as a transaction of its own behind it: within, all commits that notify would wait for
each other (src/backend/commands/async.c, PreCommit_Notify).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from random import SystemRandom
from typing import Final, TypeVar
from weakref import WeakSet

from psycopg import Error

from qcore.adapters.links.borrowing import Source
from qcore.adapters.links.clock_sync import monotonic
from qcore.adapters.links.postgres.address import Address
from qcore.adapters.links.postgres.borrowed_connection import BorrowedPostgresLink
from qcore.adapters.links.postgres.errors import (
    is_disconnection,
    is_passing,
    is_race,
    is_unusable,
    mapped,
    must_leave,
)
from qcore.adapters.links.postgres.interfaces import Prepare, TxFunction
from qcore.adapters.links.postgres.listener import Subscriber
from qcore.adapters.links.postgres.notes import notify
from qcore.adapters.links.postgres.pool import AnySession, AsyncGate, Gate, Pool, SyncGate
from qcore.adapters.links.postgres.server import Server
from qcore.adapters.links.postgres.sessions import AsyncSession, SyncSession
from qcore.adapters.links.postgres.transaction import OwnTransaction, Reading, localizer
from qcore.domain.moments import Moment
from qcore.ports import Kinds, Notify

T = TypeVar("T")

MAX_RACES: Final = 20
"""Times that a transaction is run again because of others."""
FIRST_PAUSE: Final = 0.02
MAX_PAUSE: Final = 0.5


class PostgresLink:
    """Transactions over a pool, each of at most `timeout` seconds in all."""

    session_kind: type[AnySession] = AsyncSession

    def __init__(self, server: Server) -> None:
        self._server = server
        self.shown: Final = server.address.shown
        self.schema: Final = server.address.schema
        self._timeout = server.address.timeout
        self._localized = localizer(self.schema)
        self._pool = Pool(self._connect, self._make_gate, self.shown)
        server.join(self._pool)
        self._prepare: Prepare | None = None
        self._subscribers: WeakSet[Subscriber] = WeakSet()
        # an attribute, not a method: called twice a task
        self.time: Callable[[], Moment] = server.clock.now

    async def _connect(self) -> AnySession:
        return await self._server.connect(self.session_kind)

    def _make_gate(self) -> Gate:
        return AsyncGate(self._server.address.connections)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _result(self, future: "Future[Exception | None]") -> Exception | None:
        async with asyncio.timeout(self._timeout):
            return await asyncio.wrap_future(future)

    def blocking(self) -> "PostgresLink":
        """Return a link to the same database that never suspends."""
        return BlockingPostgresLink(self._server)

    def borrowing(self, source: Source) -> "BorrowedPostgresLink":
        """Return a link to the same database that writes in the transaction of a caller's own."""
        return BorrowedPostgresLink(source, self, self._server)

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler gives each transaction another session, as far as is known."""
        return bool(self._server.is_pooled)

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` before the first call, and again after the server was lost."""
        self._prepare = prepare

    async def open(self) -> None:
        """Connect, prepare, and ask the server for its time; raise at once where that fails."""
        try:
            await self._once(_no_op, self._timeout)
        except Error as error:
            raise mapped(error, self.shown) from error

    async def close(self) -> None:
        """Disconnect; a later call connects again."""
        for each in tuple(self._subscribers):
            await each.close()
        self._pool.leave()

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query: each statement sees a snapshot of its own, and locks nothing."""

        async def run(session: AnySession) -> T:
            return await function(Reading(session, self._localized))

        return await self._repeated(run)

    async def write(self, function: TxFunction[T]) -> T:
        """Run a transaction, and return its answer when it is committed."""

        async def run(session: AnySession) -> T:
            tx = self._transaction(session)
            answer = await self._transact(session, tx, function)
            if tx.notifications:
                await self._tell(session, tx)
            return answer

        return await self._repeated(run)

    def _transaction(self, session: AnySession) -> OwnTransaction:
        # a pooler's session has no settings of ours before a transaction has begun
        alone = not self._server.is_pooled
        return OwnTransaction(session, self.schema, self._server.begin, stands_alone=alone)

    async def _transact(
        self, session: AnySession, tx: OwnTransaction, function: TxFunction[T]
    ) -> T:
        try:
            answer = await function(tx)
            await tx.commit()
        except BaseException as error:
            if not (isinstance(error, Error) and is_disconnection(error)):
                await _undo(session)
            elif tx.may_have_committed:
                self._server.leave()
                raise mapped(error, self.shown) from error
            raise
        return answer

    async def _tell(self, session: AnySession, tx: OwnTransaction) -> None:
        self._server.hub.tell(tx.notifications)
        if not tx.untold:
            return
        try:
            await session.execute(*notify(self.schema, tx.untold))
        except Error:
            # what was committed is: whoever was to be told looks for themselves before long
            session.close()

    async def _repeated(self, run: Callable[[AnySession], Awaitable[T]]) -> T:
        """Make a call, again if that may help, until the timeout."""
        ends = monotonic() + self._timeout
        races, pause = 0, FIRST_PAUSE
        while True:
            try:
                return await self._once(run, ends - monotonic())
            except Error as error:
                races += is_race(error)
                if is_race(error) and races <= MAX_RACES and monotonic() < ends:
                    await self._pause(SystemRandom().uniform(0.0, 0.001 * races))
                    continue
                if not is_passing(error) or monotonic() + pause > ends:
                    raise mapped(error, self.shown) from error
                await self._pause(pause * SystemRandom().uniform(0.5, 1.0))
                pause = min(MAX_PAUSE, pause * 2)

    async def _once(self, run: Callable[[AnySession], Awaitable[T]], seconds: float) -> T:
        try:
            session = await self._pool.acquire(seconds)
            try:
                if self._prepare is not None and not self._server.is_prepared:
                    await self._prepare_tables(session, self._prepare)
                answer = await run(session)
                if self._server.clock.is_stale:
                    # the call is done, and must not be made again for this
                    with suppress(Error):
                        await self._server.ask_time(session)
            except Error as error:
                if is_unusable(error):
                    session.close()
                raise
            finally:
                self._pool.release(session)
        except Error as error:
            if must_leave(error):
                self._server.leave()
            raise
        return answer

    async def _prepare_tables(self, session: AnySession, prepare: Prepare) -> None:
        tx = self._transaction(session)
        await self._transact(session, tx, prepare)
        self._server.is_prepared = True

    async def subscribe(self, queues: Collection[str], kinds: Kinds, notify: Notify) -> Subscriber:
        """Notify of what is told here, and by other processes."""
        subscriber = Subscriber(queues, kinds, notify, self._server.hub)
        self._subscribers.add(subscriber)
        future = subscriber.start()
        error = None
        # one that cannot connect yet goes on trying
        with suppress(TimeoutError):
            error = await self._result(future)
        if isinstance(error, Error) and not is_passing(error):
            await subscriber.close()
            raise mapped(error, self.shown) from error
        return subscriber


class BlockingPostgresLink(PostgresLink):
    """The same over connections that block: its `async def` methods never suspend."""

    session_kind = SyncSession

    def _make_gate(self) -> Gate:
        return SyncGate(self._server.address.connections)

    async def _pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  (this link blocks)

    async def _result(self, future: "Future[Exception | None]") -> Exception | None:
        return future.result(self._timeout)

    def blocking(self) -> "PostgresLink":
        """Return itself."""
        return self


async def _undo(session: AnySession) -> None:
    """Roll back; a session of which that is not certain is given up."""
    if session.is_usable:
        return
    try:
        await session.execute("ROLLBACK")
    except BaseException:
        session.close()
        raise


async def _no_op(_: object) -> None:
    """Do nothing: to run it connects."""


def link_to(address: Address) -> PostgresLink:
    """Return the link that awaits to what a URL says."""
    return PostgresLink(Server(address))
