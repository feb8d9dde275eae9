"""Connection pools: each to one server, asynchronous (per event loop) or blocking (per process).

A pool keeps its idle connections in a deque, and puts a new one in its place when it leaves its
server (`leave`). A connection in use remembers the deque that it belongs to, and is closed when it
comes back to find another: so no connection outlives the decision to leave, whoever holds it.

A `Transport` is anything that takes commands to Redis and brings the replies: a pool, a master
that Sentinels name (`sentinel`), a cluster (`cluster`).
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from redis.exceptions import ResponseError

from qcore.adapters.links.redis.address import HostPort
from qcore.adapters.links.redis.connection_base import (
    AsyncConnection,
    SyncConnection,
    connecting,
)
from qcore.adapters.links.redis.loop_connections import MAX_IDLE, LoopConnections
from qcore.adapters.links.redis.resp import RedisCommand, Reply, encode_batched, encoded

Request: TypeAlias = tuple[str | None, RedisCommand | bytes]
"""A command, encoded or not, and one of its keys: None for one that any node of a cluster may
answer."""


class Requests(Protocol):
    """Requests in order; each may be made only when it is taken."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Request]: ...


MAX_IN_USE: Final = 64
"""Connections in use per event loop: further callers wait for one."""


class Transport(Protocol):
    """A way for commands to reach Redis and for replies to come back."""

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        """Send all commands in one pipeline; append the replies in order.

        Error replies are appended as exceptions. Raises what the connection raises; replies that
        arrived before that are in the list. A request is taken once the buffers of those before it
        are on their way.
        """
        ...

    async def ask(self, request: Request) -> Reply | Exception:
        """Send one command; return its reply, an error reply as an exception."""
        replies: list[Reply | Exception] = []
        await self.exchange([request], replies)
        return replies[0]

    async def locate(self, key: str) -> HostPort | None:
        """Return the server that serves a key, None where there is only one; raise as `exchange`.

        The answer is as new as it can be: a master's address is asked for again.
        """
        ...

    def leave(self, at: HostPort | None = None) -> None:
        """Forget where servers are, and close connections: idle ones now, the others after use.

        `at` is the server to leave; None for the only one, or those that have failed an exchange.
        May be called from any thread.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        ...

    async def close(self) -> None:
        """Close idle connections, and those in use after use."""
        ...


class PendingReplies(Protocol):
    """A connection that commands were sent on, and whose replies were not read yet."""

    async def receive(self, replies: list[Reply | Exception]) -> None:
        """Append the replies in order."""
        ...

    async def abandon(self) -> None:
        """Close the connection, and the replies with it."""
        ...


class Pool(Transport, Protocol):
    """A transport to one server, whose replies can be read later than commands are sent."""

    async def send(self, requests: Requests) -> PendingReplies:
        """Send commands in one pipeline."""
        ...


def _encoded(requests: Requests) -> Iterable[bytes]:
    if len(requests) == 1:
        ((_, command),) = requests
        return (encoded(command),)
    return encode_batched(command for _, command in requests)


class SyncPool:
    """Blocking connections, shared by any number of threads."""

    def __init__(self, make: Callable[[], SyncConnection]) -> None:
        self._make = make
        self._idle: deque[SyncConnection] = deque()
        self._process = os.getpid()

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        pending = await self.send(requests)
        await pending.receive(replies)

    async def ask(self, request: Request) -> Reply | Exception:
        # not by `exchange`: a lone command pays for each object on its way
        idle = self._idle
        connection = self._take()
        try:
            connection.send_packed_command((encoded(request[1]),), check_health=False)
            try:
                reply = connection.read_response()
            except ResponseError as error:
                reply = error
        except BaseException:
            connection.disconnect()
            raise
        self.give_back(connection, idle)
        return reply

    async def send(self, requests: Requests) -> "_SyncPendingReplies":
        idle = self._idle
        connection = self._take()
        try:
            connection.send_packed_command(_encoded(requests), check_health=False)
        except BaseException:
            connection.disconnect()
            raise
        return _SyncPendingReplies(self, idle, connection, len(requests))

    def give_back(self, connection: SyncConnection, idle: deque[SyncConnection]) -> None:
        """Keep a connection whose replies were read with the idle ones, where it was taken from."""
        if len(idle) < MAX_IDLE:
            idle.append(connection)
            if idle is not self._idle:
                # the server was left meanwhile, perhaps by another thread just now
                _close_all(idle)
        else:
            connection.disconnect()

    def _take(self) -> SyncConnection:
        if self._process != os.getpid():
            # in a forked child: the connections are the parent's, which does not notice that the
            # child closes its copies
            self._process = os.getpid()
            _close_all(self._idle)
        try:
            return self._idle.pop()
        except IndexError:
            return self._connected()

    def _connected(self) -> SyncConnection:
        connection = self._make()
        try:
            with connecting():
                connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection

    async def locate(self, key: str) -> HostPort | None:  # noqa: ARG002  (one server has all keys)
        return None

    def leave(self, at: HostPort | None = None) -> None:  # noqa: ARG002  (there is only one)
        left, self._idle = self._idle, deque()
        _close_all(left)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  (to block is its purpose)

    async def close(self) -> None:
        self.leave()


class _SyncPendingReplies:
    def __init__(
        self,
        pool: SyncPool,
        idle: deque[SyncConnection],
        connection: SyncConnection,
        number: int,
    ) -> None:
        self._pool = pool
        self._idle = idle
        self._connection = connection
        self._number = number

    async def receive(self, replies: list[Reply | Exception]) -> None:
        try:
            for _ in range(self._number):
                try:
                    replies.append(self._connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            self._connection.disconnect()
            raise
        self._pool.give_back(self._connection, self._idle)

    async def abandon(self) -> None:
        self._connection.disconnect()


def _close_all(idle: deque[SyncConnection]) -> None:
    while idle:
        # another thread may have taken the last one
        with suppress(IndexError):
            idle.pop().disconnect()


class AsyncPool:
    """Asynchronous connections; each event loop has its own."""

    def __init__(self, make: Callable[[], AsyncConnection]) -> None:
        self._make = make
        self._loops: dict[asyncio.AbstractEventLoop, LoopConnections] = {}

    async def exchange(self, requests: Requests, replies: list[Reply | Exception]) -> None:
        pending = await self.send(requests)
        await pending.receive(replies)

    async def ask(self, request: Request) -> Reply | Exception:
        # not by `exchange`, as in `SyncPool`
        here, idle, connection = await self._take()
        try:
            await connection.send_packed_command((encoded(request[1]),), check_health=False)
            try:
                reply = await connection.read_response()
            except ResponseError as error:
                reply = error
        except BaseException:
            await here.drop(connection)
            raise
        await here.give_back(connection, idle)
        return reply

    async def send(self, requests: Requests) -> "_AsyncPendingReplies":
        here, idle, connection = await self._take()
        try:
            await connection.send_packed_command(_encoded(requests), check_health=False)
        except BaseException:
            await here.drop(connection)
            raise
        return _AsyncPendingReplies(here, idle, connection, len(requests))

    async def _take(self) -> tuple[LoopConnections, deque[AsyncConnection], AsyncConnection]:
        here = self._loops.get(asyncio.get_running_loop())
        if here is None:
            here = await self._enter_loop()
        while here.in_use >= MAX_IN_USE:
            await here.wait_for_turn()
        here.in_use += 1
        idle = here.idle
        try:
            return here, idle, idle.pop() if idle else await self._connected()
        except BaseException:
            here.release()
            raise

    async def _connected(self) -> AsyncConnection:
        connection = self._make()
        try:
            with connecting():
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _enter_loop(self) -> LoopConnections:
        """Return the running loop's connections; close those of loops that were closed."""
        for loop in list(self._loops):
            if loop.is_closed():
                gone = self._loops.pop(loop, None)
                if gone is not None:
                    gone.leave()
                    await gone.close_left(nowait=True)
        return self._loops.setdefault(asyncio.get_running_loop(), LoopConnections())

    async def locate(self, key: str) -> HostPort | None:  # noqa: ARG002  (one server has all keys)
        return None

    def leave(self, at: HostPort | None = None) -> None:  # noqa: ARG002  (there is only one)
        for loop, here in list(self._loops.items()):
            here.leave()
            # a connection is closed on its own loop; for one that was closed see `_enter_loop`
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(here.close_soon)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        here = await self._enter_loop()
        here.leave()
        await here.close_left(nowait=False)


class _AsyncPendingReplies:
    def __init__(
        self,
        here: LoopConnections,
        idle: deque[AsyncConnection],
        connection: AsyncConnection,
        number: int,
    ) -> None:
        self._here = here
        self._idle = idle
        self._connection = connection
        self._number = number

    async def receive(self, replies: list[Reply | Exception]) -> None:
        try:
            for _ in range(self._number):
                try:
                    replies.append(await self._connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            await self.abandon()
            raise
        await self._here.give_back(self._connection, self._idle)

    async def abandon(self) -> None:
        await self._here.drop(self._connection)
