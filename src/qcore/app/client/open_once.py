"""Many who need a broker at once open it once."""

import asyncio
import threading

from qcore.ports import Broker


class Opening:
    """Open a broker; those of a loop who come while it is being opened wait for that.

    What it raises is raised to them all. When the one who opens it is cancelled, the next one does.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._here = threading.local()

    async def __call__(self) -> None:
        """Open the broker."""
        loop = asyncio.get_running_loop()
        while (other := self._attempt()) is not None and other.get_loop() is loop:
            if await asyncio.shield(other):
                return
        mine: asyncio.Future[bool] = loop.create_future()
        self._here.attempt = mine
        opened = False
        try:
            await self._broker.open()
            opened = True
        except Exception as error:
            mine.set_exception(error)
            # perhaps nobody waits for it
            mine.exception()
            raise
        finally:
            self._here.attempt = None
            if not mine.done():
                mine.set_result(opened)

    def _attempt(self) -> "asyncio.Future[bool] | None":
        """Return what those of this thread wait for who came while somebody opens it."""
        return getattr(self._here, "attempt", None)
