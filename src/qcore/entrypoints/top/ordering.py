"""Ask about an order, then carry it out beside the view, and tell how far it is."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final

from qcore.domain.errors import QcoreError
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top.listing import Listing
from qcore.entrypoints.top.navigation import Shows
from qcore.entrypoints.top.orders import Order
from qcore.entrypoints.top.stack import Stack

REFUSED: Final = (QcoreError, OSError)
READ_ONLY: Final = "read-only: start qcore top with --allow-changes to give orders"


class Orders:
    """One order at a time: it is looked at, asked about, carried out."""

    def __init__(
        self, store: Store, stack: Stack, listing: Listing, screen: Shows, *, is_read_only: bool
    ) -> None:
        self._store = store
        self._stack = stack
        self._listing = listing
        self._screen = screen
        self.is_read_only = is_read_only
        self.question: Order | None = None
        """What waits for a yes."""
        self._running: asyncio.Task[None] | None = None
        self._is_counting = False

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is being counted or done."""
        return self._running is None

    def ask(self, verb: str) -> None:
        """Count what an order would be for, and ask whether that is meant."""
        if self.is_read_only:
            self._screen.say(READ_ONLY, "yellow")
        elif self._running is not None:
            self._screen.say("an order is being carried out: Esc stops it", "yellow")
        elif self._listing.row is None or not self._listing.is_of(self._stack.view):
            self._screen.say(f"nothing to {verb} here", "yellow")
        else:
            self._screen.say(f"{verb}: counting ...")
            self._is_counting = True
            self._start(self._look(verb))

    def answer(self, *, is_sure: bool) -> None:
        """Carry the order out, or drop it."""
        order, self.question = self.question, None
        if order is None or not is_sure:
            self._screen.say("nothing was done")
        else:
            self._start(self._carry_out(order))

    def stop_counting(self) -> None:
        """Ask nothing that is yet to be counted: who has typed on would answer it unread."""
        if self._is_counting and self._running is not None:
            self._running.cancel()

    def stop(self) -> bool:
        """Stop what is being done; return whether anything was."""
        if self._running is None:
            return False
        self._running.cancel()
        return True

    async def close(self) -> None:
        """Stop what is being done, and wait for that."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def _start(self, doing: Coroutine[Any, Any, None]) -> None:
        self._running = asyncio.create_task(self._watched(doing))

    async def _watched(self, doing: Coroutine[Any, Any, None]) -> None:
        try:
            await doing
        except asyncio.CancelledError:
            told = "nothing was done" if self._is_counting else "stopped: what was done stays done"
            self._screen.say(told, "yellow")
        except REFUSED as error:
            self._screen.say(" ".join(str(error).split()), "red")
        finally:
            self._running, self._is_counting = None, False
            self._screen.reread()

    async def _look(self, verb: str) -> None:
        view, row = self._stack.view, self._listing.row
        rows = [*view.ticked.values()] or ([] if row is None else [row])
        order = await view.order(self._store, verb, rows)
        if order is None:
            self._screen.say(f"nothing to {verb} here", "yellow")
        elif view is self._stack.view:
            self.question = order

    async def _carry_out(self, order: Order) -> None:
        async with aclosing(order.steps(self._store)) as steps:
            async for told in steps:
                self._screen.say(told, "green")
        self._stack.view.drop_ticks()
