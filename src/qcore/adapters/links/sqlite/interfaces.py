"""What a link offers to the broker above it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from qcore.domain.new_task import TaskId
from qcore.domain.task import Lease
from qcore.ports import Kinds, Notify, Subscription

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
"""A row as SQLite answers it: int, float, str, bytes or None, in the order selected."""

Values: TypeAlias = Sequence[object] | Mapping[str, object]
"""What a statement's `?` or `:name` stand for."""


class Tx(Protocol):
    """A transaction to run statements in."""

    @property
    def owns_file(self) -> bool:
        """Whether the file is ours to shape: false inside a caller's own transaction."""
        ...

    def execute(self, sql: str, values: Values = ()) -> list[Row]:
        """Run a statement and return all its rows."""
        ...

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        """Run a statement that answers nothing, once for each of `values`."""
        ...


Act: TypeAlias = Callable[[Tx], T]
"""What to do in a transaction. It may be run again if the first time was undone."""

FindEnded: TypeAlias = Callable[[], Iterable[Lease]]
"""Return which of the leases given in this process are over, as the file says."""

Prepare: TypeAlias = Callable[[Tx], None]
"""What to do with a connection before anything else, outside of a transaction."""


class Link(Protocol):
    """A way to one SQLite database.

    Raises `BrokerUnavailable` when it stays locked, `BrokerUnusable` when somebody has to act.
    """

    @property
    def lasting(self) -> bool:
        """Whether the database is a file: it outlives the process, and others may open it."""
        ...

    @property
    def path(self) -> str:
        """Return where the file is, or what stands for a database in memory."""
        ...

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` on each connection that is made from now on."""
        ...

    async def open(self) -> None:
        """Connect now rather than at the first call."""
        ...

    async def close(self) -> None:
        """Disconnect when the calls in flight have ended; a later call connects again."""
        ...

    async def read(self, act: Act[T]) -> T:
        """Run one query; a statement is a snapshot of its own, and makes nobody wait."""
        ...

    async def write(self, act: Act[T], look: Act[T | None] | None = None) -> T:
        """Run a transaction, and return its answer when it is on the disk.

        `look` runs first and takes no lock: what it answers is the answer, unless it is None.
        """
        ...

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell subscribers in this process that queues may have something new to claim."""
        ...

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell subscribers in this process which leases of a queue were ended."""
        ...

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell subscribers in this process which tasks have ended or got on."""
        ...

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,
    ) -> Subscription:
        """Notify of what is told, and of anything once another connection has written.

        `find_ended` finds which leases that connection has ended.
        """
        ...

    def blocking(self) -> "Link":
        """Return a link to the same database that never suspends."""
        ...
