"""A touch on the shoulder of a coroutine, from whichever thread."""

import asyncio
from collections.abc import Coroutine
from threading import get_ident
from typing import Any


class Wakeup:
    """Wake one waiting coroutine; a nudge given while nobody waits is kept, two count as one.

    To be made on the loop's own thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = get_ident()
        self._event = asyncio.Event()
        self._given = False

    def __call__(self) -> None:
        """Give the nudge."""
        if not self._given:
            self._given = True
            if get_ident() == self._thread:
                # from the loop itself: no need to wake it through its pipe
                self._event.set()
                return
            # a loop that is closed has nobody to wake
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._event.set)

    def forget(self) -> None:
        """Forget a nudge that came before."""
        self._given = False
        self._event.clear()

    async def wait(self) -> None:
        """Wait for a nudge, and take it."""
        await self._event.wait()
        self.forget()


async def first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Wait until one of some coroutines has ended, and cancel the others."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
