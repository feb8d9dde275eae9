"""Spans of runs, which link to what sent their tasks and to earlier attempts."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind

from qcore.app.calls.user_code import log_failure
from qcore.app.client.client import Client
from qcore.app.tasks.context import Context
from qcore.app.tasks.router_tree import Next
from qcore.domain.task import Lease
from qcore.middleware.tracing import conventions
from qcore.middleware.tracing.headers import extract, inject, note_run, noted_run, span_in
from qcore.middleware.tracing.span_errors import run_error
from qcore.middleware.tracing.telemetry import Operation, Telemetry, link_to
from qcore.ports import Clock


class HasClient(Protocol):
    """A queue, whose client and clock may be others while it is swapped."""

    @property
    def client(self) -> Client:
        """Return the client that awaits."""
        ...

    @property
    def clock(self) -> Clock:
        """Return the clock that its workers go by."""
        ...


Runs = WeakKeyDictionary[Lease, TraceContext]
"""The contexts of runs, for as long as anybody holds their leases."""


class Processing:
    """The middleware around every run: a `process` span, which is current in its handler.

    It begins a trace of its own and links to the context that the task carries. With `same_trace`
    it is that context's child, too.
    """

    def __init__(self, telemetry: Telemetry, q: HasClient, runs: Runs, *, same_trace: bool) -> None:
        self._telemetry = telemetry
        self._q = q
        self._runs = runs
        self._same_trace = same_trace

    async def process(self, ctx: Context, run: Next) -> object:
        """Run a handler in a span."""
        headers = ctx.claim.task.spec.headers
        if not headers and not self._telemetry.is_live:
            return await run(ctx)
        created = extract(headers)
        sent = span_in(created)
        links = [] if sent is None else [link_to(sent, "created by")]
        if ctx.attempt > 1:
            links += await self._former_attempt(ctx)
        operation = self._start(ctx, created, links)
        with operation:
            if operation.span.get_span_context().is_valid:
                self._runs[ctx.lease] = operation.context
                # to a child process, too
                ctx.amend_headers(partial(inject, context=operation.context))
            try:
                result = await run(ctx)
            except BaseException as error:
                self._failed(operation, ctx, error)
                raise
            if ctx.cancel_reason is not None:
                operation.error = run_error(None, ctx.cancel_reason, self._q.clock.now())
            return result

    def _start(self, ctx: Context, created: TraceContext, links: Sequence[Link]) -> Operation:
        # a trace of its own begins without the span; baggage comes along in either case
        parent = created if self._same_trace else trace.set_span_in_context(INVALID_SPAN, created)
        operation = self._telemetry.start(
            SpanKind.CONSUMER,
            conventions.operation(conventions.PROCESS, ctx.queue),
            {
                conventions.MESSAGE_ID: ctx.id,
                conventions.TASK_NAME: ctx.name,
                conventions.TASK_ATTEMPT: ctx.attempt,
            },
            context=parent,
            links=links,
            duration=self._telemetry.process_duration,
        )
        operation.is_judged = True
        return operation

    async def _former_attempt(self, ctx: Context) -> list[Link]:
        """Return a link to the last attempt that left an error, as its traceback names it."""
        try:
            [details] = await self._q.client.broker.details(ctx.queue, [ctx.id])
        except Exception as error:  # noqa: BLE001  (a link is not worth a run)
            log_failure(error, "tracing failed", self._former_attempt)
            return []
        errors = () if details is None else details.errors
        former = noted_run(errors[-1].traceback) if errors else None
        return [] if former is None else [link_to(former, "retry of")]

    def _failed(self, operation: Operation, ctx: Context, error: BaseException) -> None:
        try:
            found = run_error(error, ctx.cancel_reason, self._q.clock.now())
        except Exception as trouble:  # noqa: BLE001  (an error's own class may be anything)
            log_failure(trouble, "tracing failed", type(error))
            return
        operation.error = found
        if found is not None:
            note_run(error, operation.context)
