"""Say in the log what a person wants to read there."""

import time
from collections.abc import Callable, KeysView
from datetime import UTC, datetime
from logging import DEBUG
from typing import Any, Final

import structlog
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
    TaskFinished,
    TasksAggregated,
    TasksSettled,
    TasksSwept,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.lifecycle import (
    Crashed,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Revoked,
    Snoozed,
    State,
    Succeeded,
)
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.retry import described
from qcore.domain.task import Claim, Verdict

REMINDER: Final = 60.0
"""Seconds between two warnings of the same name without a handler."""
MAX_REMINDERS: Final = 1_000
"""Names to remember: they come from outside, and there is no end to them."""

QUIET: Final = (Succeeded, Snoozed, Revoked, Released)
"""Outcomes that are as they should be."""


class LoggingInstrument:
    """Log through structlog: successes as debug, the worker's life as info, failures above.

    - info: a worker started, paused, stopping, stopped; the broker answers again
    - debug: a task succeeded, was snoozed, revoked or released; tasks were aggregated
    - warning: a task failed and is tried again, its process crashed, its lease was lost, its
      verdict came too late; tasks were taken back from lost workers, or expired; no handler for a
      name (once a minute each); a group could not be aggregated, or has nobody here who can (once
      for its kind); the event loop is blocked; the broker failed
    - error: a task is out of retries, was rejected, or is dead after too many crashes

    `now` gives seconds that only grow. The logger is bound, and asked for its level, when a worker
    starts: a success that is not to be logged costs next to nothing from then on. Where structlog
    is not configured and no logger is given, no run is logged as debug.
    """

    def __init__(
        self,
        logger: FilteringBoundLogger | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log: FilteringBoundLogger = logger or structlog.get_logger("qcore")
        self._is_given = logger is not None
        self._debugs = True
        self._now = now
        self._warned: dict[str, float] = {}
        self._tellers: dict[type, Callable[[Any], None]] = {
            WorkerStarted: self._started,
            WorkerPaused: self._paused,
            WorkerStopping: self._stopping,
            WorkerStopped: self._stopped,
            TaskFinished: self._finished,
            TasksSettled: self._settled,
            TasksSwept: self._swept,
            TasksAggregated: self._aggregated,
            AggregationFailed: self._aggregation_failed,
            NoAggregator: self._no_aggregator,
            LeaseWasLost: self._lease_lost,
            NoHandler: self._no_handler,
            LoopBlocked: self._blocked,
            BrokerFailed: self._broker_failed,
            BrokerRecovered: self._recovered,
        }

    @property
    def wants(self) -> KeysView[type]:
        """Return the kinds of happening that are worth a line."""
        return self._tellers.keys()

    def __call__(self, happening: Event) -> None:
        """Log it, if it is worth a line."""
        tell = self._tellers.get(type(happening))
        if tell is not None:
            tell(happening)

    def _started(self, what: WorkerStarted) -> None:
        # a lazy logger is configured anew by each call, which costs more than the task
        self._log = self._log.bind()
        # a structlog that nobody has configured prints everything, a line for each task
        is_set_up = self._is_given or structlog.is_configured()
        self._debugs = is_set_up and _is_enabled(self._log, DEBUG)
        self._log.info("worker started", queues=list(what.queues))

    def _paused(self, _: WorkerPaused) -> None:
        self._log.info("worker paused")

    def _stopping(self, what: WorkerStopping) -> None:
        self._log.info("worker stopping", running=what.running, grace=what.grace)

    def _stopped(self, what: WorkerStopped) -> None:
        self._log.info("worker stopped", released=what.released)

    def _finished(self, what: TaskFinished) -> None:
        if not self._debugs and isinstance(what.outcome, QUIET):
            return
        facts = _facts(what.claim)
        facts["seconds"] = round(what.seconds, 6)
        match what.outcome:
            case Succeeded():
                self._log.debug("task succeeded", **facts)
            case Failed(error, again_at):
                self._log.warning("task failed", error=error, again_at=_shown(again_at), **facts)
            case Exhausted(error):
                self._log.error("task is out of retries", error=error, **facts)
            case Rejected(error):
                self._log.error("task rejected", error=error, **facts)
            case Crashed(error):
                self._log.warning("task crashed", error=error, **facts)
            case Snoozed(unhandled=True):
                # `NoHandler` has been told of it, and has said so
                pass
            case Snoozed(again_at):
                self._log.debug("task snoozed", again_at=_shown(again_at), **facts)
            case outcome:
                self._log.debug(f"task {type(outcome).__name__.lower()}", **facts)

    def _settled(self, what: TasksSettled) -> None:
        for verdict, answer in zip(what.verdicts, what.answers, strict=True):
            if isinstance(answer, LeaseLost) or isinstance(verdict.outcome, Crashed):
                self._settled_badly(verdict, answer)

    def _settled_badly(self, verdict: Verdict, answer: Settled | LeaseLost) -> None:
        facts = {"task_id": verdict.lease.id, "queue": verdict.lease.queue}
        if isinstance(answer, LeaseLost):
            outcome = type(verdict.outcome).__name__.lower()
            self._log.warning("verdict came too late", outcome=outcome, **facts)
        elif answer.state is State.DEAD:
            self._log.error("task is dead after too many crashes", **facts)

    def _swept(self, what: TasksSwept) -> None:
        if what.swept.crashed:
            self._log.warning("workers were lost", crashed=what.swept.crashed)
        if what.swept.expired:
            self._log.warning("tasks expired", expired=what.swept.expired)

    def _aggregated(self, what: TasksAggregated) -> None:
        if not self._debugs:
            return
        task = what.task
        facts = {"task": task.name, "task_id": task.id, "queue": task.queue}
        self._log.debug("tasks aggregated", group=what.group, members=len(what.members), **facts)

    def _aggregation_failed(self, what: AggregationFailed) -> None:
        facts = {"group": what.group.name, "queue": what.group.queue, "members": what.group.size}
        error = described(what.error)
        self._log.warning("aggregation failed", error=error, again_in=what.again_in, **facts)

    def _no_aggregator(self, what: NoAggregator) -> None:
        facts = {"group": what.group.name, "queue": what.group.queue, "members": what.group.size}
        self._log.warning("no aggregator for this group", **facts)

    def _lease_lost(self, what: LeaseWasLost) -> None:
        self._log.warning("lease lost", token=what.claim.lease.token, **_facts(what.claim))

    def _no_handler(self, what: NoHandler) -> None:
        name, now = what.claim.task.name, self._now()
        if now - self._warned.get(name, -REMINDER) < REMINDER:
            return
        if len(self._warned) >= MAX_REMINDERS:
            self._warned.clear()
        self._warned[name] = now
        self._log.warning("no handler for this name", **_facts(what.claim))

    def _blocked(self, what: LoopBlocked) -> None:
        self._log.warning("event loop is blocked", seconds=what.seconds, stack=what.stack)

    def _broker_failed(self, what: BrokerFailed) -> None:
        error = f"{type(what.error).__name__}: {what.error}"
        self._log.warning("broker failed", call=what.call, error=error, again_in=what.again_in)

    def _recovered(self, what: BrokerRecovered) -> None:
        self._log.info("broker answers again", call=what.call, failures=what.failures)


def _facts(claim: Claim) -> dict[str, object]:
    """Return what tells one run of one task from another."""
    task = claim.task
    return {"task": task.name, "task_id": task.id, "queue": task.queue, "attempt": task.attempts}


def _is_enabled(log: FilteringBoundLogger, level: int) -> bool:
    """Ask a logger for its level; one that cannot be asked (structlog before 25.1) logs."""
    # asked of the class: some of structlog's loggers answer to any name at all, by logging
    return not hasattr(type(log), "is_enabled_for") or log.is_enabled_for(level)


def _shown(moment: Moment) -> str:
    """Return a moment as a person reads it."""
    return datetime.fromtimestamp(min(moment, LAST_MOMENT), UTC).isoformat(timespec="milliseconds")
