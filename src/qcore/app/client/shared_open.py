"""Open a broker once for all callers that need it at the same time."""

import asyncio
import threading

from qcore.ports import Broker


class SharedOpen:
    """Open a broker; callers on the same event loop that come meanwhile wait for the first one.

    An error is raised to all of them. If the first caller is cancelled, the next one opens it.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._local = threading.local()

    async def __call__(self) -> None:
        """Open the broker."""
        loop = asyncio.get_running_loop()
        while (other := self._attempt()) is not None and other.get_loop() is loop:
            if await asyncio.shield(other):
                return
        mine: asyncio.Future[bool] = loop.create_future()
        self._local.attempt = mine
        opened = False
        try:
            await self._broker.open()
            opened = True
        except Exception as error:
            mine.set_exception(error)
            # mark it as retrieved: perhaps nobody waits for it
            mine.exception()
            raise
        finally:
            self._local.attempt = None
            if not mine.done():
                mine.set_result(opened)

    def _attempt(self) -> "asyncio.Future[bool] | None":
        """Return the attempt of this thread that is under way, None if there is none."""
        return getattr(self._local, "attempt", None)
