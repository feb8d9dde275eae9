"""Lines of the moves that tasks make, one for each move: see `TaskLines`."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from qcore.domain.answers import (
    Conflict,
    Duplicate,
    Enqueued,
    LeaseLost,
    Settled,
    SweptTask,
    UnreadableTask,
)
from qcore.domain.events import (
    Operated,
    PeriodicMissed,
    PeriodicTicked,
    TasksAggregated,
    TasksClaimed,
    TasksEnqueued,
    TasksSettled,
    TasksSwept,
)
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import (
    Crashed,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Revoked,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.log.logger import get_logger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

EXPECTED: Final = (Succeeded, Snoozed, Revoked, Released)
"""Outcomes that are logged as debug: nothing has gone wrong."""
MAX_NAMES: Final = 20
"""Names of tasks, or their ids, in one line."""

Level: TypeAlias = Literal["debug", "info"]


class TaskLines:
    """Log each move of a task once, when the store has it, with what tells its run from others.

    An outcome is logged as it was settled rather than as it was reached: a verdict that came too
    late, or was refused and replaced, has moved nothing. Where a sweep or a claim has moved more
    tasks than it names, a line has their number. That a task became due is seen by the line of its
    claim.
    """

    def __init__(self, logger: "FilteringBoundLogger | None", successes: Level) -> None:
        self._logger = logger
        self.successes: Level = successes
        """The level of a run that succeeded."""
        self._logs_debug = True
        self._logs_successes = True
        self._more_fields: list[Callable[[Claim], Mapping[str, object]]] = []
        self._task_loggers: dict[type, Callable[[Any], None]] = {
            TasksEnqueued: self._enqueued,
            TasksClaimed: self._claimed,
            TasksSettled: self._settled,
            TasksSwept: self._swept,
            TasksAggregated: self._aggregated,
            PeriodicTicked: self._ticked,
            PeriodicMissed: self._missed,
            Operated: self._operated,
        }

    @cached_property
    def _log(self) -> "FilteringBoundLogger":
        """The logger that was given, or else qcore's own; a worker binds it."""
        return self._logger or get_logger()

    def add_fields(self, function: Callable[[Claim], Mapping[str, object]]) -> None:
        """Add the fields that a function returns for a claim to each line about its run."""
        self._more_fields.append(function)

    # --- before a run --------------------------------------------------------------------------

    def _enqueued(self, event: TasksEnqueued) -> None:
        for task, answer in zip(event.tasks, event.answers, strict=True):
            fields = task_fields(task)
            match answer:
                case Enqueued(_, state):
                    self._log.debug("task enqueued", state=str(state), **fields)
                case Duplicate(holder, state):
                    why = f"its unique key is held by {holder!r}, which is {state}"
                    self._log.debug("task not enqueued", reason=why, **fields)
                case Conflict(_, state):
                    why = f"its id is taken by a task that is {state}"
                    self._log.debug("task not enqueued", reason=why, **fields)
                case _:
                    # its text may quote a value, and its caller gets it
                    self._log.debug("task not enqueued", reason="it is refused", **fields)

    def _claimed(self, event: TasksClaimed) -> None:
        if self._logs_debug:
            for claim in event.claims:
                self._log.debug("task claimed", **self._run_fields(claim))

    def _aggregated(self, event: TasksAggregated) -> None:
        if self._logs_debug:
            members = event.members
            fields = {"members": len(members), "task_ids": some(members), "group": event.group}
            self._log.debug("tasks aggregated", **fields, **task_fields(event.task))

    def _ticked(self, event: PeriodicTicked) -> None:
        if self._logs_debug:
            for task, admission in zip(event.tasks, event.admissions, strict=True):
                answer = type(admission).__name__.lower()
                fields = {"entry": event.entry.id, "answer": answer, **task_fields(task)}
                self._log.debug("periodic task ticked", **fields)

    def _missed(self, event: PeriodicMissed) -> None:
        entry = event.entry
        self._log.warning("ticks were missed", entry=entry.id, queue=entry.queue, ticks=event.ticks)

    # --- the end of a run ----------------------------------------------------------------------

    def _settled(self, event: TasksSettled) -> None:
        if not self._logs_successes and event.all_succeeded:
            return
        for claim, verdict, answer in zip(event.claims, event.verdicts, event.answers, strict=True):
            # of most tasks: without a call more
            if (
                type(verdict.outcome) is not Succeeded
                or type(answer) is LeaseLost
                or self._logs_successes
            ):
                self._settled_one(claim, verdict, answer)

    def _settled_one(self, claim: Claim, verdict: Verdict, answer: Settled | LeaseLost) -> None:
        outcome = verdict.outcome
        if isinstance(answer, LeaseLost):
            what, error = type(outcome).__name__.lower(), getattr(outcome, "error", None)
            fields = {} if error is None else {"error": error}
            fields |= self._end_fields(claim, verdict)
            self._log.warning("verdict came too late", outcome=what, **fields)
        elif isinstance(outcome, EXPECTED):
            if self._logs_debug or isinstance(outcome, Succeeded):
                self._ended_as_expected(outcome, claim, self._end_fields(claim, verdict))
        else:
            self._failed(outcome, answer.state, self._end_fields(claim, verdict))

    def _ended_as_expected(self, outcome: Transition, claim: Claim, fields: dict[str, Any]) -> None:
        match outcome:
            case Succeeded(then=then):
                log = self._log.info if self.successes == "info" else self._log.debug
                log("task succeeded", **fields)
                for task in then if self._logs_debug else ():
                    self._log.debug(
                        "follow-up enqueued", follows=claim.task.id, **task_fields(task)
                    )
            case Snoozed(unhandled=True):
                # `NoHandler` is logged of it, once a minute for its name
                pass
            case Snoozed(again_at):
                self._log.debug("task snoozed", again_at=shown_moment(again_at), **fields)
            case _:
                self._log.debug(f"task {type(outcome).__name__.lower()}", **fields)

    def _failed(self, outcome: Transition, state: State, fields: dict[str, Any]) -> None:
        match outcome:
            case Failed(error, again_at):
                # it will be tried again: whoever looks for the cause asks for debug
                fields |= _cause(outcome, has_traceback=self._logs_debug)
                again = shown_moment(again_at)
                self._log.warning("task failed", error=error, again_at=again, **fields)
            case Exhausted(error):
                fields |= _cause(outcome)
                self._log.error("task is out of retries", error=error, **fields)
            case Rejected(error):
                fields |= _cause(outcome)
                self._log.error("task rejected", error=error, **fields)
            case Crashed():
                self._crashed(outcome, state, fields)
            case _:
                self._log.warning(f"task {type(outcome).__name__.lower()}", **fields)

    def _swept(self, event: TasksSwept) -> None:
        swept = event.swept
        for task in swept.tasks:
            if task.transition is not None or self._logs_debug:
                self._swept_one(task)
        named = Counter(type(task.transition) for task in swept.tasks)
        if swept.crashed > named[Crashed]:
            self._log.warning("workers were lost", crashed=swept.crashed)
        if swept.expired > named[Expired]:
            self._log.warning("tasks expired", expired=swept.expired)
        if swept.unreadable > named[UnreadableTask]:
            self._log.error("tasks cannot be read", unreadable=swept.unreadable)

    def _swept_one(self, swept: SweptTask) -> None:
        known = {"task": swept.name, "attempt": swept.attempts}
        fields: dict[str, Any] = {"task_id": swept.id, "queue": swept.queue}
        fields |= {name: value for name, value in known.items() if value is not None}
        match swept.transition:
            case None:
                self._log.debug("task trimmed", **fields)
            case Expired():
                self._log.warning("task expired", **fields)
            case UnreadableTask(error):
                self._log.error("task cannot be read", error=error, **fields)
            case crashed:
                self._crashed(crashed, swept.state, fields)

    def _crashed(self, crashed: Crashed, state: State, fields: dict[str, Any]) -> None:
        if state is State.DEAD:
            self._log.error("task is dead after too many crashes", error=crashed.error, **fields)
        else:
            self._log.warning("task crashed", error=crashed.error, **fields)

    # --- operators -----------------------------------------------------------------------------

    def _operated(self, event: Operated) -> None:
        fields = {"reason": event.reason, "detail": event.detail, "entry": event.entry}
        given: dict[str, object] = {name: value for name, value in fields.items() if value}
        if event.tasks:
            given |= {"tasks": len(event.tasks), "task_ids": some(event.tasks)}
        self._log.info(
            "operator's command", action=event.action, queue=event.queue, by=event.by, **given
        )

    # --- fields --------------------------------------------------------------------------------

    def _run_fields(self, claim: Claim) -> dict[str, Any]:
        """Return the fields that identify a run."""
        fields = {**task_fields(claim.task.spec), "attempt": claim.task.attempts}
        for more in self._more_fields:
            fields |= more(claim)
        return fields

    def _end_fields(self, claim: Claim, verdict: Verdict) -> dict[str, Any]:
        """Return the fields of a run that has ended; no seconds where no handler was called."""
        fields = self._run_fields(claim)
        if verdict.ran is not None:
            fields["seconds"] = round(verdict.ran, 6)
        return fields


def task_fields(task: NewTask) -> dict[str, Any]:
    """Return the fields that identify a task."""
    return {"task": task.name, "task_id": task.id, "queue": task.queue}


def some(names: Collection[str]) -> list[str]:
    """Return names, not too many for one line."""
    more = len(names) - MAX_NAMES
    return [*islice(names, MAX_NAMES), *([f"… and {more} more"] if more > 0 else [])]


def shown_moment(moment: Moment) -> str:
    """Return a moment in ISO 8601, in UTC."""
    return datetime.fromtimestamp(min(moment, LAST_MOMENT), UTC).isoformat(timespec="milliseconds")


def _cause(outcome: Failed | Exhausted | Rejected, *, has_traceback: bool = True) -> dict[str, Any]:
    """Return fields of what was raised; none where no code was to blame, as for a late start."""
    fields = {"error_type": outcome.error_type, "stack": outcome.traceback}
    if not has_traceback:
        del fields["stack"]
    return {name: value for name, value in fields.items() if value is not None}
