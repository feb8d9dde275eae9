"""What both backend classes share: check a task, enqueue it, read its result."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, cast

from django.core.exceptions import ImproperlyConfigured

from qcore.app.calls.options import Options, to_fields
from qcore.app.client.inline import run_inline
from qcore.django.backends.json_values import as_json
from qcore.django.backends.names import BACKEND, name_of, task_of
from qcore.django.backends.results import backend_of, new_result, result_of
from qcore.django.backends.worlds import World
from qcore.django.queue import q
from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import NewTask
from qcore.domain.run_details import Details
from qcore.domain.task import Task

WEEK: Final = 7 * 86_400
DEFAULTS: Final[Options] = {"max_retry": 0, "retention": WEEK}
"""Options of tasks unless the backend's OPTIONS say otherwise: as Django's own backends have it, a
task that raises has failed; and its result is kept for a week."""
NOT_FOR_ALL: Final = frozenset(
    {"queue", "priority", "delay", "at", "task_id", "unique_key", "group", "headers"}
)
"""Options that are a task's own, or that Django says in its own words."""


class TasksBackend:
    """The core of a backend; a class of either world puts it before that world's base class."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    world: ClassVar[World]
    alias: str
    queues: set[str]
    options: dict[str, Any]

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)  # type: ignore[call-arg]
        self._defaults = _checked(alias, self.options)

    def validate_task(self, task: Any) -> None:
        """Raise an error for a task that cannot run; the store is not asked."""
        given = task.priority, task.run_after
        if type(task.priority) is not int:
            raise self.world.invalid_task(
                f"priority is {given[0]!r}: expected a whole number from -100 to 100"
            )
        if task.run_after is not None and not isinstance(task.run_after, datetime):
            raise self.world.invalid_task(f"run_after is {given[1]!r}: expected a datetime")
        super().validate_task(task)  # type: ignore[misc]
        try:
            NewTask(name_of(task), id="?", queue=task.queue_name)
        except InvalidTask as error:
            raise self.world.invalid_task(str(error)) from None
        name: str = task.func.__qualname__
        if not name.isidentifier():
            raise self.world.invalid_task(
                f"{name} cannot be found again by its name: expected a function that its module "
                "has under that name"
            )

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Enqueue a task: after a commit, or in a transaction, as the setting QCORE says."""
        self.validate_task(task)
        arguments = {"args": as_json(args, "args"), "kwargs": as_json(kwargs, "kwargs")}
        client = q.blocking
        run_inline(client.inner.open())
        now = client.inner.clock.now()
        options: Options = {"priority": task.priority, "queue": task.queue_name}
        if task.run_after is not None:
            # a naive one is in local time, as in the rest of Django without time zones
            options["at"] = task.run_after.astimezone()
        handle = client.enqueue(
            NewTask(
                name_of(task),
                id=client.new_id(),
                payload=q.codec.dumps(arguments),
                content_type=q.codec.content_type,
                headers={BACKEND: self.alias},
                **to_fields(cast("Options", {**self._defaults, **options}), now=now),
            )
        )
        result = new_result(self.world, task, handle.id, now=now, backend=self.alias, **arguments)
        # the task is stored: what a receiver does must not look as if it was not
        self.world.enqueued.send_robust(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return the result of a task; raise an error where there is none of this id."""
        client = q.blocking.inner
        run_inline(client.open())
        for queue in self._queues():
            task = run_inline(client.broker.get(queue, [result_id]))[0]
            if task is not None and self._is_ours(task):
                details = run_inline(client.broker.details(queue, [result_id]))[0]
                return self.result(task, details)
        raise self.world.missing(result_id)

    def result(self, task: Task, details: Details | None) -> Any:
        """Return the result of a stored task."""
        return result_of(self.world, self.task_of(task), task, details, q.codec)

    def task_of(self, task: Task) -> Any:
        """Return the task of Django of a stored one; raise ImportError where there is none."""
        found = task_of(task.name)
        changes = {
            "backend": self.alias,
            "priority": task.spec.priority,
            "queue_name": task.queue,
        }
        if isinstance(found, self.world.task):
            return found.using(**changes)
        return self.world.task(func=found, **changes)

    def _queues(self) -> Sequence[str]:
        return sorted(self.queues) or sorted(q.blocking_inspector.counts())

    def _is_ours(self, task: Task) -> bool:
        return BACKEND in task.spec.headers and backend_of(task) == self.alias


def _checked(alias: str, options: Mapping[str, Any]) -> Options:
    """Return the options of a backend's tasks; raise `ImproperlyConfigured` for what is wrong."""
    where = f'TASKS["{alias}"]["OPTIONS"]'
    for name in options:
        if name in NOT_FOR_ALL or name not in Options.__annotations__:
            known = ", ".join(sorted(Options.__annotations__.keys() - NOT_FOR_ALL))
            place = '; where tasks wait is QCORE["URL"]' if name == "url" else ""
            raise ImproperlyConfigured(f"{where} has {name!r}: expected some of {known}{place}")
    defaults = cast("Options", {**DEFAULTS, **options})
    try:
        NewTask("?", id="?", **to_fields(defaults, now=0.0))
    except InvalidTask as error:
        raise ImproperlyConfigured(f"{where}: {error}") from None
    return defaults
