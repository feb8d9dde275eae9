"""Finding the driver's connection in what an application calls a connection.

Applications have sessions and connections of SQLAlchemy, or the connection that Django gives them.
Neither is imported here: who has one of their objects has the package.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol, TypeAlias

from qcore.domain.errors import InvalidOption

Source: TypeAlias = Callable[[], Awaitable[Any]]
"""Returns the driver's connection that is to be used now."""


class AwaitedConnection(Protocol):
    """A connection or a session whose transaction is committed with `await`."""

    async def commit(self) -> Any:
        """Commit."""
        ...


class BlockingConnection(Protocol):
    """A connection or a session whose transaction is committed by a plain call."""

    def commit(self) -> None:
        """Commit."""
        ...


EXPECTED: Final = (
    "expected a psycopg connection, a Session, AsyncSession, Connection or AsyncConnection of "
    "SQLAlchemy, or the connection of Django"
)


def driver_connection(given: Any) -> Any:
    """Return the driver's connection of what blocks; what has none is returned as it is."""
    if _is_of(given, "sqlalchemy"):
        session: Any = given() if hasattr(given, "registry") else given
        # a Session has a Connection, and that has the pool's
        connection: Any = session.connection() if callable(session.connection) else session
        return connection.connection.driver_connection
    if hasattr(given, "ensure_connection"):
        # Django makes its connection when it is first used
        given.ensure_connection()
        return given.connection
    return given


async def awaited_driver_connection(given: Any) -> Any:
    """Return the same of what awaits."""
    if not _is_of(given, "sqlalchemy"):
        return given
    connection = await given.connection() if hasattr(given, "sync_session") else given
    pooled = await connection.get_raw_connection()
    return pooled.driver_connection


def is_awaited(given: Any) -> bool:
    """Return whether what an application has is used with `await`."""
    return iscoroutinefunction(getattr(given, "commit", None))


def source_of(given: Any) -> Source:
    """Return what finds the driver's connection of either kind, when it is to be used."""
    if is_awaited(given):
        return partial(awaited_driver_connection, given)

    async def found() -> Any:
        return driver_connection(given)

    return found


def _is_of(given: Any, package: str) -> bool:
    return any(each.__module__.partition(".")[0] == package for each in type(given).__mro__)


def not_usable(connection: object, expected: str = EXPECTED) -> InvalidOption:
    """Return the error for a connection of another driver."""
    kind = type(connection)
    return InvalidOption(f"the connection is a {kind.__module__}.{kind.__qualname__}: {expected}")
