"""`Transaction`: statements that go over a session in as few round trips as their answers allow."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final

from qcore.adapters.links.postgres.address import DEFAULT_SCHEMA
from qcore.adapters.links.postgres.interfaces import OwnSession, Row, Session, Statement, Values
from qcore.adapters.links.postgres.notes import Work, notify
from qcore.ports import Notification

COMMIT: Final[Statement] = ("COMMIT", {})

_QUALIFIED: Final = re.compile(r"\bqcore\.")


@cache
def localizer(schema: str) -> Callable[[str], str]:
    """Return what names the tables of a statement as they are called in a schema."""

    def localized(sql: str) -> str:
        return _QUALIFIED.sub(f"{schema}.", sql)

    return str if schema == DEFAULT_SCHEMA else cache(localized)


class Transaction:
    """`Tx` over a session. `begin` goes with the first statement, `end` with the last."""

    def __init__(
        self,
        session: Session,
        localized: Callable[[str], str],
        begin: tuple[Statement, ...],
        end: Statement = COMMIT,
        *,
        stands_alone: bool = True,
    ) -> None:
        self._session = session
        self._localized = localized
        self._begin = begin
        self._end = end
        self._stands_alone = stands_alone
        """Whether a single statement may be a transaction of its own."""
        self._added: list[Statement] = []
        self.has_begun = False
        self.may_have_committed = False
        """Whether a commit was sent: if its answer is lost, nobody knows what became of it."""
        self.notifications: list[Notification | Work] = []

    @property
    def is_alone(self) -> bool:
        """Whether a statement that `alone` runs next is a transaction of its own."""
        return self._stands_alone and not self.has_begun and not self._added

    async def alone(self, sql: str, values: Values) -> list[Row]:
        """Run a statement that is a transaction of its own, unless one has begun already."""
        if not self.is_alone:
            return await self.fetch(sql, values)
        self.may_have_committed = True
        rows = await self._run_last([(self._localized(sql), values)])
        self.may_have_committed = False
        return rows

    async def fetch(self, sql: str, values: Values) -> list[Row]:
        """Run a statement, after those that were added, and return all its rows."""
        statement = self._localized(sql), values
        if self.has_begun and not self._added:
            return await self._session.execute(*statement)
        added, self._added = self._added, []
        begin = () if self.has_begun else self._begin
        self.has_begun = True
        return await self._session.pipeline([*begin, *added, statement])

    def add(self, sql: str, values: Values) -> None:
        """Have a statement without rows run with the next one that has, or before the commit."""
        self._added.append((self._localized(sql), values))

    async def commit(self) -> None:
        """Run what was added, and commit."""
        added, self._added = self._added, []
        if not added and not self.has_begun:
            return
        self.may_have_committed = True
        if len(added) == 1 and self.is_alone:
            await self._run_last(added)
            return
        begin = () if self.has_begun else self._begin
        await self._run_last([*begin, *added, self._end])

    async def _run_last(self, statements: Sequence[Statement]) -> list[Row]:
        """Run the statements with which a transaction ends."""
        if len(statements) == 1:
            return await self._session.execute(*statements[0])
        return await self._session.pipeline(statements)

    def tell(self, *notifications: Notification) -> None:
        """Have subscribers notified, here and in other processes, once it is committed."""
        self.notifications += notifications

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Have those notified who wait for something to claim from these queues."""
        self.notifications += map(Work, queues)


class OwnTransaction(Transaction):
    """The same on a connection of our own: NOTIFY is sent along, to be run behind the commit."""

    def __init__(
        self, session: OwnSession, schema: str, begin: tuple[Statement, ...], *, stands_alone: bool
    ) -> None:
        super().__init__(session, localizer(schema), begin, stands_alone=stands_alone)
        self._own_session = session
        self._schema = schema
        self._sent = 0

    @property
    def untold(self) -> list[Notification | Work]:
        """Return the notifications that have not been sent to other processes."""
        return self.notifications[self._sent :]

    async def _run_last(self, statements: Sequence[Statement]) -> list[Row]:
        if not self.untold:
            return await super()._run_last(statements)
        behind = notify(self._schema, self.untold)
        self._sent = len(self.notifications)
        return await self._own_session.pipeline(statements, behind)


class Reading:
    """`Tx` of a query: each statement is a transaction of its own."""

    has_begun = False
    is_alone = True

    def __init__(self, session: Session, localized: Callable[[str], str]) -> None:
        self._session = session
        self._localized = localized

    async def fetch(self, sql: str, values: Values) -> list[Row]:
        """Run a statement and return all its rows."""
        return await self._session.execute(self._localized(sql), values)

    alone = fetch

    def add(self, sql: str, values: Values) -> None:
        """Refuse what a query has no use for."""
        raise NotImplementedError

    def tell(self, *notifications: Notification) -> None:
        """Refuse what a query has no use for."""
        raise NotImplementedError

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Refuse what a query has no use for."""
        raise NotImplementedError
