"""Run tasks: the public `Worker`. How its parts are put together for a run is in `session`."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from qcore.app.calls.codec import Codec
from qcore.app.client.client import Client
from qcore.app.client.size_limits import DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_RESULT, byte_limit
from qcore.app.client.wakeup import CutShort, cancelled_after, first_completed
from qcore.app.tasks.lifespan import enter
from qcore.app.tasks.router import Router
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.environment import WorkerEnvironment
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import Retrying
from qcore.app.worker.run import Run
from qcore.app.worker.session import WorkerSession
from qcore.app.worker.settings import WorkerSettings
from qcore.domain.errors import InvalidOption
from qcore.domain.events import WorkerFailed, WorkerPaused
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Broker, Clock, Instrument

LIFESPAN_TIMEOUT: Final = 1.0
"""Seconds, of real time, that a lifespan has to end after the grace, or `stop(at_once=True)`."""


class Worker:
    """Serve the queues of a broker with the handlers of a router.

    `store` is what the broker is called in the log, by default the name of its class.
    """

    def __init__(
        self,
        broker: Broker,
        router: Router,
        settings: WorkerSettings,
        *,
        clock: Clock,
        codec: Codec,
        dice: Dice,
        instruments: Sequence[Instrument] = (),
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        max_result: int = DEFAULT_MAX_RESULT,
        store: str | None = None,
    ) -> None:
        # all modules are imported by now: a name that an annotation lacks never comes
        router.check_handlers()
        emit = Instruments(instruments)
        client = Client(broker, clock=clock, codec=codec, max_payload=max_payload, coalesce=False)
        self._control = WorkerControl(clock)
        self._environment = WorkerEnvironment(
            broker=broker,
            store=store or type(broker).__name__,
            router=router,
            settings=settings,
            weights=settings.queue_weights(router.queues()),
            clock=clock,
            codec=codec,
            dice=dice,
            client=client,
            max_payload=max_payload,
            max_result=byte_limit("max_result", max_result),
            control=self._control,
            emit=emit,
            retrying=Retrying(clock, dice, emit),
        )
        self._max_tasks = settings.max_tasks
        self._running: set[Run] = set()
        self._session: WorkerSession | None = None
        """The run that is going on, or the last one."""
        self._is_running = False
        self.executed = 0
        """How many runs of tasks have ended here."""

    @property
    def running(self) -> int:
        """Return how many tasks are in hand."""
        return len(self._running)

    @property
    def is_running(self) -> bool:
        """Return whether `run` goes on."""
        return self._is_running

    @property
    def concurrency(self) -> int:
        """Return how many tasks it may have in hand at a time."""
        return self._environment.settings.concurrency

    @property
    def loop_lag(self) -> float:
        """Return by how many seconds its event loop is late."""
        return 0.0 if self._session is None else self._session.loop_lag

    @property
    def is_paused(self) -> bool:
        """Return whether it was asked to claim no more for now."""
        return self._control.is_paused

    @property
    def next_ready(self) -> Moment | None:
        """Return when the next group is ready to be aggregated here, as of the last scan."""
        return None if self._session is None else self._session.next_group_ready

    def stop(self, *, at_once: bool = False) -> None:
        """Claim no more, let what runs end within the grace, and leave; `at_once` has no grace.

        To be called on the worker's loop.
        """
        self._control.stop(at_once=at_once)

    def pause(self) -> None:
        """Claim no more until `resume`; what runs goes on."""
        self._control.pause()
        self._environment.emit(WorkerPaused())

    def resume(self) -> None:
        """Claim again."""
        self._control.resume()

    async def run(self) -> None:
        """Work until `stop`, or, in a burst, until there is nothing to do.

        Raises what `open` of the broker raises, and what a lifespan raises (`LifespanFailed` for
        what is no `Exception`); instruments are told
        before that, as nobody may await this for a while. It may be called again after it has
        returned; raises `InvalidOption` where it has not.
        """
        if self._is_running:
            raise InvalidOption(
                "this worker is running already: make another one to run beside it, such as with "
                "q.worker()"
            )
        self._is_running = True
        try:
            await self._run()
        except Exception as error:
            self._environment.emit(WorkerFailed(error))
            raise
        finally:
            self._is_running = False
            self._control.reset()

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            session = await self._start(stack)
            if session is not None:
                await session.serve()

    async def _start(self, stack: AsyncExitStack) -> WorkerSession | None:
        """Open the broker and enter the lifespans; return None where a stop comes meanwhile.

        A database that does not answer must not keep a worker from leaving.
        """
        environment = self._environment
        try:
            async with cancelled_after(self._control.stopping.wait()):
                await environment.broker.open()
                state = await enter(
                    environment.router.node.all_lifespans(), stack, end_limit=self._lifespan_limit
                )
                session = self._session = WorkerSession(
                    environment, state, running=self._running, on_end=self._count_run
                )
                await session.open(stack)
        except CutShort:
            return None
        return session

    async def _lifespan_limit(self) -> None:
        """Wait until a lifespan that began to end has had its time."""
        control = self._control
        rest = control.rest_of(self._environment.settings.grace)
        # real time, as what it waits for is real; a lifespan must not move a clock of virtual time
        await first_completed(asyncio.sleep(rest), control.stopping_at_once.wait())
        await asyncio.sleep(LIFESPAN_TIMEOUT)

    def _count_run(self) -> None:
        """Count a run that has ended, and stop after `max_tasks` of them."""
        self.executed += 1
        if self.executed == self._max_tasks:
            self.stop()
