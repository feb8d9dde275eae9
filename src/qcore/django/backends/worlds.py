"""The classes of `django.tasks` or of `django_tasks`: two worlds that do not know each other."""

from importlib import import_module
from typing import Any

from qcore.domain.record import record


@record
class World:
    """What a backend needs of either."""

    backends: Any
    """By their aliases."""
    task: Any
    result: Any
    status: Any
    error: Any
    context: Any
    invalid_task: Any
    missing: Any
    """The error where there is no result of an id."""
    enqueued: Any
    """Signals."""
    started: Any
    finished: Any


def world_of(package: str, invalid_task: str) -> World:
    """Return what a package has; `invalid_task` is what it calls its error."""
    base = import_module(f"{package}.base")
    exceptions = import_module(f"{package}.exceptions")
    signals = import_module(f"{package}.signals")
    return World(
        backends=import_module(package).task_backends,
        task=base.Task,
        result=base.TaskResult,
        status=base.TaskResultStatus,
        error=base.TaskError,
        context=base.TaskContext,
        invalid_task=getattr(exceptions, invalid_task),
        missing=exceptions.TaskResultDoesNotExist,
        enqueued=signals.task_enqueued,
        started=signals.task_started,
        finished=signals.task_finished,
    )
