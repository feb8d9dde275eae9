"""What is measured of the server in which all systems of a contest keep their tasks."""

from collections.abc import Callable
from typing import Protocol

from qcore.domain.record import record


@record
class Costs:
    """What the server has spent, and holds."""

    cpu_s: float
    size: int
    """Bytes: of memory in Redis, of the database in Postgres."""
    requests: int | None
    """None where the server does not tell at once."""


class Store(Protocol):
    """A running server, with one place in it that is emptied again and again."""

    url: str

    def serve(self, system: str, prepare: Callable[[], object]) -> None:
        """Be for one system until the next call; `prepare` makes the tables that it needs."""
        ...

    def flush(self) -> None:
        """Remove all tasks."""
        ...

    def version(self) -> str:
        """Return what runs, and how durable it is."""
        ...

    def costs(self) -> Costs:
        """Return what the server has spent by now."""
        ...
