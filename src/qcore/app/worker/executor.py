"""One claim, one verdict: resolve, decode, perform, judge."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog
from attrs import evolve

from qcore.app.calls.chain_header import CHAIN_HEADER, decode_steps, next_step_task
from qcore.app.calls.codec import Codec
from qcore.app.calls.introspection import refuse_coroutine
from qcore.app.client.client import Client
from qcore.app.tasks.context import Context
from qcore.app.tasks.handler import Kind
from qcore.app.tasks.router import AnyHandler, Middleware, Next, Router
from qcore.app.worker.error_context import with_error_context
from qcore.app.worker.pools.handler_pools import HandlerPools
from qcore.app.worker.pools.processes import ProcessDied
from qcore.app.worker.run import CancelReason, Run
from qcore.domain.control import RateLimited, Revoke, Snooze
from qcore.domain.errors import CannotEncode, InvalidTask
from qcore.domain.lifecycle import (
    Crashed,
    Failed,
    Rejected,
    Released,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.domain.new_task import NewTask
from qcore.domain.retry import Dice, RetryPolicy, described, judge
from qcore.domain.task import Task
from qcore.ports import Clock

NO_HANDLER_SNOOZE: Final = 15.0
NO_HANDLER_LIMIT: Final = 86_400.0
HOOK_TIMEOUT: Final = 5.0
"""Seconds, of this world, that an error hook may take."""

_DONE: Final = Succeeded()


class TooLateToStart(Exception):
    """Say why a task may not begin any more."""


class Executor:
    """Run claimed tasks with the handlers of a router."""

    def __init__(
        self,
        router: Router,
        *,
        clock: Clock,
        codec: Codec,
        client: Client,
        dice: Dice,
        policy: RetryPolicy,
        pools: HandlerPools,
        begin: Callable[[Run], None],
        worker: str,
    ) -> None:
        self._router = router
        self._clock = clock
        self._codec = codec
        self._client = client
        self._dice = dice
        self._policy = policy
        self._pools = pools
        self._begin = begin
        self._worker = worker

    def execute(self, run: Run) -> Awaitable[Transition | None]:
        """Return what happened to the task; None when its lease was lost, and nobody asks."""
        task = run.claim.task
        handler = self._router.resolve(task.spec.name)
        if handler is None:
            return _told(self._put_back(task))
        try:
            self._refuse_late(task)
            args, kwargs = handler.signature.decode(
                task.spec.payload, task.spec.content_type, self._codec
            )
            if task.spec.headers:
                # what cannot be passed on must not begin
                decode_steps(task.spec, self._codec)
        except TooLateToStart as late:
            return _told(self._rejected(str(late)))
        except Exception as error:  # noqa: BLE001  (a payload or an annotation that cannot be read)
            return _told(self._rejected(described(error)))
        # not a coroutine itself: each one that a handler is awaited through costs
        return self._concluded(handler, run, args, kwargs)

    async def _concluded(
        self, handler: AnyHandler, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Transition | None:
        """Perform, and say what became of it."""
        try:
            value = await self._perform(handler, run, args, kwargs)
        except (GeneratorExit, KeyboardInterrupt):
            # the loop is being torn down
            raise
        except TooLateToStart as late:
            return self._rejected(str(late))
        except BaseException as error:  # noqa: BLE001  (what a handler raises is judged, not fatal)
            run.has_ended = True
            return await self._raised(run, handler, error)
        run.has_ended = True
        if run.cancel_reason is not None:
            # it ended because it was told to: what it returned is not the whole
            return await self._raised(run, handler, asyncio.CancelledError())
        return self._succeeded(run, value)

    def _refuse_late(self, task: Task) -> None:
        """Raise `TooLateToStart` for a task that must not begin any more."""
        spec = task.spec
        if spec.expires is None and spec.deadline is None:
            return
        now = self._clock.now()
        if spec.expires is not None and spec.expires <= now:
            raise TooLateToStart("expired")
        if spec.deadline is not None and spec.deadline <= now:
            raise TooLateToStart("its deadline passed before it could run")

    def _put_back(self, task: Task) -> Transition:
        """Let another worker have it, and give up after a day."""
        now = self._clock.now()
        since = task.unhandled_since
        if since is not None and now - since >= NO_HANDLER_LIMIT:
            return self._rejected(f"for a day no worker had a handler for {task.name!r}")
        return Snoozed(now + NO_HANDLER_SNOOZE, unhandled=True)

    def _perform(
        self, handler: AnyHandler, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Awaitable[object]:
        """Call the handler where it belongs, inside every middleware."""
        middleware = self._router.middlewares
        if handler.kind is not Kind.COROUTINE:
            call = self._in_thread if handler.kind is Kind.THREAD else self._in_process
            return self._in_slot(run, handler.kind, partial(call, run, handler, args, kwargs))
        self._begin(run)
        if not middleware:
            ended: Awaitable[object] = handler.function(run.ctx, *args, **kwargs)
            return ended
        return _wrapped(partial(_in_coroutine, handler, args, kwargs), middleware)(run.ctx)

    async def _in_slot(self, run: Run, kind: Kind, call: Next) -> object:
        async with self._pools.slots[kind]:
            # it may have waited for long
            self._refuse_late(run.claim.task)
            self._begin(run)
            return await _wrapped(call, self._router.middlewares)(run.ctx)

    async def _in_thread(
        self,
        run: Run,
        handler: AnyHandler,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        ctx: Context,
    ) -> object:
        future = self._pools.threads.submit(handler.function, ctx, *args, **kwargs)
        while True:
            try:
                return refuse_coroutine(await asyncio.shield(future), "handler")
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    return refuse_coroutine(run.take_result(future), "handler")
                # a thread cannot be ended: its slot is free when it has seen ctx.is_cancelled
                run.ctx.cancel()
                if run.cancel_reason is CancelReason.SHUTDOWN:
                    raise

    async def _in_process(
        self,
        run: Run,
        handler: AnyHandler,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        ctx: Context,
    ) -> object:
        now = self._clock.now()
        future = self._pools.processes.start(handler.function, ctx, args, kwargs, now=now)
        try:
            return await asyncio.shield(future.reply)
        except asyncio.CancelledError:
            if future.reply.done() and not future.reply.cancelled():
                return run.take_result(future.reply)
            await future.kill()
            raise

    async def _raised(
        self, run: Run, handler: AnyHandler, error: BaseException
    ) -> Transition | None:
        """Say what an error means, raised by a handler that may have been told to end."""
        match run.cancel_reason:
            case CancelReason.LEASE_LOST:
                return None
            case CancelReason.SHUTDOWN:
                return Released()
            case CancelReason.TIMEOUT if isinstance(error, asyncio.CancelledError):
                error = _timed_out(run.claim.task).with_traceback(error.__traceback__)
            case _:
                # cancelled without a reason: the handler did it, or awaited what was cancelled
                pass
        if isinstance(error, ProcessDied):
            return Crashed(described(error), worker=self._worker)
        return with_error_context(await self._judged(run, handler, error), self._worker, error)

    def _rejected(self, why: str) -> Rejected:
        return Rejected(why, worker=self._worker)

    async def _judged(self, run: Run, handler: AnyHandler, error: BaseException) -> Transition:
        await self._tell_hooks(run.ctx, error)
        task, now = run.claim.task, self._clock.now()
        try:
            outcome = judge(error, task, handler.policy or self._policy, self._dice, now=now)
        except Exception:  # noqa: BLE001  (a policy's own trouble must not lose the task)
            structlog.get_logger("qcore").exception("retry policy failed", task_id=run.ctx.id)
            plain = evolve(task, spec=evolve(task.spec, backoff=None))
            outcome = judge(error, plain, RetryPolicy(), _fair, now=now)
        deadline = task.spec.deadline
        if isinstance(outcome, Failed) and deadline is not None and deadline <= now:
            # another run could not begin
            return Rejected(f"its deadline passed; {outcome.error}")
        return outcome

    async def _tell_hooks(self, ctx: Context, error: BaseException) -> None:
        if isinstance(error, Snooze | RateLimited | Revoke):
            return  # nothing went wrong
        for hook in self._router.error_hooks:
            try:
                pending = hook(ctx, error)
                if inspect.isawaitable(pending):
                    async with asyncio.timeout(HOOK_TIMEOUT):
                        await pending
            except Exception:  # noqa: BLE001  (a hook's own trouble is not the task's)
                structlog.get_logger("qcore").exception("error hook failed", task_id=ctx.id)

    def _succeeded(self, run: Run, value: object) -> Transition:
        spec, then = run.claim.task.spec, run.ctx.end()
        if spec.headers and CHAIN_HEADER in spec.headers:
            try:
                then = (*then, self._after(spec, value))
            except InvalidTask as error:
                return self._rejected(f"its result cannot be passed on: {error}")
        if not spec.retention or value is None:
            return Succeeded(then=then) if then else _DONE
        try:
            return Succeeded(self._codec.dumps(value), self._codec.content_type, then)
        except CannotEncode as error:
            return self._rejected(f"its result cannot be kept: {error}")

    def _after(self, spec: NewTask, value: object) -> NewTask:
        """Return the next step of a chain."""
        now = self._clock.now()
        return self._client.build(next_step_task(spec, value, self._codec, now), now)


async def _told(event: Transition) -> Transition:
    """Tell what is known without a run."""
    return event


def _fair() -> float:
    """Roll the middle: the dice themselves may be what broke."""
    return 0.5


async def _in_coroutine(
    handler: AnyHandler, args: Sequence[Any], kwargs: Mapping[str, Any], ctx: Context
) -> object:
    return await handler.function(ctx, *args, **kwargs)


def _wrapped(run: Next, middleware: Sequence[Middleware]) -> Next:
    for each in reversed(middleware):
        run = partial(_around, each, run)
    return run


async def _around(middleware: Middleware, run: Next, ctx: Context) -> object:
    return await middleware(ctx, run)


def _timed_out(task: Task) -> TimeoutError:
    spec = task.spec
    limit = f"{spec.timeout} seconds" if spec.timeout is not None else "its deadline"
    return TimeoutError(f"the handler ran for longer than {limit}")
