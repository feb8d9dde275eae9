"""The connections of one event loop to one server: those in use are counted, the idle ones kept."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from qcore.adapters.links.redis.connection_base import AsyncConnection

MAX_IDLE: Final = 16
"""Idle connections that are kept, per event loop or process."""


class LoopConnections:
    """The connections of one loop, with a semaphore: asyncio's takes 2 of a command's 90 µs."""

    def __init__(self) -> None:
        self.idle: deque[AsyncConnection] = deque()
        self.in_use = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left: list[deque[AsyncConnection]] = []
        self._closing: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Have idle connections closed, and those in use when they come back; from any thread."""
        left, self.idle = self.idle, deque()
        self._left.append(left)

    def close_soon(self) -> None:
        """Close in a task what was left."""
        self._closing = asyncio.get_running_loop().create_task(self.close_left(nowait=True))

    async def close_left(self, *, nowait: bool) -> None:
        """Close what was left."""
        while self._left:
            left = self._left.pop()
            while left:
                # connections of a closed loop cannot be told any more
                with suppress(RuntimeError):
                    await left.pop().disconnect(nowait=nowait)

    async def wait_for_turn(self) -> None:
        """Wait until a connection may have become free."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                # cancelled when it was already this one's turn: the next one has it instead
                self._wake_next()
            raise

    async def give_back(self, connection: AsyncConnection, idle: deque[AsyncConnection]) -> None:
        """Keep a connection with the idle ones that it was taken from, if these are not left."""
        if idle is self.idle and len(idle) < MAX_IDLE:
            idle.append(connection)
            self.release()
        else:
            await self.drop(connection)

    async def drop(self, connection: AsyncConnection) -> None:
        """Close a connection that was in use."""
        try:
            await connection.disconnect(nowait=True)
        finally:
            self.release()

    def release(self) -> None:
        """Count one connection less in use."""
        self.in_use -= 1
        if self._waiting:
            self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
