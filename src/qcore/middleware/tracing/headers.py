"""The trace context in the headers of tasks, by whichever propagators the application has set."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Final

from attrs import evolve
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from qcore.app.calls.user_code import log_failure
from qcore.app.worker.error_context import add_note
from qcore.domain.new_task import NewTask

TRACEPARENT: Final = "traceparent"
_W3C: Final = TraceContextTextMapPropagator()
_NOTE: Final = re.compile(rf"^\W*{TRACEPARENT}: (\S+)$", re.MULTILINE)


def with_context(task: NewTask, context: Context) -> NewTask:
    """Return a task that carries a context; itself if it has one of its own, which it keeps."""
    if has_context(task.headers):
        return task
    headers = dict(task.headers)
    inject(headers, context)
    return evolve(task, headers=headers) if len(headers) > len(task.headers) else task


def has_context(headers: Mapping[str, str]) -> bool:
    """Return whether headers have a trace context."""
    return TRACEPARENT in headers or (bool(headers) and span_in(extract(headers)) is not None)


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
