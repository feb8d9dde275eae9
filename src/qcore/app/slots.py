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

    def room(self) -> int:
        """Return how many more to take in hand.

        As many as are free; when none is, still one by one until the line is as long as the room
        is large: what comes next may need no slot at all.
        """
        free = self.size - self.in_hand
        if free > 0:
            return free
        return 1 if free > -self.size else 0

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
