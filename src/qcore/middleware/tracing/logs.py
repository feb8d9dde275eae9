"""The ids of traces in lines of the log."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id
from structlog.typing import EventDict

from qcore.middleware.tracing.headers import span_in


def add_trace_ids(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add `trace_id` and `span_id` of the current span to a line, if there is one.

    A processor of structlog.
    """
    event.update(trace_fields(trace.get_current_span().get_span_context()))
    return event


def fields_of(context: Context | None) -> Mapping[str, str]:
    """Return the ids of the span of a context; nothing where there is none."""
    span = None if context is None else span_in(context)
    return {} if span is None else trace_fields(span)


def trace_fields(span: SpanContext) -> Mapping[str, str]:
    """Return the ids of a span, in hexadecimal digits as other tools show them."""
    if not span.is_valid:
        return {}
    return {"trace_id": format_trace_id(span.trace_id), "span_id": format_span_id(span.span_id)}
