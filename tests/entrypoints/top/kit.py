"""Show a store of a test's own in a terminal that is none, by a clock that is moved by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from qcore.adapters.memory import MemoryBroker
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top.app import Top
from qcore.entrypoints.top.counting import CountingBroker
from qcore.ports import Broker
from qcore.testing import ManualClock

NARROW = (80, 24)
WIDE = (200, 60)


class Screen:
    """What is seen, and the keys."""

    def __init__(self, app: Top, pilot: Pilot[None], clock: ManualClock) -> None:
        self.app = app
        self.clock = clock
        self._pilot = pilot

    @property
    def lines(self) -> list[str]:
        """Return the lines as they are seen, without blanks at their ends."""
        strips = self.app.screen._compositor.render_strips()  # noqa: SLF001
        return ["".join(each.text for each in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        """Return all that is seen."""
        return "\n".join(self.lines)

    @property
    def current(self) -> str:
        """Return the row under the cursor."""
        [line] = [line for line in self.lines if line.startswith("▸")]
        return line

    async def press(self, *keys: str) -> None:
        """Press keys, each when what the one before has asked for is there."""
        for key in keys:
            await self._pilot.press(key)
            await self.settle()

    async def press_at_once(self, *keys: str) -> None:
        """Press keys faster than anything is read."""
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text, and Enter."""
        await self._pilot.press(*(NAMES.get(each, each) for each in text), "enter")
        await self.settle()

    async def wait(self, seconds: float) -> None:
        """Let time pass, and what is due then be read."""
        self.clock.advance(seconds)
        await self._pilot.pause()
        await self.settle()

    async def resize(self, width: int, height: int) -> None:
        """Make the terminal another size."""
        await self._pilot.resize_terminal(width, height)
        await self.settle()

    async def pause(self) -> None:
        """Let what is due begin."""
        await self._pilot.pause()

    async def settle(self) -> None:
        """Wait until what is to be shown was read and drawn."""
        async with asyncio.timeout(60):
            while not (self.app.is_settled or self.app.failure):  # noqa: ASYNC110  (on whatever it waits for, in turn)
                await asyncio.sleep(0)
        await self._pilot.pause()


NAMES = {":": "colon", ",": "comma", "-": "minus", "*": "asterisk", " ": "space", ".": "full_stop"}


@asynccontextmanager
async def shown(
    broker: Broker | None = None,
    *,
    size: tuple[int, int] = NARROW,
    may_change: bool = False,
    clock: ManualClock | None = None,
) -> AsyncIterator[Screen]:
    """Show a store."""
    clock = clock or ManualClock()
    counting = CountingBroker(broker or MemoryBroker())
    app = Top(Store("memory://", counting, clock=clock), counting, is_read_only=not may_change)
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot, clock)
        await screen.settle()
        yield screen
    if app.failure is not None:
        raise app.failure
