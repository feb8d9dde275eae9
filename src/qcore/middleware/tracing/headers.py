"""The trace context in the headers of tasks, by whichever propagators the application has set."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from qcore.app.calls.user_code import log_failure
from qcore.app.worker.error_context import add_note
from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import NewTask, with_headers

TRACEPARENT: Final = "traceparent"
_W3C: Final = TraceContextTextMapPropagator()
_NOTE: Final = re.compile(rf"^\W*{TRACEPARENT}: (\S+)$", re.MULTILINE)


def with_context(task: NewTask, context: Context) -> NewTask:
    """Return a task that carries a context."""
    headers = dict(task.headers)
    inject(headers, context)
    if len(headers) == len(task.headers):
        return task
    try:
        return with_headers(task, headers)
    except InvalidTask as error:
        log_failure(error, "tracing failed", propagate.inject)
        return task


def keeps_context(task: NewTask, carried: SpanContext | None) -> bool:
    """Return whether a task has a context of its own, valid as `carried` or not: it keeps that."""
    return carried is not None or TRACEPARENT in task.headers


def inject(headers: MutableMapping[str, str], context: Context) -> None:
    """Write a context into headers; a propagator that fails is logged, and loses no task."""
    try:
        propagate.inject(headers, context)
    except Exception as error:  # noqa: BLE001  (whatever a propagator raises)
        log_failure(error, "tracing failed", propagate.inject)


def extract(headers: Mapping[str, str]) -> Context:
    """Return the context that headers carry; an empty one for none."""
    if not headers:
        return Context()
    try:
        return propagate.extract(headers, Context())
    except Exception as error:  # noqa: BLE001  (whatever a propagator raises)
        log_failure(error, "tracing failed", propagate.extract)
        return Context()


def span_in(context: Context) -> SpanContext | None:
    """Return the span of a context; None where there is no valid one."""
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def note_run(error: BaseException, context: Context) -> None:
    """Write the span of a run into its error: the next attempt finds it in the task's errors."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context)
    if TRACEPARENT in carrier:
        add_note(error, TRACEPARENT, carrier[TRACEPARENT])


def noted_run(traceback: str | None) -> SpanContext | None:
    """Return the span that was written into the error of an attempt."""
    found = _NOTE.findall(traceback or "")
    return span_in(_W3C.extract({TRACEPARENT: found[-1]}, Context())) if found else None
