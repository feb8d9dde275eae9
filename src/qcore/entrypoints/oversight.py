"""Who looks after a worker process from outside, and what each of them is told.

A supervisor that has started the process, systemd, and whoever asks the health port: none of them
need be there.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from typing import TYPE_CHECKING, Final

from qcore.app.worker.worker import Worker
from qcore.domain.events import Event, WorkerStarted, WorkerStopping
from qcore.entrypoints.exiting import leave_within
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.health.claim_probe import ClaimProbe
from qcore.entrypoints.health.vital_signs import ClaimProof, Pulse, WorkerSigns
from qcore.entrypoints.memory_use import memory_in_mb
from qcore.entrypoints.process_limits import ProcessLimits, watch_limits
from qcore.entrypoints.process_options import ProcessOptions
from qcore.entrypoints.signals import PATIENCE
from qcore.entrypoints.supervisor.link import Order, SupervisorLink, Word
from qcore.entrypoints.systemd import ServiceNotifier
from qcore.log.logger import get_logger

if TYPE_CHECKING:
    from qcore.entrypoints.supervisor.metrics_reporter import MetricsReporter

PULSE: Final = 1.0
"""Seconds between two proofs that the loop turns, at most."""


class Oversight:
    """Report on one worker process. It is one of the worker's instruments.

    `at_once` and `unheard` are called as by `obey_signals`, when the supervisor asks for that.
    """

    wants: AbstractSet[type] = frozenset({WorkerStarted, WorkerStopping})

    def __init__(
        self,
        q: Qcore,
        options: ProcessOptions,
        link: SupervisorLink | None,
        *,
        at_once: Callable[[], None],
        unheard: Callable[[Worker], None],
    ) -> None:
        self._q = q
        self._options = options
        self._link = link
        self._at_once = at_once
        self._unheard = unheard
        self._notifier = ServiceNotifier.from_environment()
        self._pulse = Pulse()
        self._proof = ClaimProof()
        # alone, a worker counts its runs itself; under a supervisor it works until it is replaced
        max_tasks = None if link is None else options.max_tasks
        self._limits = ProcessLimits(max_tasks, options.max_memory)
        self._worker: Worker | None = None
        self._reporter: MetricsReporter | None = None
        self._probing: asyncio.Task[None] | None = None

    def __call__(self, event: Event) -> None:
        """Pass on that the worker has started, or stops."""
        if isinstance(event, WorkerStarted):
            self._started(event.queues)
        else:
            self._stopping()

    @asynccontextmanager
    async def over(self, worker: Worker) -> AsyncGenerator[None, None]:
        """Report while the block lasts, in which the worker runs; obey the supervisor.

        Raises `InvalidOption` where a port cannot be listened on, and where the process
        has reached its limit of memory already.
        """
        self._limits.check_at_start(memory_in_mb())
        self._worker = worker
        async with AsyncExitStack() as stack:
            stack.callback(self._stop_probing)
            if self._link is None:
                stack.enter_context(self._answering())
            else:
                stack.callback(self._link.follow, _ignore)
                self._link.follow(partial(self._obey, asyncio.get_running_loop(), worker))
            if self._options.is_measured:
                stack.enter_context(self._measured())
            helpers: list[asyncio.Task[None]] = []
            if self._is_pulse_taken:
                helpers.append(asyncio.create_task(self._beat()))
            if self._limits:
                watching = watch_limits(self._limits, worker, self._reached_limit)
                helpers.append(asyncio.create_task(watching))
            for helper in helpers:
                stack.callback(helper.cancel)
            yield

    def _answering(self) -> AbstractContextManager[None]:
        """Serve health while the block lasts, where there is a port for it."""
        port = self._options.health_port
        if port is None:
            return nullcontext()
        # late: it loads h11
        from qcore.entrypoints.health.server import answering

        signs = WorkerSigns(self._pulse, self._proof)
        return answering(signs, self._options.health_host, port)

    @contextmanager
    def _measured(self) -> Generator[None, None, None]:
        """Serve and push metrics, or report them to the supervisor, while the block lasts."""
        # who is not measured need not wait for them
        from qcore.entrypoints.metrics.collector import Source, counted_by, metrics_of
        from qcore.entrypoints.metrics.push import pushing_metrics
        from qcore.entrypoints.metrics.server import serving_metrics
        from qcore.entrypoints.metrics.store_gauges import StoreGauges, StoreReader
        from qcore.entrypoints.supervisor.metrics_reporter import MetricsReporter

        metrics, options = metrics_of(self._q), self._options
        if self._link is not None and metrics is not None:
            reporter = self._reporter = MetricsReporter(self._q, metrics, self._link)
            with reporter.reporting():
                yield
            return
        sources: list[Source] = [*counted_by(metrics), StoreGauges(StoreReader(self._q))]
        with (
            serving_metrics(sources, options.metrics_host, options.metrics_port),
            pushing_metrics(sources, options.metrics_push),
        ):
            yield

    @property
    def _is_pulse_taken(self) -> bool:
        """Whether anybody wants to know that the loop turns."""
        is_asked = self._options.health_port is not None and self._link is None
        is_watched = self._options.hang_timeout > 0 and self._link is not None
        return is_asked or is_watched or self._notifier.watchdog_interval is not None

    # --- what is reported ----------------------------------------------------------------------

    def _started(self, queues: Sequence[str]) -> None:
        self._notifier.ready("the worker serves")
        if self._link is not None:
            self._link.tell(Word.SERVING)
        if self._options.health_port is not None and self._worker is not None:
            probe = ClaimProbe(self._q.broker, self._q.clock, self._report)
            self._probing = asyncio.create_task(probe.serve(self._worker, queues))

    def _stopping(self) -> None:
        self._notifier.stopping()
        self._stop_probing()
        self._report("it is stopping")

    def _report(self, obstacle: str | None) -> None:
        if self._link is None:
            self._proof.note(obstacle)
        elif obstacle is None:
            self._link.tell(Word.CAN_CLAIM)
        else:
            self._link.tell(Word.CANNOT_CLAIM, obstacle)

    def _reached_limit(self, reached: str) -> None:
        if self._link is not None:
            self._link.tell(Word.AT_LIMIT, reached)
        elif self._worker is not None:
            get_logger().info("worker leaves", why=reached)
            self._worker.stop()

    async def _beat(self) -> None:
        """Show that the loop turns, to who asks for health, the service manager, the supervisor."""
        while True:
            self._pulse.beat()
            self._notifier.alive()
            if self._link is not None:
                self._link.tell(Word.TURNING)
            await asyncio.sleep(min(PULSE, self._notifier.watchdog_interval or PULSE))

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()

    # --- what is obeyed ------------------------------------------------------------------------

    def _obey(self, loop: asyncio.AbstractEventLoop, worker: Worker, order: Order) -> None:
        """Have the loop carry out an order. Called in the link's thread."""
        if order is Order.MEASURE:
            if self._reporter is not None:
                self._reporter.measure()
            return
        if order is Order.ORPHANED:
            get_logger().warning("the supervisor is gone: this worker leaves")
            # a loop that is blocked for ever hears of nothing
            leave_within(self._options.leave_timeout, 1)
        # a loop that is closed has ended with its worker
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._carry_out(order, worker))

    def _carry_out(self, order: Order, worker: Worker) -> Callable[[], None]:
        """Return what the loop is to do."""
        if order is Order.STOP_AT_ONCE:
            timer = threading.Timer(PATIENCE, self._unheard, [worker])
            timer.daemon = True
            timer.start()
            return partial(self._stop_at_once, worker, timer)
        others: dict[Order, Callable[[], None]] = {
            Order.PAUSE: worker.pause,
            Order.RESUME: worker.resume,
        }
        return others.get(order, worker.stop)

    def _stop_at_once(self, worker: Worker, timer: threading.Timer) -> None:
        timer.cancel()
        worker.stop(at_once=True)
        self._at_once()


def _ignore(_order: Order) -> None:
    """Obey no more: the worker has ended."""
