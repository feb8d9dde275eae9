"""One claim in, one verdict out: resolve the handler, decode, invoke, judge."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

from qcore.app.calls.chain_header import decode_steps, next_step_task
from qcore.app.calls.chain_steps import CHAIN_HEADER
from qcore.app.calls.codec import Codec
from qcore.app.calls.introspection import refuse_unstarted
from qcore.app.calls.remote_result import RemoteResult
from qcore.app.calls.signature import Decode
from qcore.app.calls.user_code import is_ctrl_c, reraise_ctrl_c
from qcore.app.client.client import Client
from qcore.app.tasks.interactive import is_interactive
from qcore.app.tasks.router import Router
from qcore.app.tasks.router_tree import AnyHandler
from qcore.app.worker.failures import FailureJudge
from qcore.app.worker.invocation import Invoke, TooLateToStart, check_may_start
from qcore.app.worker.pools.error_stand_in import readable
from qcore.app.worker.run import Run
from qcore.domain.error_groups import is_a
from qcore.domain.errors import RESULT_NOT_KEPT, CannotEncode, InvalidTask, UnknownFormat
from qcore.domain.new_task import NewTask
from qcore.domain.origin import following
from qcore.domain.record import record
from qcore.domain.retry import described
from qcore.domain.task import Task
from qcore.domain.transitions import Rejected, Snoozed, Succeeded, Transition
from qcore.ports import Clock

NO_HANDLER_SNOOZE: Final = 15.0
"""Seconds after which a task without a handler here may be claimed again, by any worker."""
NO_HANDLER_LIMIT: Final = 86_400.0
"""Seconds after which a task that no worker has a handler for is dead."""

MAX_PREPARED: Final = 4_096
"""Handlers for whose runs is remembered what is the same for all of them."""

_DONE: Final = Succeeded()
"""The verdict of nearly every run: no result to keep, and nothing to follow."""


class CallHandlers(Protocol):
    """Calls handlers."""

    def prepare(self, handler: AnyHandler) -> Invoke:
        """Return what calls a handler, with what is the same for all of its runs looked up."""
        ...


@record
class PreparedHandler:
    """What is the same for all runs of a handler whose payloads are of one format."""

    handler: AnyHandler
    decode: Decode
    invoke: Invoke


class Executor:
    """Run claimed tasks with the handlers of a router; what a handler raises never escapes."""

    def __init__(
        self,
        router: Router,
        invoker: CallHandlers,
        judge: FailureJudge,
        *,
        clock: Clock,
        codec: Codec,
        client: Client,
        max_result: int,
        worker: str,
        version: str | None,
    ) -> None:
        self._router = router
        self._invoker = invoker
        self._judge = judge
        self._clock = clock
        self._codec = codec
        self._client = client
        self._max_result = max_result
        self._worker = worker
        self._version = version
        # in a notebook a cell may be run again that declares an around
        self._prepared: Callable[[AnyHandler, str], PreparedHandler] = (
            self._prepare if is_interactive() else lru_cache(MAX_PREPARED)(self._prepare)
        )

    def _prepare(self, handler: AnyHandler, content_type: str) -> PreparedHandler:
        decode = handler.signature.decoder(content_type, self._codec)
        return PreparedHandler(handler, decode, self._invoker.prepare(handler))

    def execute(self, run: Run) -> Awaitable[Transition | None]:
        """Return the verdict on a run; None if its lease is lost, as no verdict would count."""
        task = run.claim.task
        spec = task.spec
        handler = self._router.resolve(spec.name)
        if handler is None:
            return _resolved(self._leave(task, f"no worker had a handler for {task.name!r}"))
        try:
            if spec.expires is not None or spec.deadline is not None:
                check_may_start(spec, self._clock)
            prepared = self._prepared(handler, spec.content_type)
            args, kwargs = prepared.decode(spec.payload)
            if spec.headers:
                # a result that could not be passed on must not be computed
                decode_steps(spec, self._codec)
        except TooLateToStart as late:
            return _resolved(self._rejected(str(late)))
        except UnknownFormat as error:
            run.unknown_format = str(error)
            return _resolved(self._leave(task, f"no worker could read it: {error}"))
        except BaseException as error:  # noqa: BLE001  (whatever reads a payload or an annotation)
            reraise_ctrl_c(error)
            return _resolved(self._rejected(described(error)))
        # not a coroutine itself: each coroutine between the loop and a handler costs every await
        return self._invoke_and_judge(prepared, run, args, kwargs)

    async def _invoke_and_judge(
        self, prepared: PreparedHandler, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Transition | None:
        handler = prepared.handler
        try:
            value = await prepared.invoke(run, args, kwargs)
            if value is not None:
                refuse_unstarted(value, "handler")
        except TooLateToStart as late:
            return self._rejected(str(late))
        except BaseException as error:
            # what a handler raises is judged, and ends nothing but its run
            if is_ctrl_c(error) or (is_a(error, GeneratorExit) and not run.is_current()):
                raise
            run.has_ended = True
            return await self._judge.verdict(run, handler, readable(error))
        run.has_ended = True
        coroutine = run.coroutine
        # not by `run.is_cancelled`: this is asked of every run
        if (
            coroutine is not None
            and coroutine.cancelling()
            and (run.cancel_reason is not None or self._judge.is_ending(run))
        ):
            # it returned because it was cancelled: its result is not the whole
            return await self._judge.verdict(run, handler, asyncio.CancelledError())
        try:
            return self._succeeded(handler, run, value)
        except BaseException as error:  # noqa: BLE001  (whatever the class of a result does)
            reraise_ctrl_c(error)
            return self._rejected(f"its result cannot be kept: it raised {described(error)}")

    def _leave(self, task: Task, why: str) -> Transition:
        """Leave the task to another worker, as in a rolling deployment; give up after a day."""
        now = self._clock.now()
        since = task.unhandled_since
        if since is not None and now - since >= NO_HANDLER_LIMIT:
            return self._rejected(f"for a day {why}")
        return Snoozed(now + NO_HANDLER_SNOOZE, unhandled=True)

    def _succeeded(self, handler: AnyHandler, run: Run, value: object) -> Transition:
        """Return the verdict on a handler that returned `value`, with what is to follow."""
        spec, then = run.claim.task.spec, run.ctx.end()
        if spec.headers and CHAIN_HEADER in spec.headers:
            try:
                then = (*then, self._next_step(handler, spec, value))
            except InvalidTask as error:
                return self._rejected(f"its result cannot be passed on: {error}")
        if not spec.retention or value is None:
            return Succeeded(then=then) if then else _DONE
        try:
            result = handler.signature.encode_result(value, self._codec)
        except CannotEncode as error:
            return self._rejected(f"{RESULT_NOT_KEPT}: {error}")
        if len(result) > self._max_result:
            return self._rejected(
                f"{RESULT_NOT_KEPT}: it is {len(result):,} bytes: expected at most "
                f"{self._max_result:,}; store it elsewhere and return where it is, or raise "
                "max_result"
            )
        return Succeeded(result, self._codec.content_type, then)

    def _next_step(self, handler: AnyHandler, spec: NewTask, value: object) -> NewTask:
        """Return the next task of a chain, which is called with this result."""
        if decode_steps(spec, self._codec)[0]["takes"] is not None:
            result = handler.signature.encode_result(value, self._codec)
            if isinstance(value, RemoteResult):
                value = self._codec.loads(result, None, object)
        now = self._clock.now()
        step = next_step_task(spec, value, self._codec, now)
        return following(self._client.build(step, now), spec)

    def _rejected(self, error: str) -> Rejected:
        return Rejected(error, worker=self._worker, version=self._version)


async def _resolved(verdict: Transition) -> Transition:
    """Return a verdict that was reached without a handler, as an awaitable."""
    return verdict
