"""Judge a handler's error: is its task retried, archived, dead, crashed, or given back."""

import asyncio
import inspect
from typing import Final

import structlog
from attrs import evolve

from qcore.app.tasks.context import Context
from qcore.app.tasks.router import AnyHandler, Router
from qcore.app.worker.error_context import with_error_context
from qcore.app.worker.pools.child_ipc import ProcessDied
from qcore.app.worker.run import CancelReason, Run
from qcore.domain.control import RateLimited, Revoke, Snooze
from qcore.domain.lifecycle import Crashed, Failed, Rejected, Released, Transition
from qcore.domain.retry import Dice, RetryPolicy, described, judge
from qcore.domain.task import Task
from qcore.ports import Clock

HOOK_TIMEOUT: Final = 5.0
"""Seconds, of real time, that an error hook may take."""


class FailureJudge:
    """Judge what a handler raised, by why it was cancelled, if it was, and by its retry policy."""

    def __init__(
        self, router: Router, policy: RetryPolicy, *, clock: Clock, dice: Dice, worker: str
    ) -> None:
        self._router = router
        self._policy = policy
        self._clock = clock
        self._dice = dice
        self._worker = worker

    async def verdict(
        self, run: Run, handler: AnyHandler, error: BaseException
    ) -> Transition | None:
        """Return the verdict on a run whose handler raised; None where its lease is lost."""
        match run.cancel_reason:
            case CancelReason.LEASE_LOST:
                return None
            case CancelReason.SHUTDOWN:
                return Released()
            case CancelReason.TIMEOUT if isinstance(error, asyncio.CancelledError):
                error = _timed_out(run.claim.task).with_traceback(error.__traceback__)
            case _:
                # cancelled, but not by the worker: the handler raised it, or awaited a future
                # that was cancelled; that is an error like any other
                pass
        if isinstance(error, ProcessDied):
            # the crash budget, not the retry budget
            return Crashed(described(error), worker=self._worker)
        await self._call_error_hooks(run.ctx, error)
        return with_error_context(self._judged(run, handler, error), self._worker, error)

    def _judged(self, run: Run, handler: AnyHandler, error: BaseException) -> Transition:
        task, now = run.claim.task, self._clock.now()
        try:
            verdict = judge(error, task, handler.policy or self._policy, self._dice, now=now)
        except Exception:  # noqa: BLE001  (a policy's own trouble must not lose the task)
            structlog.get_logger("qcore").exception("retry policy failed", task_id=run.ctx.id)
            without_backoff = evolve(task, spec=evolve(task.spec, backoff=None))
            verdict = judge(error, without_backoff, RetryPolicy(), _middle, now=now)
        deadline = task.spec.deadline
        if isinstance(verdict, Failed) and deadline is not None and deadline <= now:
            # another run could not begin
            return Rejected(f"its deadline passed; {verdict.error}")
        return verdict

    async def _call_error_hooks(self, ctx: Context, error: BaseException) -> None:
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


def _middle() -> float:
    """Return the middle of the dice's range: the dice themselves may be what failed."""
    return 0.5


def _timed_out(task: Task) -> TimeoutError:
    spec = task.spec
    limit = f"{spec.timeout} seconds" if spec.timeout is not None else "its deadline"
    return TimeoutError(f"the handler ran for longer than {limit}")
