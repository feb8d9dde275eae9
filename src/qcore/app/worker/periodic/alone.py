"""`Scheduler`: make the ticks of periodic tasks without running any."""

import asyncio
from collections.abc import Sequence

from qcore.app.client.client import Client
from qcore.app.client.wakeup import CutShort, cancelled_after
from qcore.app.tasks.router import Router
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.periodic.scheduler import PeriodicScheduler
from qcore.app.worker.retrying import Retrying
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.retry import Dice
from qcore.ports import Broker, Clock, periodic_of


class Scheduler:
    """Make the tasks of periodic entries when they tick; workers elsewhere run them.

    Each worker has one of its own unless it is told not to; any number of them may run at a time.
    `queues` are those whose entries it looks at, None for all. Raises `InvalidOption` where the
    broker has no periodic tasks.
    """

    def __init__(
        self,
        broker: Broker,
        router: Router,
        *,
        client: Client,
        clock: Clock,
        dice: Dice,
        queues: Sequence[str] | None = None,
        emit: Instruments,
    ) -> None:
        periodic = periodic_of(broker)
        if periodic is None:
            raise InvalidOption("this broker has no periodic tasks: there is nothing to schedule")
        # all modules are imported by now: a name that an annotation lacks never comes
        router.check_handlers()
        self._broker = broker
        self._periodic = periodic
        self._router = router
        self._client = client
        self._clock = clock
        self._queues = queues
        self._dice = dice
        self._emit = emit
        self._retrying = Retrying(clock, dice, emit)
        self._stopping = asyncio.Event()
        self._made: PeriodicScheduler | None = None
        self._left_out = ""

    def leave_out(self, name: str) -> None:
        """Neither declare a periodic task nor make its ticks, though the code declares it."""
        self._left_out = name

    @property
    def next_tick(self) -> Moment | None:
        """Return when an entry is to be looked at, as of the last look; None where none is."""
        return None if self._made is None else self._made.next_tick

    def stop(self) -> None:
        """Have `run` return. To be called on the scheduler's loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Declare what the code declares, and make ticks as they come, until `stop`.

        Raises what `open` of the broker raises.
        """
        try:
            try:
                async with cancelled_after(self._stopping.wait()):
                    await self._broker.open()
            except CutShort:
                return
            await self._inner().serve()
        finally:
            self._made = None
            self._stopping.clear()

    async def once(self) -> None:
        """Declare what the code declares, and make the ticks that are due now."""
        await self._broker.open()
        await self._inner().once()

    def close(self) -> None:
        """Let go of what `once` has made."""
        if self._made is not None:
            self._made.close()
            self._made = None

    def _inner(self) -> PeriodicScheduler:
        if self._made is None:
            self._made = PeriodicScheduler(
                self._broker,
                self._periodic,
                self._router.declarations().without(self._left_out),
                client=self._client,
                queues=self._queues or [DEFAULT_QUEUE, *self._router.queues()],
                finds_queues=self._queues is None,
                clock=self._clock,
                retrying=self._retrying,
                dice=self._dice,
                emit=self._emit,
                stopping=self._stopping,
            )
        return self._made
