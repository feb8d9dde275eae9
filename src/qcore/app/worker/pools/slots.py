"""Places for handlers that need more than a coroutine."""

import asyncio
from types import TracebackType


class Slots:
    """So many at a time; the others wait in line, and their time has not begun."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.in_hand = 0
        """Those inside and those in line."""
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
