"""Connections that receive messages: replies that arrive without having been asked for."""

from collections.abc import Callable
from typing import Protocol

from redis.exceptions import TimeoutError as RedisTimeoutError

from qcore.adapters.links.redis.async_connection import AsyncSocketConnection
from qcore.adapters.links.redis.connection_base import AsyncConnection, SyncConnection
from qcore.adapters.links.redis.resp import Arg, Reply, encode


class PubSubConnection(Protocol):
    """A connection that is subscribed to channels."""

    async def send(self, *args: Arg) -> None:
        """Send a command."""
        ...

    async def receive(self, seconds: float | None = None) -> Reply:
        """Return the next message or reply, None where none arrives in so many seconds.

        Without a number of seconds, raises `TimeoutError` after the connection's timeout.
        """
        ...

    async def deliver(self, call: Callable[[Reply], bool], seconds: float) -> None:
        """Call with each message or reply until it returns False, or none came in so many seconds.

        Raises what the connection or the call raises.
        """
        while (reply := await self.receive(seconds)) is not None and call(reply):
            pass

    async def close(self) -> None:
        """Disconnect."""
        ...


class AsyncPubSubConnection(PubSubConnection):
    """Over an asynchronous connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def send(self, *args: Arg) -> None:
        await self._connection.send_packed_command(encode([args]), check_health=False)

    async def receive(self, seconds: float | None = None) -> Reply:
        return await self._connection.read_response(timeout=seconds)

    async def deliver(self, call: Callable[[Reply], bool], seconds: float) -> None:
        if isinstance(self._connection, AsyncSocketConnection):
            await self._connection.deliver(call, seconds)
        else:
            await super().deliver(call, seconds)

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


class SyncPubSubConnection(PubSubConnection):
    """Over a blocking connection."""

    def __init__(self, connection: SyncConnection) -> None:
        self._connection = connection

    async def send(self, *args: Arg) -> None:
        self._connection.send_packed_command(encode([args]), check_health=False)

    async def receive(self, seconds: float | None = None) -> Reply:
        if seconds is None:
            return self._connection.read_response()
        # not `can_read`, which in redis-py 8.0 uses `select`, limited to 1,024 descriptors
        try:
            return self._connection.read_response(timeout=seconds, disconnect_on_error=False)
        except RedisTimeoutError:
            return None

    async def close(self) -> None:
        self._connection.disconnect()
