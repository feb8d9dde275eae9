"""What carries commands to Redis: connections that await or that block, in a pool."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError

from qcore.adapters.links.redis.resp import Command, Reply, packed, pieces

Request: TypeAlias = tuple[str | None, Command]
"""A command, and a key of those it touches: None for one that any node may answer."""


class Requests(Protocol):
    """Requests in order; one may be made when it is asked for."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Request]: ...


MOST_FREE: Final = 16
"""Connections kept for later, each loop or process its own."""
MOST_IN_USE: Final = 64
"""Connections of one loop that commands are on their way on: who comes then waits for one."""
LOST: Final = (Disconnected, ConnectionError)
"""What a server that leaves does to all connections at once."""


class Wire(Protocol):
    """A way for commands to get there and answers to come back."""

    async def exchange(self, requests: Requests, into: list[Reply | Exception]) -> None:
        """Send commands all at once; put answers, or errors as answers, into a list in order.

        Each is asked for when those ahead of it, if they are large, are on their way.
        Raises what the connection raises; what has come until then is in the list.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""
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

    async def send(self, requests: Requests) -> Channel:
        """Send commands; return what brings the answers."""
        ...


class BlockingConnection(Protocol):
    """What is used of redis-py's connections that block."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None: ...
    def can_read(self, timeout: float) -> bool: ...
    def read_response(self) -> Reply: ...


class AwaitingConnection(Protocol):
    """What is used of connections that await; one that is not connected connects to send.

    With a `timeout` in seconds, None stands for an answer that does not come before.
    """

    async def disconnect(self, *, nowait: bool) -> None: ...
    async def send_packed_command(
        self, command: Iterable[bytes], *, check_health: bool
    ) -> None: ...
    async def read_response(self, *, timeout: float | None = None) -> Reply: ...  # noqa: ASYNC109


def _packed(requests: Requests) -> Iterable[bytes]:
    if len(requests) == 1:
        ((_, command),) = requests
        return packed([command])
    return pieces(command for _, command in requests)


class BlockingPool:
    """Connections that block, used by any number of threads."""

    def __init__(self, make: Callable[[], BlockingConnection]) -> None:
        self._make = make
        self._free: deque[BlockingConnection] = deque()
        self._process = os.getpid()

    async def exchange(self, requests: Requests, into: list[Reply | Exception]) -> None:
        # not by `send`: whatever is on the way of a lone command costs
        self._receive(self._send(requests), len(requests), into)

    async def send(self, requests: Requests) -> "_BlockingChannel":
        return _BlockingChannel(self._send(requests), len(requests), self._receive)

    def _send(self, requests: Requests) -> BlockingConnection:
        connection = self._take()
        try:
            connection.send_packed_command(_packed(requests), check_health=False)
        except BaseException as error:
            _lose(connection, self._free, error)
            raise
        return connection

    def _receive(
        self, connection: BlockingConnection, number: int, into: list[Reply | Exception]
    ) -> None:
        try:
            for _ in range(number):
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

    async def close(self) -> None:
        while self._free:
            self._free.pop().disconnect()


class _BlockingChannel:
    def __init__(
        self,
        connection: BlockingConnection,
        number: int,
        receive: Callable[[BlockingConnection, int, list[Reply | Exception]], None],
    ) -> None:
        self._connection = connection
        self._number = number
        self._receive = receive

    async def receive(self, into: list[Reply | Exception]) -> None:
        self._receive(self._connection, self._number, into)

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
        self._harbours: dict[asyncio.AbstractEventLoop, _Harbour] = {}

    async def exchange(self, requests: Requests, into: list[Reply | Exception]) -> None:
        channel = await self.send(requests)
        await channel.receive(into)

    async def send(self, requests: Requests) -> "_AsyncChannel":
        here = self._harbours.get(asyncio.get_running_loop())
        if here is None:
            here = await self._first_here()
        while here.out >= MOST_IN_USE:
            await here.room()
        here.out += 1
        free = here.free
        try:
            connection = free.pop() if free else self._make()
            try:
                await connection.send_packed_command(_packed(requests), check_health=False)
            except BaseException as error:
                await _lose_too(connection, free, error)
                raise
        except BaseException:
            here.leave()
            raise
        return _AsyncChannel(here, connection, len(requests))

    async def _first_here(self) -> "_Harbour":
        """Return where this loop keeps its connections; close those of loops that were closed."""
        for loop in list(self._harbours):
            if loop.is_closed():
                gone = self._harbours.pop(loop, None)
                await _closed(deque() if gone is None else gone.free)
        return self._harbours.setdefault(asyncio.get_running_loop(), _Harbour())

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        free = (await self._first_here()).free
        while free:
            await free.pop().disconnect(nowait=False)


class _Harbour:
    """The connections of one loop: a semaphore takes 2 of the 90 µs of a lone command."""

    def __init__(self) -> None:
        self.free: deque[AwaitingConnection] = deque()
        self.out = 0
        """How many commands are on their way on."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def room(self) -> None:
        """Wait until there may be room for one more."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                # it was this one's turn: let the next have it
                self._call_next()
            raise

    def leave(self) -> None:
        """Make room."""
        self.out -= 1
        self._call_next()

    def _call_next(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class _AsyncChannel:
    def __init__(self, here: _Harbour, connection: AwaitingConnection, number: int) -> None:
        self._here = here
        self._connection = connection
        self._number = number

    async def receive(self, into: list[Reply | Exception]) -> None:
        connection, free = self._connection, self._here.free
        try:
            for _ in range(self._number):
                try:
                    into.append(await connection.read_response())
                except ResponseError as error:
                    into.append(error)
        except BaseException as error:
            await _lose_too(connection, free, error)
            raise
        else:
            if len(free) < MOST_FREE:
                free.append(connection)
            else:
                await connection.disconnect(nowait=True)
        finally:
            self._here.leave()

    async def abandon(self) -> None:
        try:
            await self._connection.disconnect(nowait=True)
        finally:
            self._here.leave()


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
