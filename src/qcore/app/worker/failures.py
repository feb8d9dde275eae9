"""Judge a handler's error: is its task retried, archived, dead, crashed, or given back."""

import asyncio

from qcore.app.calls.user_code import log_failure
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.router import Router
from qcore.app.tasks.router_tree import AnyHandler
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.error_context import copy_notes, with_error_context
from qcore.app.worker.error_hooks import CallErrorHooks
from qcore.app.worker.run import Run
from qcore.domain.control import RateLimited, Revoke, Snooze
from qcore.domain.error_groups import meaning_of
from qcore.domain.errors import ProcessDied
from qcore.domain.retry import Dice, RetryPolicy, described, fallback, judge
from qcore.domain.task import Task
from qcore.domain.transitions import Crashed, Failed, Rejected, Released, Transition
from qcore.ports import Clock


class FailureJudge:
    """Judge what a handler raised, by why it was cancelled, if it was, and by its retry policy."""

    def __init__(
        self,
        router: Router,
        policy: RetryPolicy | None,
        hooks: CallErrorHooks,
        *,
        control: WorkerControl,
        clock: Clock,
        dice: Dice,
        worker: str,
        version: str | None,
    ) -> None:
        self._node = router.node
        self._policy = policy
        self._hooks = hooks
        self._control = control
        self._clock = clock
        self._dice = dice
        self._worker = worker
        self._version = version

    async def verdict(
        self, run: Run, handler: AnyHandler, error: BaseException
    ) -> Transition | None:
        """Return the verdict on a run whose handler raised; None where its lease is lost."""
        if run.has_lost_lease:
            return None
        match run.cancel_reason:
            case CancelReason.SHUTDOWN:
                return Released()
            case None if self.is_ending(run) and not isinstance(error, SystemExit):
                # a `SystemExit` is not the doing of a program that ends, and may be its cause
                return Released()
            case CancelReason.TIMEOUT if isinstance(error, asyncio.CancelledError):
                error = _timed_out(run.claim.task, error)
            case _:
                # cancelled, but not by the worker: the handler raised it, or awaited a future
                # that was cancelled; that is an error like any other
                pass
        if isinstance(error, ProcessDied):
            # the crash budget, not the retry budget
            return Crashed(described(error), worker=self._worker, version=self._version)
        meaning = self._meaning(error, handler)
        if not isinstance(meaning, Snooze | RateLimited | Revoke):
            # else nothing went wrong
            await self._hooks.call(self._node.error_hooks_of(handler), run.ctx, meaning)
        judged = self._judged(run, handler, error)
        return with_error_context(judged, self._worker, error, version=self._version)

    def _meaning(self, error: BaseException, handler: AnyHandler) -> BaseException:
        try:
            return meaning_of(error, self._clock.now())
        except BaseException as trouble:  # noqa: BLE001  (a subclass of the user's may be anything)
            log_failure(trouble, "error cannot be read", handler.function)
            return error

    def is_ending(self, run: Run) -> bool:
        """Return whether a run was cancelled because the program ends.

        All tasks are cancelled then, in no certain order: the worker will give back what runs, but
        this run may be first.
        """
        return run.is_cancelled and self._control.is_cancelled

    def _judged(self, run: Run, handler: AnyHandler, error: BaseException) -> Transition:
        task, now = run.claim.task, self._clock.now()
        policy = self._node.policy_of(handler, self._policy)
        try:
            verdict = judge(error, task, policy, self._dice, now=now)
        except BaseException as trouble:  # noqa: BLE001  (a policy's own must not lose the task)
            log_failure(trouble, "retry policy failed", handler.function, task_id=run.ctx.id)
            verdict = fallback(error, task, now=now)
        deadline = task.spec.deadline
        if isinstance(verdict, Failed) and deadline is not None and deadline <= now:
            # another run could not begin
            return Rejected(f"its deadline passed; {verdict.error}")
        return verdict


def _timed_out(task: Task, cancelled: BaseException) -> TimeoutError:
    """Return the error of a run that was cut short, with the place and the notes of that."""
    spec = task.spec
    limit = f"{spec.timeout} seconds" if spec.timeout is not None else "its deadline"
    error = TimeoutError(f"the handler ran for longer than {limit}")
    copy_notes(cancelled, error)
    return error.with_traceback(cancelled.__traceback__)
