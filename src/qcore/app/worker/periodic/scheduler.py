"""`PeriodicScheduler`: wakes for the next tick, and for what is declared."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Final, TypeVar

from qcore.app.client.client import Client
from qcore.app.client.inline import run_inline
from qcore.app.client.wakeup import Wakeup, first_completed
from qcore.app.tasks.periodic import PeriodicDeclarations
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.periodic.declarer import Declarer
from qcore.app.worker.periodic.ticker import Ticker
from qcore.app.worker.quarantine import Quarantine
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.domain.errors import BrokerUnusable
from qcore.domain.moments import Moment
from qcore.domain.periodic.entry import Entry
from qcore.domain.retry import Dice
from qcore.ports import (
    Broker,
    Capability,
    Clock,
    EntriesChanged,
    Notification,
    Periodic,
    alarms_of,
    periodic_of,
)

T = TypeVar("T")

LONGEST_BLIND: Final = 15.0
"""Seconds after which a shared store is asked again: another process may have written an entry.
So an idle scheduler costs a server one command in five seconds, its TIME and INFO included."""
MAX_QUEUES: Final = 10_000
"""Queues at most that are known to be unusable; beyond these the oldest is asked for again."""
ALL_QUEUES_EVERY: Final = 60.0
"""Seconds from one look for queues with entries to the next, where all are served."""


class PeriodicScheduler:
    """Make the ticks of entries until it is told to stop.

    Of entries that were added at run time those in `queues`, and with `finds_queues` those in all
    others, which are looked for each minute; and what is declared here, wherever it lies. Any
    number of schedulers may do so at a time. Made on the event loop that serves it.
    """

    def __init__(
        self,
        broker: Broker,
        periodic: Periodic,
        declarations: PeriodicDeclarations,
        *,
        client: Client,
        queues: Sequence[str],
        finds_queues: bool,
        clock: Clock,
        retrying: Retrying,
        dice: Dice,
        emit: Instruments,
        stopping: asyncio.Event,
    ) -> None:
        self._broker = broker
        self._periodic = periodic
        self._served = queues
        self._finds_queues = finds_queues
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._stopping = stopping
        quarantine = partial(Quarantine, most=MAX_QUEUES, clock=clock, dice=dice, emit=emit)
        self._declarer = Declarer(
            declarations, client, periodic, quarantine=quarantine("write_entries"), emit=emit
        )
        self._quarantine = quarantine("due_entries")
        self._ticker = Ticker(
            periodic,
            clock=clock,
            quarantine=self._quarantine,
            emit=emit,
            may_tick=self._may_tick,
        )
        self._is_shared = Capability.SHARED in broker.capabilities
        self._found: Sequence[str] = ()
        """The queues with entries, as of the last look."""
        self._find_at: Moment = -math.inf
        self._watched: set[str] = set()
        self._wakeup = Wakeup(asyncio.get_running_loop())
        self._take_back: Callable[[], None] = _nothing
        self.next_tick: Moment | None = None
        """When an entry is to be looked at, as of the last look; None where none is."""

    @property
    def queues(self) -> list[str]:
        """Return the queues whose entries it looks at."""
        return list(dict.fromkeys([*self._served, *self._found, *self._declarer.queues]))

    async def serve(self) -> None:
        """Make ticks as they come, until the scheduler is asked to stop."""
        async with AsyncExitStack() as stack:
            stack.callback(self.close)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            declaring = group.create_task(self._serve_declarations())
            stack.callback(declaring.cancel)
            with suppress(GaveUp):
                while not self._stopping.is_set():
                    self._wakeup.clear()
                    await self._call("subscribe", partial(self._watch, stack))
                    await self._call("due_entries", self._tick)
                    await self._pause()

    async def once(self) -> None:
        """Declare what is to be declared, and make what ticks are due.

        Raises `GaveUp` if the broker is unavailable and the scheduler is asked to stop.
        """
        await self._call("write_entries", self._declarer.look)
        await self._call("due_entries", self._tick)

    async def tick_once(self) -> None:
        """Do what `once` does, and let go; where nothing was done before a stop, do nothing."""
        try:
            with suppress(GaveUp):
                await self.once()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of its threads."""
        self._disarm()
        self._declarer.close()

    async def _serve_declarations(self) -> None:
        """Declare what is to be declared; apart, as a provider may take its time."""
        with suppress(GaveUp):
            while not self._stopping.is_set():
                if await self._call("write_entries", self._declarer.look):
                    self._wakeup()
                look = self._declarer.next_look
                if look is None:
                    return
                await first_completed(self._clock.sleep_until(look), self._stopping.wait())

    async def _tick(self) -> None:
        if self._finds_queues and self._find_at <= self._clock.now():
            self._found = await self._periodic.entry_queues()
            self._find_at = self._clock.now() + ALL_QUEUES_EVERY
        self.next_tick = await self._ticker.tick(self.queues) if self.queues else None

    async def _watch(self, stack: AsyncExitStack) -> None:
        """Subscribe to what is written to queues that are new here.

        A shared store is asked again in a while: of other processes it need not tell.
        """
        if self._is_shared:
            return
        for queue in [queue for queue in self.queues if queue not in self._watched]:
            # what is wrong with a queue is reported when its entries are asked for
            with suppress(BrokerUnusable):
                subscription = await self._broker.subscribe([queue], {EntriesChanged}, self._notify)
                stack.push_async_callback(subscription.close)
                self._watched.add(queue)

    async def _call(self, name: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._retrying.call(name, call, stop=self._stopping)

    async def _pause(self) -> None:
        """Wait until there is a reason to look again."""
        until = self._quarantine.next_retry()
        until = until if self.next_tick is None else min(until, self.next_tick)
        if self._finds_queues:
            until = min(until, self._find_at)
        self._arm()
        await first_completed(
            self._wakeup.wait(),
            self._clock.sleep_until(until, at_most=LONGEST_BLIND if self._is_shared else math.inf),
            self._stopping.wait(),
        )
        self._disarm()

    def _may_tick(self, entry: Entry) -> bool:
        return entry.declared_by is None or self._declarer.is_declared(entry)

    def _notify(self, _: Notification) -> None:
        """Look again, as entries were written. Called from any thread."""
        self._wakeup()

    # --- virtual time --------------------------------------------------------------------------

    def _arm(self) -> None:
        """Make the next tick while time passes it, where a call lets time pass as a whole."""
        alarms = alarms_of(self._clock)
        if alarms is not None and self.next_tick is not None:
            self._take_back = alarms.call_at(self.next_tick, self._tick_in_passing)

    def _tick_in_passing(self) -> None:
        blocking = self._broker.blocking()
        periodic = periodic_of(blocking)
        if periodic is None:
            return
        run_inline(blocking.open())
        try:
            # nobody could renew what is declared, of which the time has passed as well
            run_inline(self._declarer.over(periodic).renew())
            self.next_tick = run_inline(self._ticker.over(periodic).tick(self.queues))
        finally:
            if blocking is not self._broker:
                run_inline(blocking.close())
        self._arm()

    def _disarm(self) -> None:
        self._take_back()
        self._take_back = _nothing


def _nothing() -> None:
    """Take back nothing."""
