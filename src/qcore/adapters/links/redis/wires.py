"""What carries commands to Redis: connections that await or that block, in a pool."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError

from qcore.adapters.links.redis.words import Command, Reply, packed

Request: TypeAlias = tuple[str | None, Command]
"""A command, and a key of those it touches: None for one that any node may answer."""

MOST_FREE: Final = 16
"""Connections kept for later, each loop or process its own."""
MOST_IN_USE: Final = 64
"""Connections of one loop that commands are on their way on: who comes then waits for one."""
LOST: Final = (Disconnected, ConnectionError)
"""What a server that leaves does to all connections at once."""


class Wire(Protocol):
    """A way for commands to get there and answers to come back."""

    async def exchange(self, requests: Sequence[Request], into: list[Reply | Exception]) -> None:
        """Send commands all at once; put answers, or errors as answers, into a list in order.

        Raises what the connection raises; what has come until then is in the list.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""
        ...

    async def comes(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event from another thread; return whether it came."""
        ...

    async def close(self) -> None:
        """Close what is not in use."""
        ...


class Channel(Protocol):
    """A connection on which commands are on their way."""

    async def receive(self, into: list[Reply | Exception]) -> None:
        """Put the answers into a list in order."""
        ...

    async def abandon(self) -> None:
        """Let the answers go, and the connection with them."""
        ...


class Pool(Wire, Protocol):
    """A wire to one server."""

    async def send(self, commands: Sequence[Command]) -> Channel:
        """Send commands; return what brings the answers."""
        ...


class BlockingConnection(Protocol):
    """What is used of redis-py's connections that block."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None: ...
    def can_read(self, timeout: float) -> bool: ...
    def read_response(self) -> Reply: ...


class AwaitingConnection(Protocol):
    """What is used of redis-py's connections that await."""

    async def connect(self) -> None: ...
    async def disconnect(self, *, nowait: bool) -> None: ...
    async def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None: ...
    async def read_response(self) -> Reply: ...


class BlockingPool:
    """Connections that block, used by any number of threads."""

    def __init__(self, make: Callable[[], BlockingConnection]) -> None:
        self._make = make
        self._free: deque[BlockingConnection] = deque()
        self._process = os.getpid()

    async def exchange(self, requests: Sequence[Request], into: list[Reply | Exception]) -> None:
        channel = await self.send([command for _, command in requests])
        await channel.receive(into)

    async def send(self, commands: Sequence[Command]) -> "_BlockingChannel":
        connection = self._take()
        try:
            connection.send_packed_command(packed(commands), check_health=False)
        except BaseException as error:
            _lose(connection, self._free, error)
            raise
        return _BlockingChannel(self._free, connection, len(commands))

    def _take(self) -> BlockingConnection:
        if self._process != os.getpid():
            # the child of a fork: the connections are its parent's, who does not notice that the
            # child closes its copies
            self._process = os.getpid()
            while self._free:
                self._free.pop().disconnect()
        try:
            return self._free.pop()
        except IndexError:
            return self._make()

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  (to block is its purpose)

    async def comes(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)

    async def close(self) -> None:
        while self._free:
            self._free.pop().disconnect()


class _BlockingChannel:
    def __init__(
        self, free: deque[BlockingConnection], connection: BlockingConnection, number: int
    ) -> None:
        self._free = free
        self._connection = connection
        self._number = number

    async def receive(self, into: list[Reply | Exception]) -> None:
        connection = self._connection
        try:
            for _ in range(self._number):
                try:
                    into.append(connection.read_response())
                except ResponseError as error:
                    into.append(error)
        except BaseException as error:
            _lose(connection, self._free, error)
            raise
        if len(self._free) < MOST_FREE:
            self._free.append(connection)
        else:
            connection.disconnect()

    async def abandon(self) -> None:
        self._connection.disconnect()


def _lose(
    connection: BlockingConnection, free: deque[BlockingConnection], error: BaseException
) -> None:
    """Close a connection, and where it was lost those not in use: they are as old."""
    connection.disconnect()
    while free and isinstance(error, LOST):
        with suppress(IndexError):
            free.pop().disconnect()


class AsyncPool:
    """Connections that await, each event loop its own."""

    def __init__(self, make: Callable[[], AwaitingConnection]) -> None:
        self._make = make
        self._free: dict[asyncio.AbstractEventLoop, deque[AwaitingConnection]] = {}
        self._rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    async def exchange(self, requests: Sequence[Request], into: list[Reply | Exception]) -> None:
        channel = await self.send([command for _, command in requests])
        await channel.receive(into)

    async def send(self, commands: Sequence[Command]) -> "_AsyncChannel":
        loop = asyncio.get_running_loop()
        free = self._free.get(loop)
        if free is None:
            free = await self._first_here()
        room = self._rooms[loop]
        await room.acquire()
        try:
            connection = free.pop() if free else self._make()
            try:
                await connection.connect()
                await connection.send_packed_command(packed(commands), check_health=False)
            except BaseException as error:
                await _lose_too(connection, free, error)
                raise
        except BaseException:
            room.release()
            raise
        return _AsyncChannel(free, connection, len(commands), room)

    async def _first_here(self) -> deque[AwaitingConnection]:
        """Return where this loop keeps its connections; close those of loops that were closed."""
        for loop in list(self._free):
            if loop.is_closed():
                await _closed(self._free.pop(loop, deque()))
        here = asyncio.get_running_loop()
        self._rooms.setdefault(here, asyncio.Semaphore(MOST_IN_USE))
        return self._free.setdefault(here, deque())

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def comes(self, event: threading.Event, seconds: float) -> bool:
        return await asyncio.to_thread(event.wait, seconds)

    async def close(self) -> None:
        free = await self._first_here()
        while free:
            await free.pop().disconnect(nowait=False)


class _AsyncChannel:
    def __init__(
        self,
        free: deque[AwaitingConnection],
        connection: AwaitingConnection,
        number: int,
        room: asyncio.Semaphore,
    ) -> None:
        self._free = free
        self._connection = connection
        self._number = number
        self._room = room

    async def receive(self, into: list[Reply | Exception]) -> None:
        connection = self._connection
        try:
            for _ in range(self._number):
                try:
                    into.append(await connection.read_response())
                except ResponseError as error:
                    into.append(error)
        except BaseException as error:
            await _lose_too(connection, self._free, error)
            raise
        else:
            if len(self._free) < MOST_FREE:
                self._free.append(connection)
            else:
                await connection.disconnect(nowait=True)
        finally:
            self._room.release()

    async def abandon(self) -> None:
        try:
            await self._connection.disconnect(nowait=True)
        finally:
            self._room.release()


async def _lose_too(
    connection: AwaitingConnection, free: deque[AwaitingConnection], error: BaseException
) -> None:
    """Close a connection that awaits, and where it was lost those not in use."""
    await connection.disconnect(nowait=True)
    while free and isinstance(error, LOST):
        await free.pop().disconnect(nowait=True)


async def _closed(free: deque[AwaitingConnection]) -> None:
    """Close connections whose loop was closed: it cannot be told any more."""
    while free:
        with suppress(RuntimeError):
            await free.pop().disconnect(nowait=True)
