"""Tell receivers of `task_finished` of tasks that have ended without a run that could do so.

They have expired, were cancelled, or were taken back from lost workers for the last time. An end
hook hears of them, and of those that a run has ended, which has told of them already.
"""

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from qcore.app.client.inline import run_inline
from qcore.app.tasks.ends import Ended
from qcore.django.backends.results import backend_of
from qcore.django.backends.runs import runs_of
from qcore.django.queue import DjangoQcore
from qcore.domain.control import SkipRetry
from qcore.domain.retry import described
from qcore.domain.states import State
from qcore.domain.task import Task


def backend_for(task: Task) -> Any:
    """Return the backend that has enqueued a task; raise KeyError where the settings have none."""
    alias = backend_of(task)
    kind: Any = import_string(settings.TASKS[alias]["BACKEND"])
    return kind.world.backends[alias]


def tell_of_end(q: DjangoQcore, end: Ended) -> None:
    """Tell of a task that is dead, unless its last run has, or it is no longer so."""
    client = q.blocking.inner
    run_inline(client.open())
    task = run_inline(client.broker.get(end.queue, [end.id]))[0]
    if task is None or task.state is not State.DEAD:
        return
    details = run_inline(client.broker.details(end.queue, [end.id]))[0]
    runs = runs_of(None if details is None else details.saved)
    if task.attempts and runs.told == task.attempts:
        return
    try:
        backend = backend_for(task)
        result = backend.result(task, details)
    except (ImportError, KeyError) as error:
        raise SkipRetry(f"nobody can be told of {end.name}: {described(error)}") from None
    backend.world.finished.send_robust(type(backend), task_result=result)
