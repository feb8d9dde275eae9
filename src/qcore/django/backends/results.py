"""A result as Django's tasks have it, made of a stored task."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings

from qcore.app.calls.codec import Codec
from qcore.django.backends.names import BACKEND
from qcore.django.backends.runs import NOT_RAISED, Runs, runs_of
from qcore.django.backends.worlds import World
from qcore.domain.moments import Moment
from qcore.domain.run_details import AttemptError, Details
from qcore.domain.states import State
from qcore.domain.task import Task

STATUS: Final[Mapping[State, str]] = {
    State.SCHEDULED: "READY",
    State.PENDING: "READY",
    State.AGGREGATING: "READY",
    State.RETRY: "READY",
    State.ACTIVE: "RUNNING",
    State.COMPLETED: "SUCCESSFUL",
    State.ARCHIVED: "FAILED",
    State.DEAD: "FAILED",
}


def new_result(world: World, task: Any, id_: str, *, now: Moment, **given: Any) -> Any:
    """Return the result of a task that was enqueued right now."""
    return world.result(
        task=task,
        id=id_,
        status=world.status.READY,
        enqueued_at=datetime_of(now),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        errors=[],
        worker_ids=[],
        **given,
    )


def result_of(world: World, asked: Any, task: Task, details: Details | None, codec: Codec) -> Any:
    """Return the result of a stored task; `asked` is the task of Django that it was made of."""
    runs = runs_of(None if details is None else details.saved)
    arguments = arguments_of(task, codec)
    errors = [] if details is None else [error_of(world, each, runs) for each in details.errors]
    if task.state in {State.ARCHIVED, State.DEAD} and not errors:
        # it has expired, or was cancelled: no run has raised anything
        errors = [world.error(exception_class_path=NOT_RAISED, traceback=task.error or "")]
    result = world.result(
        task=asked,
        id=task.id,
        status=world.status[STATUS[task.state]],
        enqueued_at=datetime_of(task.created),
        started_at=datetime_of(runs.first),
        finished_at=datetime_of(task.finished),
        last_attempted_at=datetime_of(runs.last),
        args=arguments["args"],
        kwargs=arguments["kwargs"],
        backend=backend_of(task),
        errors=errors,
        worker_ids=[*runs.workers],
    )
    if task.result is not None:
        set_value(result, codec.loads(task.result, task.result_type, object))
    return result


def set_value(result: Any, value: object) -> None:
    """Put what a task has returned into its result, which is frozen."""
    object.__setattr__(result, "_return_value", value)


def error_of(world: World, error: AttemptError, runs: Runs) -> Any:
    """Return the error of a run; one whose worker was lost has raised nothing."""
    raised = dict(runs.raised).get(error.attempt, NOT_RAISED)
    return world.error(exception_class_path=raised, traceback=error.traceback or error.error)


def arguments_of(task: Task, codec: Codec) -> Mapping[str, Any]:
    """Return `args` and `kwargs` of a stored task."""
    found: Mapping[str, Any] = codec.loads(
        task.spec.payload, task.spec.content_type, dict[str, Any]
    )
    return found


def backend_of(task: Task) -> str:
    """Return the alias of the backend that has enqueued a task."""
    return task.spec.headers.get(BACKEND, "default")


def datetime_of(moment: Moment | None) -> datetime | None:
    """Return a moment as Django has it: aware if it has time zones, else in local time."""
    if moment is None:
        return None
    if settings.USE_TZ:
        return datetime.fromtimestamp(moment, tz=UTC)
    return datetime.fromtimestamp(moment)  # noqa: DTZ006  (Django's own without time zones)
