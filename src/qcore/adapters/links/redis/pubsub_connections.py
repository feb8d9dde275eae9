"""Connections on which messages come that nobody asked for each."""

from typing import Protocol

from qcore.adapters.links.redis.pool import AwaitingConnection, BlockingConnection
from qcore.adapters.links.redis.resp import Reply, Word, packed


class Line(Protocol):
    """A connection on which messages come; it connects when something is sent."""

    async def send(self, *words: Word) -> None:
        """Send a command."""
        ...

    async def next(self, seconds: float | None = None) -> Reply:
        """Return what comes next, or None where nothing does in so many seconds.

        Raises `TimeoutError` after as long as an answer may take, if no number is given.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class AwaitingLine:
    """A line over a connection that awaits."""

    def __init__(self, connection: AwaitingConnection) -> None:
        self._connection = connection

    async def send(self, *words: Word) -> None:
        await self._connection.send_packed_command(packed([words]), check_health=False)

    async def next(self, seconds: float | None = None) -> Reply:
        return await self._connection.read_response(timeout=seconds)

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


class BlockingLine:
    """A line over a connection that blocks."""

    def __init__(self, connection: BlockingConnection) -> None:
        self._connection = connection

    async def send(self, *words: Word) -> None:
        self._connection.send_packed_command(packed([words]), check_health=False)

    async def next(self, seconds: float | None = None) -> Reply:
        if seconds is None or self._connection.can_read(timeout=seconds):
            return self._connection.read_response()
        return None

    async def close(self) -> None:
        self._connection.disconnect()
