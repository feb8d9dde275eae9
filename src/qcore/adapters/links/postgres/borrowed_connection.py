"""`BorrowedPostgresLink`, over a caller's own connection: tasks are written in its transaction."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Self, TypeAlias, TypeVar

from psycopg import AsyncConnection, Connection, Error
from psycopg.pq import PipelineStatus, TransactionStatus

from qcore.adapters.links.borrowing import Source, not_usable
from qcore.adapters.links.postgres.borrowed_sessions import (
    AsyncBorrowedSession,
    BorrowedSession,
)
from qcore.adapters.links.postgres.errors import is_disconnection, is_race, mapped
from qcore.adapters.links.postgres.interfaces import Link, Prepare, Statement, TxFunction
from qcore.adapters.links.postgres.notes import notify
from qcore.adapters.links.postgres.same_database import check_database, is_known
from qcore.adapters.links.postgres.server import Server
from qcore.adapters.links.postgres.transaction import Reading, Transaction, localizer
from qcore.domain.errors import BrokerUnusable, InvalidOption
from qcore.domain.moments import Moment
from qcore.ports import Kinds, Notify, Subscription

T = TypeVar("T")

MAX_RACES: Final = 3
"""Times that a call is made again because of what others have committed meanwhile."""
SAVEPOINT: Final[tuple[Statement, ...]] = (("SAVEPOINT qcore", {}),)
RELEASE: Final[Statement] = ("RELEASE SAVEPOINT qcore", {})
AnySession: TypeAlias = BorrowedSession | AsyncBorrowedSession
_SESSIONS: Final[Mapping[type[Any], Callable[[Any], AnySession]]] = {
    Connection: BorrowedSession,
    AsyncConnection: AsyncBorrowedSession,
}
FAILED: Final = "25P02"
"""The SQLSTATE of a transaction in which a statement has failed."""
MISSING: Final = frozenset({"3F000", "42P01"})
"""The SQLSTATEs where there is no schema, or no table."""


class BorrowedPostgresLink:
    """Write in the transaction of a caller's connection, which begins if there is none.

    Never commits: a task is enqueued when the caller's own rows are committed, or not at all; and
    so are those told who wait for it, as NOTIFY is a part of the transaction. Each call is a
    savepoint, so that one that fails leaves the transaction as it was. `beside` is the link to the
    database whose tasks these are, which a subscription goes over.
    """

    def __init__(self, source: Source, beside: Link, server: Server) -> None:
        self._source = source
        self._beside = beside
        self._server = server
        self.shown: Final = beside.shown
        self.schema: Final = beside.schema
        self._localized = localizer(self.schema)
        self._prepare: Prepare | None = None
        self._session: AnySession | None = None
        self.time: Callable[[], Moment] = beside.time

    def blocking(self) -> Self:
        """Return itself."""
        return self

    def borrowing(self, source: Source) -> "BorrowedPostgresLink":
        """Return a link that writes in the transaction of another connection."""
        return BorrowedPostgresLink(source, self._beside, self._server)

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler gives each transaction another session, as far as is known."""
        return bool(self._server.is_pooled)

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` before a call until the tables are known to be there.

        Again and again, as the caller may roll back what it did.
        """
        self._prepare = prepare

    async def open(self) -> None:
        """Ask the server for its time."""
        session = await self._borrowed()
        if self._server.clock.is_stale and session.connection.pgconn.transaction_status in {
            TransactionStatus.IDLE,
            TransactionStatus.INTRANS,
        }:
            await self._server.ask_time(session)

    async def close(self) -> None:
        """Do nothing: the connection is the caller's."""

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query within the caller's transaction, or as one of its own."""
        session = await self._borrowed()
        if _is_idle(session) and session.connection.autocommit:
            try:
                return await function(Reading(session, self._localized))
            except Error as error:
                raise mapped(error, self.shown) from error
        return await self._in_savepoint(session, function)

    async def write(self, function: TxFunction[T]) -> T:
        """Run a savepoint within the caller's transaction; begin that if there is none."""
        session = await self._borrowed()
        if _is_idle(session) and session.connection.autocommit:
            # its owner commits nothing that they have not begun: ours would never end
            raise InvalidOption(
                f"the connection to {self.shown} is in autocommit mode and has no open transaction "
                "that a task could be a part of: begin one, such as with connection.transaction() "
                "or Django's transaction.atomic"
            )
        return await self._in_savepoint(session, function)

    async def _in_savepoint(self, session: AnySession, function: TxFunction[T]) -> T:
        races = 0
        while True:
            try:
                return await self._attempt(session, function)
            except Error as error:
                if error.sqlstate == FAILED:
                    raise BrokerUnusable(
                        f"the caller's transaction on {self.shown} has failed already: roll it back"
                    ) from error
                if not is_disconnection(error):
                    await _undo(session)
                races += 1
                if error.sqlstate in MISSING and self._server.is_prepared:
                    # they were seen in the transaction that had made them, and that was undone
                    self._server.is_prepared = False
                elif not is_race(error) or races > MAX_RACES:
                    raise mapped(error, self.shown) from error

    async def _attempt(self, session: AnySession, function: TxFunction[T]) -> T:
        tx = Transaction(session, self._localized, SAVEPOINT, RELEASE, stands_alone=False)
        try:
            if self._prepare is not None and not self._server.is_prepared:
                self._server.is_prepared = await self._prepare(tx)
            answer = await function(tx)
        except Error:
            raise
        except BaseException:
            if tx.has_begun:
                await _undo(session)
            raise
        if tx.notifications:
            tx.add(*notify(self.schema, tx.notifications))
        await tx.commit()
        return answer

    async def subscribe(
        self, queues: Collection[str], kinds: Kinds, notify: Notify
    ) -> Subscription:
        """Notify of what was committed, over a connection of qcore's own."""
        return await self._beside.subscribe(queues, kinds, notify)

    async def _borrowed(self) -> AnySession:
        """Return a session over the connection that is to be used now."""
        connection = await self._source()
        session = self._session
        is_same = session is not None and session.connection is connection
        if session is None or not is_same:
            session = _session_over(connection)
        if connection.pgconn.pipeline_status != PipelineStatus.OFF:
            raise InvalidOption(
                "the connection is in pipeline mode: enqueue before or after the pipeline"
            )
        if not is_same:
            if not is_known(session, self._server):
                await self._check(session)
            self._session = session
        return session

    async def _check(self, session: AnySession) -> None:
        blocks = isinstance(session, BorrowedSession)
        beside = self._beside.blocking() if blocks else self._beside
        try:
            await check_database(session, self._server, beside)
        except Error as error:
            raise mapped(error, self.shown) from error
        finally:
            if beside is not self._beside:
                await beside.close()


async def _undo(session: AnySession) -> None:
    """Leave the transaction as it was before the savepoint."""
    await session.execute("ROLLBACK TO SAVEPOINT qcore")
    await session.execute("RELEASE SAVEPOINT qcore")


def _session_over(connection: Any) -> AnySession:
    for kind, session in _SESSIONS.items():
        if isinstance(connection, kind):
            return session(connection)
    raise not_usable(connection)


def _is_idle(session: AnySession) -> bool:
    return session.connection.pgconn.transaction_status == TransactionStatus.IDLE
