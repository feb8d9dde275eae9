"""`Link` and `Tx`, the interfaces that the Postgres broker is written against."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from qcore.adapters.links.borrowing import Source
from qcore.domain.moments import Moment
from qcore.ports import Kinds, Notification, Notify, Subscription

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
"""A row as psycopg answers it: int, float, str, bytes, bool or None, in the order selected."""

Values: TypeAlias = Mapping[str, Any]
"""The values bound to a statement's `%(name)s`: numbers, text, bytes or None; arrays as the text
that `arrays` makes of them."""


class Tx(Protocol):
    """A transaction to run statements in; it begins with the first of them.

    Statements name the tables as `qcore.…`, whatever their schema is called.
    """

    @property
    def has_begun(self) -> bool:
        """Whether there are statements that are undone if a later one, or the commit, fails."""
        ...

    @property
    def is_alone(self) -> bool:
        """Whether a statement that `alone` runs next is a transaction of its own."""
        ...

    async def alone(self, sql: str, values: Values) -> list[Row]:
        """Run a statement that is a transaction of its own, unless one has begun already."""
        ...

    async def fetch(self, sql: str, values: Values) -> list[Row]:
        """Run a statement, after those that were added, and return all its rows."""
        ...

    def add(self, sql: str, values: Values) -> None:
        """Have a statement without rows run with the next one that has, or before the commit."""
        ...

    def tell(self, *notifications: Notification) -> None:
        """Have subscribers notified, here and in other processes, once it is committed."""
        ...

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Have those notified who wait for something to claim from these queues."""
        ...


TxFunction: TypeAlias = Callable[[Tx], Awaitable[T]]
"""A transaction's statements and decisions; it is run again if the first time was rolled back."""

Prepare: TypeAlias = Callable[[Tx], Awaitable[bool]]
"""What is run before anything else, once for each server that is met; returns whether there was
nothing to do."""


class Link(Protocol):
    """Access to one Postgres database.

    Raises `BrokerUnavailable` when the server does not answer in time, `BrokerUnusable` when
    somebody has to act, and `BrokerRefused` for what is in a call.
    """

    @property
    def shown(self) -> str:
        """Return the server and the database for messages, without a password."""
        ...

    @property
    def schema(self) -> str:
        """Return the name of the schema that the tables are in."""
        ...

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler gives each transaction another session, as far as is known."""
        ...

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` before the first call, and again after the server was lost."""
        ...

    async def open(self) -> None:
        """Connect, prepare, and ask the server for its time; raise at once where that fails."""
        ...

    async def close(self) -> None:
        """Disconnect; a later call connects again."""
        ...

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query: each statement sees a snapshot of its own, and locks nothing."""
        ...

    async def write(self, function: TxFunction[T]) -> T:
        """Run a transaction, and return its answer when it is committed."""
        ...

    async def subscribe(
        self, queues: Collection[str], kinds: Kinds, notify: Notify
    ) -> Subscription:
        """Notify of what is told here, and by other processes."""
        ...

    @property
    def time(self) -> Callable[[], Moment]:
        """Return the server's clock; before the first connection it is this machine's."""
        ...

    def blocking(self) -> "Link":
        """Return a link to the same database that never suspends."""
        ...

    def borrowing(self, source: Source) -> "Link":
        """Return a link to the same database that writes in the transaction of a caller's own."""
        ...


Statement: TypeAlias = tuple[str, Values]


class Session(Protocol):
    """A connection, in autocommit, as both colours have it."""

    async def execute(self, sql: str, values: Values | None = None) -> list[Row]:
        """Run a statement and return its rows; none where it has no result."""
        ...

    async def pipeline(self, statements: Sequence[Statement]) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether it is connected, idle, and in no transaction, as far as is known here."""
        ...


class OwnSession(Session, Protocol):
    """A connection of our own."""

    async def pipeline(
        self, statements: Sequence[Statement], behind: Statement | None = None
    ) -> list[Row]:
        """Run statements in one round trip, and return the rows of the last.

        `behind` is sent with them, and is run when what they did is committed, or undone; what
        becomes of it is not told.
        """
        ...
