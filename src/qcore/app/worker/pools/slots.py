"""A bound on how many handlers of a kind run at a time, which counts those that wait too."""

import asyncio
from types import TracebackType


class Slots:
    """A semaphore that knows how many hold it or wait for it: what a claim must leave room for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.in_hand = 0
        """How many hold a slot or wait for one."""
        self._semaphore = asyncio.Semaphore(size)

    async def __aenter__(self) -> None:
        """Wait for a slot."""
        self.in_hand += 1
        try:
            await self._semaphore.acquire()
        except BaseException:
            self.in_hand -= 1
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the slot back."""
        self.in_hand -= 1
        self._semaphore.release()
