"""Run tasks of Django in a worker: find the function by its name, tell receivers of signals.

One handler has all plain functions, another all coroutines. A function that has become the other
since its task was enqueued is called all the same.
"""

from asyncio import CancelledError
from collections.abc import Sequence
from typing import Any, Final, Self

from asgiref.sync import sync_to_async

from qcore.app.client.inline import run_inline
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.context import Context
from qcore.app.tasks.ends import Ended
from qcore.django.backends.ends import backend_for, tell_of_end
from qcore.django.backends.json_values import as_json
from qcore.django.backends.names import IN_LOOP, IN_THREAD
from qcore.django.backends.results import datetime_of, error_of, set_value
from qcore.django.backends.runs import Runs, runs_of
from qcore.django.queue import DjangoQcore
from qcore.domain.control import RateLimited, Revoke, SkipRetry, Snooze
from qcore.domain.retry import described
from qcore.domain.run_details import NO_DETAILS, AttemptError, Details
from qcore.domain.states import State
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
            run.failed(error)
            run.tell_finished()
            ctx.save_sync(run.runs.encoded())
            raise
        run.succeeded(value)
        run.tell_finished()
        return value

    @q.task(IN_LOOP)
    async def run_in_loop(ctx: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        run = _Run.begun(q, ctx, await _awaited_details(q, ctx))
        await ctx.save(run.runs.encoded())
        await sync_to_async(run.tell_started)()
        try:
            value = run.checked(await run.asked.acall(*run.leading, *args, **kwargs))
        except (Exception, SystemExit, CancelledError) as error:
            if isinstance(error, CancelledError) and not run.is_late:
                # it is another's by now, or will be put back: it has not failed
                raise
            run.failed(error)
            await sync_to_async(run.tell_finished)()
            await ctx.save(run.runs.encoded())
            raise
        run.succeeded(value)
        await sync_to_async(run.tell_finished)()
        return value

    @q.on_end(IN_THREAD, states=State.DEAD)
    def tell_of_end_in_thread(_ctx: Context, end: Ended) -> None:
        tell_of_end(q, end)

    @q.on_end(IN_LOOP, states=State.DEAD)
    def tell_of_end_in_loop(_ctx: Context, end: Ended) -> None:
        tell_of_end(q, end)


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
        backend = backend_for(ctx.task)
        self._world = backend.world
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
            runs = runs_of(before.saved).begun(ctx.worker, now)
            return cls(q, ctx, runs, before.errors)
        except (ImportError, KeyError) as error:
            if now - ctx.task.created > NOT_HERE_LIMIT:
                raise SkipRetry(f"for a day no worker had {ctx.name}: {described(error)}") from None
            ctx.log.warning("task is left to another worker", why=described(error))
            raise Snooze(NOT_HERE) from None

    @property
    def is_late(self) -> bool:
        """Whether its time was over: what it returns does not count any more."""
        return self._ctx.cancel_reason is CancelReason.TIMEOUT

    def checked(self, value: object) -> Any:
        """Return a result as it is read again; raise `SkipRetry` for one that cannot be kept."""
        if self.is_late:
            raise TimeoutError("it has returned after its time was over")
        try:
            return as_json(value, "the result")
        except TypeError as error:
            # to run it again would change nothing, and do its work twice
            raise SkipRetry(str(error)) from error

    def failed(self, error: BaseException) -> None:
        """Note what it has raised; the task has finished unless another run follows."""
        ctx = self._ctx
        if isinstance(error, CancelledError):
            error = TimeoutError("its time was over")
        is_last = isinstance(error, SkipRetry) or ctx.failures >= ctx.max_retry
        is_last = is_last and not isinstance(error, RateLimited | Revoke | Snooze)
        self.runs = self.runs.failed(ctx.attempt, error, is_last=is_last)
        failed = AttemptError(
            self._q.clock.now(), ctx.attempt, described(error), traceback=traceback_of(error)
        )
        self._result.errors.append(error_of(self._world, failed, self.runs))
        if is_last:
            self._finish(self._world.status.FAILED)

    def succeeded(self, value: object) -> None:
        """Note what it has returned."""
        set_value(self._result, value)
        self._finish(self._world.status.SUCCESSFUL)

    def tell_started(self) -> None:
        """Tell receivers of `task_started`."""
        self._world.started.send_robust(self._sender, task_result=self._result)

    def tell_finished(self) -> None:
        """Tell receivers of `task_finished`, unless another run follows."""
        if self._result.finished_at is not None:
            self._world.finished.send_robust(self._sender, task_result=self._result)

    def _finish(self, status: Any) -> None:
        object.__setattr__(self._result, "status", status)
        object.__setattr__(self._result, "finished_at", datetime_of(self._q.clock.now()))
