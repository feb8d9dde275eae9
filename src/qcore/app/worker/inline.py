"""Run tasks where they are asked for: in the thread of the caller, before its enqueue returns.

The tasks are in a broker in memory, which is claimed from and settled as a worker does, so that
what follows a run is what would follow it there; but there is no worker, and nothing runs beside.
A coroutine runs on the caller's event loop, or on one of its own where the caller blocks; a plain
function sees no loop, as in a thread of a worker.
"""

import asyncio
import asyncio.tasks
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from qcore.app.calls.call import TaskRequest
from qcore.app.calls.introspection import refuse_unstarted
from qcore.app.client.client import Client
from qcore.app.client.inline import run_inline
from qcore.app.tasks.context import Context, RunServices
from qcore.app.tasks.kind import Kind
from qcore.app.tasks.router import Router
from qcore.app.tasks.router_tree import AnyHandler
from qcore.app.tasks.run_details import progress_note, saved_note
from qcore.app.worker.control import WorkerControl
from qcore.app.worker.ends import EndTasks
from qcore.app.worker.error_hooks import HooksInPlace
from qcore.app.worker.executor import Executor
from qcore.app.worker.failures import FailureJudge
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.invocation import Invoke, called, wrapped
from qcore.app.worker.run import Run
from qcore.domain.answers import LeaseLost
from qcore.domain.errors import QcoreError
from qcore.domain.events import (
    TaskFinished,
    TasksClaimed,
    TasksSettled,
    TasksSwept,
    TaskStarted,
)
from qcore.domain.new_task import NewTask
from qcore.domain.retry import Dice
from qcore.domain.run_details import DetailsUpdate
from qcore.domain.task import Claim, Demand, Lease, Verdict
from qcore.domain.transitions import Crashed, Exhausted, Failed, Rejected, Transition
from qcore.ports import Broker, Clock, claim_endings_of

NAME: Final = "inline"
"""The name of the worker in stored errors."""
LEASE: Final = 86_400.0
"""Seconds; nobody takes a task back meanwhile."""
LARGEST_CLAIM: Final = 10_000


@contextmanager
def without_loop() -> Generator[None]:
    """Have the code of the block see no running event loop in this thread, so that it may block."""
    loop = asyncio._get_running_loop()  # noqa: SLF001  (it is for those who run loops)
    if loop is None:
        yield
        return
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001  (as above)
    asyncio._set_running_loop(None)  # noqa: SLF001
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001
        if task is not None:
            asyncio.tasks._enter_task(loop, task)  # noqa: SLF001


class InlineRunner:
    """Run what is due in a broker in memory, one task after the other."""

    def __init__(
        self,
        broker: Broker,
        router: Router,
        client: Client,
        *,
        clock: Clock,
        dice: Dice,
        max_payload: int,
        max_result: int,
        state: Mapping[type, Any],
        emit: Instruments,
    ) -> None:
        self._broker = broker
        self._endings = claim_endings_of(broker)
        self._clock = clock
        self._emit = emit
        self._client = client
        self._judge = _RememberingJudge(
            router,
            None,
            HooksInPlace(without_loop),
            control=WorkerControl(clock),
            clock=clock,
            dice=dice,
            worker=NAME,
            version=None,
        )
        self._executor = Executor(
            router,
            _InPlaceInvoker(router, clock, emit),
            self._judge,
            clock=clock,
            codec=client.codec,
            client=client,
            max_result=max_result,
            worker=NAME,
            version=None,
        )
        self._ends = EndTasks(router.node, client, clock)
        self._services = RunServices(
            state,
            router.node.state_instead,
            build=self._build,
            storage=_Storage(broker, clock, max_payload),
            worker=NAME,
        )

    async def run_due(self) -> BaseException | None:
        """Run all tasks that are due, and what follows them; return the first error of one."""
        first: BaseException | None = None
        while claims := await self._claimed():
            for claim in claims:
                error = await self._run(claim)
                first = first or error
        return first

    async def _claimed(self) -> Sequence[Claim]:
        """Claim all at once: what a handler enqueues meanwhile is run by its own call."""
        now = self._clock.now()
        queues = await self._broker.count()
        demand = Demand(LARGEST_CLAIM, dict.fromkeys(queues, 0))
        claims = await self._broker.claim(demand, now=now, until=now + LEASE) if queues else ()
        for swept in () if self._endings is None else self._endings.take_ended():
            self._emit(TasksSwept(swept))
        if claims and self._emit.wants(TasksClaimed):
            self._emit(TasksClaimed(claims))
        return claims

    async def _run(self, claim: Claim) -> BaseException | None:
        """Run a task and settle it; return what its handler raised, if that is a failure of it."""
        run = Run(claim, Context(claim, self._services))
        # a task of asyncio, so that what a handler sets in context variables ends with it
        run.coroutine = executing = asyncio.create_task(self._settled(run))
        verdict = await executing
        raised = self._judge.raised.pop(run, None)
        if isinstance(raised, asyncio.CancelledError):
            # the caller is being cancelled
            raise raised
        if not isinstance(verdict, Failed | Exhausted | Rejected | Crashed):
            return None
        return QcoreError(f"{claim.task.name}: {verdict.error}") if raised is None else raised

    async def _settled(self, run: Run) -> Transition | None:
        outcome = await self._executor.execute(run)
        if outcome is None:
            return None
        claim, now = run.claim, self._clock.now()
        outcome = self._ends.with_ends(claim, outcome)
        verdict = Verdict(claim.lease, outcome)
        if run.began is not None:
            ran = self._clock.monotonic() - run.began
            verdict = Verdict(claim.lease, outcome, run.started - claim.task.due, ran)
        answers = await self._broker.settle([verdict], now=now)
        self._emit(TasksSettled([verdict], answers, [claim]))
        self._emit(TaskFinished(claim, outcome, verdict.ran or 0.0))
        return outcome

    def _build(self, request: TaskRequest) -> NewTask:
        return self._client.build(request, self._clock.now())


class _InPlaceInvoker:
    """Call handlers of all kinds in this thread."""

    def __init__(self, router: Router, clock: Clock, emit: Instruments) -> None:
        self._node = router.node
        self._clock = clock
        self._emit = emit

    def prepare(self, handler: AnyHandler) -> Invoke:
        """Return what calls a handler."""
        return partial(self._invoke, handler)

    def _invoke(
        self, handler: AnyHandler, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Awaitable[object]:
        run.began, run.started = self._clock.monotonic(), self._clock.now()
        self._emit(TaskStarted(run.claim))
        function = handler.enclosed(self._node.arounds_of(handler))
        call = called if handler.kind is Kind.COROUTINE else _in_place
        middleware = self._node.middlewares_of(handler)
        return wrapped(partial(call, function, args, kwargs), middleware)(run.ctx)


async def _in_place(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], ctx: Context
) -> object:
    with without_loop():
        return refuse_unstarted(function(ctx, *args, **kwargs), "handler")


class _RememberingJudge(FailureJudge):
    """Judge errors, and remember them for whoever has asked for the task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.raised: dict[Run, BaseException] = {}

    async def verdict(
        self, run: Run, handler: AnyHandler, error: BaseException
    ) -> Transition | None:
        """Return the verdict on a run whose handler raised."""
        self.raised[run] = error
        return await super().verdict(run, handler, error)


class _Storage:
    """Writes progress and partial work at once: a broker in memory does not suspend."""

    def __init__(self, broker: Broker, clock: Clock, most: int) -> None:
        self._broker = broker.blocking()
        self._clock = clock
        self._most = most

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Store how far a run has come."""
        self._save(progress_note(lease, self._clock.now(), fraction, message))

    async def save(self, lease: Lease, data: bytes) -> None:
        """Store partial work."""
        self.save_sync(lease, data)

    async def saved(self, lease: Lease) -> bytes | None:
        """Return the partial work that was stored last."""
        return self.saved_sync(lease)

    def save_sync(self, lease: Lease, data: bytes) -> None:
        """Store partial work."""
        if self._save(saved_note(lease, data, self._most)):
            raise asyncio.CancelledError("the lease was lost: this run is over")

    def saved_sync(self, lease: Lease) -> bytes | None:
        """Return the partial work that was stored last."""
        [details] = run_inline(self._broker.details(lease.queue, [lease.id]))
        return None if details is None else details.saved

    def _save(self, update: DetailsUpdate) -> bool:
        [answer] = run_inline(self._broker.save_details([update]))
        return isinstance(answer, LeaseLost)
