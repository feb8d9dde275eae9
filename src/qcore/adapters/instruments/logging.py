"""`LoggingInstrument`: events of workers and brokers as log lines, through structlog."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from logging import DEBUG
from typing import TYPE_CHECKING, Any, Final

from qcore.adapters.instruments.task_lines import Level, TaskLines, some
from qcore.domain.events import (
    AggregationFailed,
    BrokerFailed,
    BrokerRecovered,
    Event,
    LeaseWasLost,
    LoopBlocked,
    NoAggregator,
    NoHandler,
    PeriodicFailed,
    TasksClaimed,
    TasksEnqueued,
    WorkerFailed,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.groups import Group
from qcore.domain.retry import described
from qcore.log.logger import is_enabled, is_shown

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

WARNING_INTERVAL: Final = 60.0
"""Seconds between two warnings of the same name without a handler."""
MAX_WARNED: Final = 1_000
"""Names remembered for that: they come from producers, and may be without end."""

BEFORE_RUNS: Final = frozenset({TasksEnqueued, TasksClaimed})
"""Events of every task that are logged as debug alone."""


class LoggingInstrument(TaskLines):
    """Log each move of a task as one line, successes as debug, a worker's life as info.

    - info: a worker started, paused, stopping, stopped; the broker answers again; what an
      operator has done, with who and why
    - debug: a task was enqueued, or was not as another has its id or unique key; was claimed;
      succeeded (or as `successes` says), was snoozed, revoked or released; follows another; tasks
      were aggregated; a periodic task ticked
    - warning: a task failed and is tried again, its process crashed, its lease was lost, its
      verdict came too late; tasks were taken back from lost workers, or expired; no handler for a
      name (once a minute each); ticks were missed; a worker that knows no task, or does not serve
      the queue that the tasks of a handler go to; a group could not be aggregated, or has nobody
      here who can (once for its kind); the event loop is blocked; the broker failed
    - error: a task is out of retries, was rejected, or is dead after too many crashes; a worker
      could not start, or has ended with an error; a periodic task cannot be scheduled

    A line about a run has `task`, `task_id`, `queue` and `attempt`, its end `seconds` where a
    handler was called, and a failure `error` and `error_type`. None has arguments or results; who
    wants some of them adds a function that returns fields of a claim (`add_fields`).

    A failure that is final has its traceback, and every failure where debug is logged. Lines go
    where the application's configuration of structlog sends its own, else to the handlers of
    `logging`, under the name "qcore".

    `now` gives seconds that only grow. The logger is bound, and asked for its level, when a worker
    starts, and asked when a client opens: what is not to be logged of every task costs next to
    nothing from then on. Where neither is configured and no logger is given, nothing about single
    tasks is logged as debug.
    """

    def __init__(
        self,
        logger: "FilteringBoundLogger | None" = None,
        *,
        successes: Level = "debug",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(logger, successes)
        self._is_given = logger is not None
        self._now = now
        self._warned: dict[str, float] = {}
        self._loggers: dict[type, Callable[[Any], None]] = {
            **self._task_loggers,
            WorkerStarted: self._started,
            WorkerPaused: self._paused,
            WorkerStopping: self._stopping,
            WorkerStopped: self._stopped,
            WorkerFailed: self._worker_failed,
            AggregationFailed: self._aggregation_failed,
            NoAggregator: self._no_aggregator,
            PeriodicFailed: self._periodic_failed,
            LeaseWasLost: self._lease_lost,
            NoHandler: self._no_handler,
            LoopBlocked: self._blocked,
            BrokerFailed: self._broker_failed,
            BrokerRecovered: self._recovered,
        }

    @property
    def wants(self) -> Collection[type]:
        """Return the classes of the events that are logged.

        Where debug is not, those are left out that come with every task, so that nobody makes them.
        """
        return self._loggers.keys() - (frozenset() if self._shows_debug() else BEFORE_RUNS)

    def ignore(self, kind: type[Event]) -> None:
        """Log no events of a kind from now on."""
        self._loggers.pop(kind, None)

    def __call__(self, event: Event) -> None:
        """Log an event, if it is of one of those classes."""
        log = self._loggers.get(type(event))
        if log is not None:
            log(event)

    def _started(self, event: WorkerStarted) -> None:
        # structlog configures a lazy logger in each call, which takes longer than a short task
        self._log = self._log.bind()
        self._logs_debug = self._shows_debug()
        self._logs_successes = self._logs_debug or self.successes == "info"
        tasks, queues = some(event.tasks), list(event.queues)
        self._log.info("worker started", tasks=tasks, queues=queues, broker=event.store)
        self._warn_of_missing(event)

    def _shows_debug(self) -> bool:
        """Return whether debug is logged: structlog without configuration prints it, too."""
        return is_enabled(self._log.bind(), DEBUG) if self._is_given else is_shown(DEBUG)

    def _warn_of_missing(self, event: WorkerStarted) -> None:
        """Warn of what a worker cannot do, though it may well be meant to."""
        if not event.tasks:
            self._log.warning(
                "worker knows no task: import the modules that declare tasks, with --import or "
                "beside the queue"
            )
        unserved: defaultdict[str, list[str]] = defaultdict(list)
        for name, queue in event.tasks.items():
            if queue not in event.queues:
                unserved[queue].append(name)
        for queue, names in unserved.items():
            self._log.warning(
                "worker does not serve the queue of tasks that it has handlers for",
                queue=queue,
                tasks=some(names),
            )

    def _paused(self, _: WorkerPaused) -> None:
        self._log.info("worker paused")

    def _stopping(self, event: WorkerStopping) -> None:
        self._log.info("worker stopping", running=event.running, grace=event.grace)

    def _stopped(self, event: WorkerStopped) -> None:
        self._log.info("worker stopped", released=event.released)

    def _worker_failed(self, event: WorkerFailed) -> None:
        self._log.error("worker failed", error=described(event.error))

    def _aggregation_failed(self, event: AggregationFailed) -> None:
        fields = _group_fields(event.group)
        error = described(event.error)
        self._log.warning("aggregation failed", error=error, again_in=event.again_in, **fields)

    def _no_aggregator(self, event: NoAggregator) -> None:
        fields = _group_fields(event.group)
        self._log.warning("no aggregator for this group", **fields)

    def _periodic_failed(self, event: PeriodicFailed) -> None:
        error = described(event.error)
        self._log.error(
            "periodic task cannot be scheduled", entry=event.name, queue=event.queue, error=error
        )

    def _lease_lost(self, event: LeaseWasLost) -> None:
        self._log.warning(
            "lease lost", token=event.claim.lease.token, **self._run_fields(event.claim)
        )

    def _no_handler(self, event: NoHandler) -> None:
        name, now = event.claim.task.name, self._now()
        if now - self._warned.get(name, -WARNING_INTERVAL) < WARNING_INTERVAL:
            return
        if len(self._warned) >= MAX_WARNED:
            self._warned.clear()
        self._warned[name] = now
        fields = self._run_fields(event.claim)
        if event.unknown_format is None:
            self._log.warning("no handler for this name", **fields)
        else:
            self._log.warning("task is of an unknown format", reason=event.unknown_format, **fields)

    def _blocked(self, event: LoopBlocked) -> None:
        self._log.warning("event loop is blocked", seconds=event.seconds, stack=event.stack)

    def _broker_failed(self, event: BrokerFailed) -> None:
        error = f"{type(event.error).__name__}: {event.error}"
        self._log.warning("broker failed", call=event.call, error=error, again_in=event.again_in)

    def _recovered(self, event: BrokerRecovered) -> None:
        self._log.info("broker answers again", call=event.call, failures=event.failures)


def _group_fields(group: Group) -> dict[str, object]:
    return {"group": group.name, "queue": group.queue, "members": group.size}
