"""Read what is shown once a second, never two readings at once; an outage is told, and ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top.counting import CountingBroker

SHARE: Final = 9.0
"""How many times as long as a reading took it rests: a slow store is busy for a tenth of the time
with it, at most."""
UNREACHABLE: Final = (BrokerUnavailable, BrokerUnusable, OSError)
AGAIN: Final = 1.0
"""Seconds from an outage that was noticed to the next reading."""


@record
class Outage:
    """A store that does not answer."""

    since: Moment
    error: str


class Refresher:
    """Calls `read` again and again, which returns after how many seconds it wants to be called."""

    def __init__(
        self, store: Store, broker: CountingBroker, read: Callable[[], Awaitable[float]]
    ) -> None:
        self._store = store
        self._broker = broker
        self._read = read
        self._wanted = asyncio.Event()
        self._is_reading = False
        self.is_held = False
        """Whether it reads only what it is asked to."""
        self.outage: Outage | None = None
        self.calls = 0
        """Calls to the store that the last reading took."""
        self.seconds = 0.0
        """How long it took."""

    @property
    def is_idle(self) -> bool:
        """Return whether it neither reads nor is asked to."""
        return not (self._is_reading or self._wanted.is_set())

    def ask(self) -> None:
        """Have it read now; while it reads, once more after that."""
        self._wanted.set()

    async def run(self, told: Callable[[], None]) -> None:
        """Read until it is cancelled; `told` is called after each reading."""
        while True:
            self._is_reading = True
            self._wanted.clear()
            every = await self._once()
            self._is_reading = False
            told()
            await self._rest(every)

    async def _once(self) -> float:
        """Read; return after how many seconds to read again."""
        clock, calls, now = self._store.clock, self._broker.calls, self._store.now()
        begin = clock.monotonic()
        try:
            every = await self._read()
        except UNREACHABLE as error:
            since = now if self.outage is None else self.outage.since
            self.outage = Outage(since, " ".join(str(error).split()))
            # a store that is away is not busy with us, however long that took
            return AGAIN
        finally:
            self.calls, self.seconds = self._broker.calls - calls, clock.monotonic() - begin
        if self.calls:
            # the keys are shown without asking it
            self.outage = None
        return max(every, SHARE * self.seconds)

    async def _rest(self, seconds: float) -> None:
        wanted = asyncio.ensure_future(self._wanted.wait())
        over = asyncio.ensure_future(self._store.clock.sleep(seconds))
        try:
            waited = [wanted] if self.is_held else [wanted, over]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (wanted, over):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
