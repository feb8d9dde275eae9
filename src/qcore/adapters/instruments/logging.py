"""`LoggingInstrument`: events of workers and brokers as log lines, through structlog."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, KeysView, Mapping
from datetime import UTC, datetime
from itertools import islice
from logging import DEBUG
from typing import Any, Final, Literal, TypeAlias

from structlog.typing import FilteringBoundLogger

from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.events import (
    AggregationFailed,
    BrokerFailed,
    BrokerRecovered,
    Event,
    LeaseWasLost,
    LoopBlocked,
    NoAggregator,
    NoHandler,
    Operated,
    PeriodicFailed,
    PeriodicTicked,
    TaskFinished,
    TasksAggregated,
    TasksSettled,
    TasksSwept,
    WorkerFailed,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.groups import Group
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.retry import described
from qcore.domain.states import State
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import (
    Crashed,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Revoked,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.log.logger import get_logger, is_enabled, is_shown

WARNING_INTERVAL: Final = 60.0
"""Seconds between two warnings of the same name without a handler."""
MAX_WARNED: Final = 1_000
"""Names remembered for that: they come from producers, and may be without end."""

EXPECTED: Final = (Snoozed, Revoked, Released)
"""Outcomes that are logged as debug: nothing has gone wrong."""
MAX_NAMES: Final = 20
"""Names of tasks in one line."""

Level: TypeAlias = Literal["debug", "info"]


class LoggingInstrument:
    """Log successes as debug, the worker's life as info, failures above.

    - info: a worker started, paused, stopping, stopped; the broker answers again; what an
      operator has done, with who and why
    - debug: a task succeeded (or as `successes` says), was snoozed, revoked or released; tasks were
      aggregated; a periodic task ticked
    - warning: a task failed and is tried again, its process crashed, its lease was lost, its
      verdict came too late; tasks were taken back from lost workers, or expired; no handler for a
      name (once a minute each); a worker that knows no task, or does not serve the queue that the
      tasks of a handler go to; a group could not be aggregated, or has nobody here who can (once
      for its kind); the event loop is blocked; the broker failed
    - error: a task is out of retries, was rejected, or is dead after too many crashes; a worker
      could not start, or has ended with an error; a periodic task cannot be scheduled

    A failure that is final has its traceback, and every failure where debug is logged. Lines go
    where the application's configuration of structlog sends its own, else to the handlers of
    `logging`, under the name "qcore".

    `now` gives seconds that only grow. The logger is bound, and asked for its level, when a worker
    starts: a success that is not to be logged costs next to nothing from then on. Where neither is
    configured and no logger is given, no run is logged as debug.
    """

    def __init__(
        self,
        logger: FilteringBoundLogger | None = None,
        *,
        successes: Level = "debug",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log: FilteringBoundLogger = logger or get_logger()
        self._is_given = logger is not None
        self.successes: Level = successes
        """The level of a run that succeeded."""
        self._logs_debug = True
        self._logs_successes = True
        self._now = now
        self._warned: dict[str, float] = {}
        self._more_fields: list[Callable[[Claim], Mapping[str, object]]] = []
        self._loggers: dict[type, Callable[[Any], None]] = {
            WorkerStarted: self._started,
            WorkerPaused: self._paused,
            WorkerStopping: self._stopping,
            WorkerStopped: self._stopped,
            WorkerFailed: self._worker_failed,
            TaskFinished: self._finished,
            TasksSettled: self._settled,
            TasksSwept: self._swept,
            TasksAggregated: self._aggregated,
            AggregationFailed: self._aggregation_failed,
            NoAggregator: self._no_aggregator,
            PeriodicTicked: self._ticked,
            PeriodicFailed: self._periodic_failed,
            LeaseWasLost: self._lease_lost,
            NoHandler: self._no_handler,
            LoopBlocked: self._blocked,
            BrokerFailed: self._broker_failed,
            BrokerRecovered: self._recovered,
            Operated: self._operated,
        }

    @property
    def wants(self) -> KeysView[type]:
        """Return the classes of the events that are logged."""
        return self._loggers.keys()

    def ignore(self, kind: type[Event]) -> None:
        """Log no events of a kind from now on."""
        self._loggers.pop(kind, None)

    def add_fields(self, function: Callable[[Claim], Mapping[str, object]]) -> None:
        """Add the fields that a function returns for a claim to each line about its run."""
        self._more_fields.append(function)

    def __call__(self, event: Event) -> None:
        """Log an event, if it is of one of those classes."""
        if (
            type(event) is TaskFinished
            and type(event.outcome) is Succeeded
            and not self._logs_successes
        ):
            # of every task: without a call more
            return
        log = self._loggers.get(type(event))
        if log is not None:
            log(event)

    def _started(self, event: WorkerStarted) -> None:
        # structlog configures a lazy logger in each call, which takes longer than a short task
        self._log = self._log.bind()
        # structlog without configuration prints debug lines too: one for each task
        self._logs_debug = is_enabled(self._log, DEBUG) if self._is_given else is_shown(DEBUG)
        self._logs_successes = self._logs_debug or self.successes == "info"
        tasks, queues = _some(event.tasks), list(event.queues)
        self._log.info("worker started", tasks=tasks, queues=queues, broker=event.store)
        self._warn_of_missing(event)

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
                tasks=_some(names),
            )

    def _paused(self, _: WorkerPaused) -> None:
        self._log.info("worker paused")

    def _stopping(self, event: WorkerStopping) -> None:
        self._log.info("worker stopping", running=event.running, grace=event.grace)

    def _stopped(self, event: WorkerStopped) -> None:
        self._log.info("worker stopped", released=event.released)

    def _worker_failed(self, event: WorkerFailed) -> None:
        self._log.error("worker failed", error=described(event.error))

    def _finished(self, event: TaskFinished) -> None:
        outcome = event.outcome
        if isinstance(outcome, Succeeded):
            if self._logs_successes:
                log = self._log.info if self.successes == "info" else self._log.debug
                log("task succeeded", **self._finish_fields(event))
        elif self._logs_debug or not isinstance(outcome, EXPECTED):
            self._finished_otherwise(outcome, self._finish_fields(event))

    def _finished_otherwise(self, outcome: Transition, fields: dict[str, Any]) -> None:
        match outcome:
            case Failed(error, again_at):
                # it will be tried again: whoever looks for the cause asks for debug
                fields |= _traceback(outcome) if self._logs_debug else {}
                self._log.warning("task failed", error=error, again_at=_shown(again_at), **fields)
            case Exhausted(error):
                fields |= _traceback(outcome)
                self._log.error("task is out of retries", error=error, **fields)
            case Rejected(error):
                fields |= _traceback(outcome)
                self._log.error("task rejected", error=error, **fields)
            case Crashed(error):
                self._log.warning("task crashed", error=error, **fields)
            case Snoozed(unhandled=True):
                # logged by `_no_handler` already
                pass
            case Snoozed(again_at):
                self._log.debug("task snoozed", again_at=_shown(again_at), **fields)
            case _:
                self._log.debug(f"task {type(outcome).__name__.lower()}", **fields)

    def _settled(self, event: TasksSettled) -> None:
        for verdict, answer in zip(event.verdicts, event.answers, strict=True):
            if isinstance(answer, LeaseLost) or isinstance(verdict.outcome, Crashed):
                self._settled_badly(verdict, answer)

    def _settled_badly(self, verdict: Verdict, answer: Settled | LeaseLost) -> None:
        fields = {"task_id": verdict.lease.id, "queue": verdict.lease.queue}
        if isinstance(answer, LeaseLost):
            outcome = type(verdict.outcome).__name__.lower()
            self._log.warning("verdict came too late", outcome=outcome, **fields)
        elif answer.state is State.DEAD:
            self._log.error("task is dead after too many crashes", **fields)

    def _swept(self, event: TasksSwept) -> None:
        if event.swept.crashed:
            self._log.warning("workers were lost", crashed=event.swept.crashed)
        if event.swept.expired:
            self._log.warning("tasks expired", expired=event.swept.expired)

    def _aggregated(self, event: TasksAggregated) -> None:
        if not self._logs_debug:
            return
        task = event.task
        fields = {"task": task.name, "task_id": task.id, "queue": task.queue}
        self._log.debug("tasks aggregated", group=event.group, members=len(event.members), **fields)

    def _aggregation_failed(self, event: AggregationFailed) -> None:
        fields = _group_fields(event.group)
        error = described(event.error)
        self._log.warning("aggregation failed", error=error, again_in=event.again_in, **fields)

    def _no_aggregator(self, event: NoAggregator) -> None:
        fields = _group_fields(event.group)
        self._log.warning("no aggregator for this group", **fields)

    def _ticked(self, event: PeriodicTicked) -> None:
        if not self._logs_debug:
            return
        for task, admission in zip(event.tasks, event.admissions, strict=True):
            fields = {"task": task.name, "task_id": task.id, "queue": task.queue}
            answer = type(admission).__name__.lower()
            self._log.debug("periodic task ticked", entry=event.entry.id, answer=answer, **fields)

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

    def _operated(self, event: Operated) -> None:
        fields = {"reason": event.reason, "detail": event.detail, "entry": event.entry}
        given: dict[str, object] = {name: value for name, value in fields.items() if value}
        if event.tasks:
            given |= {"tasks": len(event.tasks), "task_ids": _some(event.tasks)}
        self._log.info(
            "operator's command", action=event.action, queue=event.queue, by=event.by, **given
        )

    def _run_fields(self, claim: Claim) -> dict[str, object]:
        """Return the fields that identify a run."""
        task = claim.task
        fields: dict[str, object] = {
            "task": task.name,
            "task_id": task.id,
            "queue": task.queue,
            "attempt": task.attempts,
        }
        for more in self._more_fields:
            fields |= more(claim)
        return fields

    def _finish_fields(self, event: TaskFinished) -> dict[str, Any]:
        """Return the fields of a run that has ended."""
        return {**self._run_fields(event.claim), "seconds": round(event.seconds, 6)}


def _traceback(outcome: Failed | Exhausted | Rejected) -> dict[str, Any]:
    """Return the traceback as a field; none where no code was to blame, as for a late start."""
    return {} if outcome.traceback is None else {"stack": outcome.traceback}


def _some(names: Collection[str]) -> list[str]:
    """Return names, not too many for one line."""
    more = len(names) - MAX_NAMES
    return [*islice(names, MAX_NAMES), *([f"… and {more} more"] if more > 0 else [])]


def _group_fields(group: Group) -> dict[str, object]:
    return {"group": group.name, "queue": group.queue, "members": group.size}


def _shown(moment: Moment) -> str:
    """Return a moment in ISO 8601, in UTC."""
    return datetime.fromtimestamp(min(moment, LAST_MOMENT), UTC).isoformat(timespec="milliseconds")
