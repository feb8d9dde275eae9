"""A pool of sessions: at most so many at a time, made when they are needed, the last used first.

Those that were opened for one event loop serve any other, as a session is used by one call at a
time. A forked child starts with none: its parent goes on with those there are.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from threading import BoundedSemaphore
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary, finalize

from qcore.adapters.links.postgres.sessions import AsyncSession, SyncSession
from qcore.domain.errors import BrokerUnavailable

AnySession = AsyncSession | SyncSession

_left_to_parents: Final[list[Any]] = []
"""Sessions of a parent process: to be rid of them would end them for it, too."""


class Gate(Protocol):
    """Lets so many pass, and the next when one has left."""

    async def enter(self, seconds: float) -> bool:
        """Wait for a place, at most so many seconds; return whether there is one."""
        ...

    def leave(self) -> None:
        """Give the place back."""
        ...


class SyncGate:
    """Blocks."""

    def __init__(self, places: int) -> None:
        self._semaphore = BoundedSemaphore(places)

    async def enter(self, seconds: float) -> bool:
        """Wait for a place, at most so many seconds; return whether there is one."""
        return self._semaphore.acquire(timeout=max(0.0, seconds))

    def leave(self) -> None:
        """Give the place back."""
        self._semaphore.release()


class AsyncGate:
    """Awaits, and has so many places for each event loop."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    async def enter(self, seconds: float) -> bool:
        """Wait for a place, at most so many seconds; return whether there is one."""
        loop = asyncio.get_running_loop()
        semaphore = self._semaphores.get(loop)
        if semaphore is None:
            semaphore = self._semaphores[loop] = asyncio.Semaphore(self._places)
        if not semaphore.locked():
            return await semaphore.acquire()
        try:
            async with asyncio.timeout(seconds):
                return await semaphore.acquire()
        except TimeoutError:
            return False

    def leave(self) -> None:
        """Give the place back."""
        self._semaphores[asyncio.get_running_loop()].release()


class Pool:
    """Sessions; `connect` makes one."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[AnySession]],
        make_gate: Callable[[], Gate],
        shown: str,
    ) -> None:
        self._connect = connect
        self._make_gate = make_gate
        self._gate = make_gate()
        self._shown = shown
        self._idle: list[AnySession] = []
        finalize(self, _close_all, self._idle, os.getpid())
        self._generation = 0
        self._generations: dict[int, int] = {}
        self._pid = os.getpid()

    async def acquire(self, seconds: float) -> AnySession:
        """Return a session, which is the caller's until it is released.

        Raises `BrokerUnavailable` if all are in use for so many seconds.
        """
        if self._pid != os.getpid():
            self._start_anew()
        if not await self._gate.enter(seconds):
            raise BrokerUnavailable(
                f"{self._shown}: all connections were in use for {seconds:.3g} seconds: give the "
                "URL the option `connections`, with a greater number"
            )
        try:
            session = self._take_idle()
            if session is None:
                generation = self._generation
                session = await self._connect()
                self._generations[id(session)] = generation
        except BaseException:
            self._gate.leave()
            raise
        return session

    def _take_idle(self) -> AnySession | None:
        while self._idle:
            try:
                session = self._idle.pop()
            except IndexError:
                return None
            if session.is_usable:
                return session
            self._close(session)
        return None

    def release(self, session: AnySession) -> None:
        """Take a session back; close it if it cannot be used again, or its server was left."""
        if session.is_usable and self._generations.get(id(session)) == self._generation:
            self._idle.append(session)
        else:
            self._close(session)
        self._gate.leave()

    def leave(self) -> None:
        """Close all sessions: idle ones at once, the others when they are released."""
        self._generation += 1
        while self._idle:
            self._close(self._idle.pop())

    def _close(self, session: AnySession) -> None:
        self._generations.pop(id(session), None)
        session.close()

    def _start_anew(self) -> None:
        _left_to_parents.extend(self._idle)
        self._idle, self._generations = [], {}
        finalize(self, _close_all, self._idle, os.getpid())
        self._gate = self._make_gate()
        self._pid = os.getpid()


def _close_all(sessions: list[AnySession], pid: int) -> None:
    """Close the sessions of a pool that nobody has any more, or when the process ends."""
    while sessions and pid == os.getpid():
        sessions.pop().close()
