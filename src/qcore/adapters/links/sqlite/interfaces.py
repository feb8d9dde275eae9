"""`Link` and `Tx`, the interfaces that the SQLite broker is written against."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from qcore.domain.new_task import TaskId
from qcore.domain.task import Lease
from qcore.ports import Kinds, Notify, Subscription

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
"""A row as SQLite answers it: int, float, str, bytes or None, in the order selected."""

Values: TypeAlias = Sequence[object] | Mapping[str, object]
"""The values bound to a statement's `?` or `:name`."""


class Tx(Protocol):
    """A transaction to run statements in."""

    @property
    def owns_file(self) -> bool:
        """Whether PRAGMAs may change the file: not inside a caller's own transaction."""
        ...

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run a statement and return all its rows."""
        ...

    def executemany(self, sql: str, values: Sequence[Values]) -> None:
        """Run a statement without rows, once for each of `values`."""
        ...


TxFunction: TypeAlias = Callable[[Tx], T]
"""A transaction's statements and decisions; it is run again if the first time was rolled back."""

FindEnded: TypeAlias = Callable[[], Iterable[Lease]]
"""Return which of the leases given in this process are over, by what the file says."""

Prepare: TypeAlias = Callable[[Tx], None]
"""What is run on a new connection before anything else, outside of a transaction."""

Merge: TypeAlias = Callable[[Tx], int]
"""Take over the tasks that only the attached database `lost` has; return how many there were."""


class Link(Protocol):
    """Access to one SQLite database.

    Raises `BrokerUnavailable` while it is locked for longer than the timeout, and `BrokerUnusable`
    when it stays so until somebody acts: a full disk, a missing permission, a damaged file.
    """

    @property
    def is_persistent(self) -> bool:
        """Whether the database is a file: it outlives the process, and others may open it."""
        ...

    @property
    def path(self) -> str:
        """Return the path of the file, or ":memory:"."""
        ...

    def on_connect(self, prepare: Prepare, merge: Merge | None = None) -> None:
        """Run `prepare` on each connection from now on, and `merge` after a log was lost."""
        ...

    async def open(self) -> None:
        """Connect now rather than at the first call."""
        ...

    async def close(self) -> None:
        """Disconnect when the calls in flight have ended; a later call connects again."""
        ...

    async def read(self, function: TxFunction[T]) -> T:
        """Run a query without a transaction: each statement sees a snapshot, and locks nothing."""
        ...

    async def write(
        self, function: TxFunction[T], precheck: TxFunction[T | None] | None = None
    ) -> T:
        """Run a transaction, and return its answer when it is on the disk.

        `precheck` runs first, as a read, without a lock. Unless it returns None, its answer is the
        answer, and `function` does not run.
        """
        ...

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell subscribers in this process that queues may have something new to claim."""
        ...

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell subscribers in this process which leases of a queue were ended."""
        ...

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell subscribers in this process which tasks ended, or whose progress changed."""
        ...

    def tell_of_entries(self, queues: Iterable[str]) -> None:
        """Tell subscribers in this process of which queues entries were written."""
        ...

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,
    ) -> Subscription:
        """Notify of what is told here, and after each write of another connection.

        `find_ended` finds which leases that connection has ended.
        """
        ...

    def blocking(self) -> "Link":
        """Return a link to the same database that never suspends."""
        ...
