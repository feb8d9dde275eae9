"""Run tasks of Django in a worker: find the function by its name, tell receivers of signals.

One handler has all plain functions, another all coroutines. A function that has become the other
since its task was enqueued is called all the same.
"""

import os
from collections.abc import Sequence
from socket import gethostname
from typing import Any, Final, Self

from django.conf import settings
from django.utils.module_loading import import_string

from qcore.app.client.inline import run_inline
from qcore.app.tasks.context import Context
from qcore.django.backends.json_values import as_json
from qcore.django.backends.names import IN_LOOP, IN_THREAD
from qcore.django.backends.results import backend_of, datetime_of, error_of, set_value
from qcore.django.backends.runs import Runs, runs_of
from qcore.django.queue import DjangoQcore
from qcore.domain.control import RateLimited, Revoke, SkipRetry, Snooze
from qcore.domain.retry import described
from qcore.domain.run_details import NO_DETAILS, AttemptError, Details
from qcore.domain.text import traceback_of

NOT_HERE: Final = 15.0
"""Seconds after which a task whose function is not here is looked at again, by a newer worker."""
NOT_HERE_LIMIT: Final = 86_400.0
"""Seconds after which there is no hope."""


def register(q: DjangoQcore) -> None:
    """Declare the handlers of Django's tasks."""

    @q.task(IN_THREAD)
    def run_in_thread(ctx: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        run = _Run.begun(q, ctx, _details(q, ctx))
        ctx.save_sync(run.runs.encoded())
        run.tell_started()
        try:
            value = run.checked(run.asked.call(*run.leading, *args, **kwargs))
        except (Exception, SystemExit) as error:
            ctx.save_sync(run.failed(error).encoded())
            run.tell_failed(error)
            raise
        run.tell_succeeded(value)
        return value

    @q.task(IN_LOOP)
    async def run_in_loop(ctx: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        run = _Run.begun(q, ctx, await _awaited_details(q, ctx))
        await ctx.save(run.runs.encoded())
        run.tell_started()
        try:
            value = run.checked(await run.asked.acall(*run.leading, *args, **kwargs))
        except (Exception, SystemExit) as error:
            await ctx.save(run.failed(error).encoded())
            run.tell_failed(error)
            raise
        run.tell_succeeded(value)
        return value


def _details(q: DjangoQcore, ctx: Context) -> Details:
    """Return what the runs before this one have left."""
    if ctx.attempt == 1:
        return NO_DETAILS
    client = q.blocking.inner
    run_inline(client.open())
    return run_inline(client.broker.details(ctx.queue, [ctx.id]))[0] or NO_DETAILS


async def _awaited_details(q: DjangoQcore, ctx: Context) -> Details:
    if ctx.attempt == 1:
        return NO_DETAILS
    await q.client.open()
    return (await q.client.broker.details(ctx.queue, [ctx.id]))[0] or NO_DETAILS


class _Run:
    """A run of a task of Django: its task, its result as it is now, and who is told of it."""

    def __init__(
        self, q: DjangoQcore, ctx: Context, runs: Runs, errors: tuple[AttemptError, ...]
    ) -> None:
        self.runs = runs
        self._q = q
        self._ctx = ctx
        alias = backend_of(ctx.task)
        kind: Any = import_string(settings.TASKS[alias]["BACKEND"])
        self._world = kind.world
        backend: Any = self._world.backends[alias]
        self._sender: type[object] = type(backend)
        self._result = backend.result(ctx.task, Details(errors, saved=runs.encoded()))
        self.asked = self._result.task
        takes_context = self.asked.takes_context
        self.leading: Sequence[Any] = (
            (self._world.context(task_result=self._result),) if takes_context else ()
        )

    @classmethod
    def begun(cls, q: DjangoQcore, ctx: Context, before: Details) -> Self:
        """Return a run that begins now; put the task back where its function is not here."""
        now = q.clock.now()
        try:
            runs = runs_of(before.saved).begun(f"{gethostname()}:{os.getpid()}", now)
            return cls(q, ctx, runs, before.errors)
        except (ImportError, KeyError) as error:
            if now - ctx.task.created > NOT_HERE_LIMIT:
                raise SkipRetry(f"for a day no worker had {ctx.name}: {described(error)}") from None
            ctx.log.warning("task is left to another worker", why=described(error))
            raise Snooze(NOT_HERE) from None

    def checked(self, value: object) -> Any:
        """Return a result as it is read again; raise `SkipRetry` for one that cannot be kept."""
        try:
            return as_json(value, "the result")
        except TypeError as error:
            # to run it again would change nothing, and do its work twice
            raise SkipRetry(str(error)) from error

    def failed(self, error: BaseException) -> Runs:
        """Return the runs with what this one has raised."""
        self.runs = self.runs.failed(self._ctx.attempt, error)
        return self.runs

    def tell_started(self) -> None:
        """Tell receivers of `task_started`."""
        self._world.started.send_robust(self._sender, task_result=self._result)

    def tell_failed(self, error: BaseException) -> None:
        """Tell receivers of `task_finished`, unless another run follows."""
        ctx = self._ctx
        failed = AttemptError(
            self._q.clock.now(), ctx.attempt, described(error), traceback=traceback_of(error)
        )
        self._result.errors.append(error_of(self._world, failed, self.runs))
        is_last = isinstance(error, SkipRetry) or ctx.failures >= ctx.max_retry
        if is_last and not isinstance(error, RateLimited | Revoke | Snooze):
            self._tell_finished(self._world.status.FAILED)

    def tell_succeeded(self, value: object) -> None:
        """Tell receivers of `task_finished`."""
        set_value(self._result, value)
        self._tell_finished(self._world.status.SUCCESSFUL)

    def _tell_finished(self, status: Any) -> None:
        object.__setattr__(self._result, "status", status)
        object.__setattr__(self._result, "finished_at", datetime_of(self._q.clock.now()))
        self._world.finished.send_robust(self._sender, task_result=self._result)
