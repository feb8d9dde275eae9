"""`Telemetry`: makes spans and records metrics, and harms no task where that fails."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from time import perf_counter
from types import TracebackType
from typing import Final, Self

from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from qcore.app.calls.user_code import log_failure
from qcore.domain.text import storable
from qcore.middleware.tracing import conventions
from qcore.middleware.tracing.conventions import OperationNames
from qcore.middleware.tracing.span_errors import SpanError, error_of

MAX_LINKS: Final = 128
"""Links of one span: as many as an SDK keeps, unless told otherwise."""


_OWN_MODULES: Final = ("opentelemetry.trace", "opentelemetry.metrics")
"""Where the API's own providers are, which do nothing."""


class Operation:
    """One operation that is being measured: its span is the current one while its block lasts.

    What the block raises is its error, unless `is_judged` says that the block knows better. Not by
    `contextlib`, which sets the traceback of what is raised in the block: a frozen exception cannot
    bear that.
    """

    __slots__ = (
        "_began",
        "_duration",
        "_timer",
        "_token",
        "context",
        "error",
        "is_judged",
        "names",
        "span",
    )

    def __init__(
        self,
        span: Span,
        names: OperationNames,
        *,
        context: Context,
        duration: Histogram | None,
        timer: Callable[[], float],
    ) -> None:
        self.span = span
        self.names = names
        self.context = context
        """With its span as the current one."""
        self.error: SpanError | None = None
        self.is_judged = False
        self._duration = duration
        self._timer = timer
        self._began = timer()
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        """Make its span the current one."""
        self._token = contexts.attach(self.context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End its span."""
        if error is not None and not self.is_judged:
            self.error = error_of(error)
        if self._token is not None and not isinstance(error, GeneratorExit):
            # else its event loop is gone, and the context that the token is of
            contexts.detach(self._token)
        self.end()

    def end(self) -> None:
        """End its span, and record how long it took, if there is a metric for it."""
        try:
            if self._duration is not None:
                seconds = self._timer() - self._began
                self._duration.record(seconds, self.measured(self.names.timed), self.context)
            if self.error is not None and self.span.is_recording():
                self.error.set_on(self.span)
            self.span.end()
        except Exception as error:  # noqa: BLE001  (a span processor or an exporter of the user's)
            log_failure(error, "tracing failed", type(self.span))

    def measured(self, shared: Mapping[str, AttributeValue]) -> Mapping[str, AttributeValue]:
        """Return the attributes of a measurement of it: those shared, and its error's type."""
        if self.error is None:
            return shared
        return {**shared, conventions.ERROR_TYPE: storable(self.error.type)}


class Telemetry:
    """A tracer and the metrics of the messaging conventions.

    Without an SDK the API's own do nothing. What an SDK raises, or a sampler, a span processor or a
    propagator, is logged.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        *,
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        self._tracers, self._meters = tracer_provider, meter_provider
        self.is_live = False
        """Whether there was an SDK when it was last looked for: it may be set up later than this,
        and what is sent and run without one is not to pay for it."""
        self._tracer = trace.get_tracer("qcore", None, tracer_provider, conventions.SCHEMA_URL)
        meter = metrics.get_meter("qcore", "", meter_provider, conventions.SCHEMA_URL)
        self._timer = timer

        def seconds(name: str, text: str) -> Histogram:
            bounds = list(conventions.BUCKETS)
            return meter.create_histogram(
                name, "s", text, explicit_bucket_boundaries_advisory=bounds
            )

        self.operation_duration = seconds(
            conventions.OPERATION_DURATION, "How long a call that sends or settles tasks took."
        )
        self.process_duration = seconds(
            conventions.PROCESS_DURATION, "How long a handler ran, with its middleware."
        )
        self.sent = meter.create_counter(
            conventions.SENT, "{message}", "Tasks that were sent to the broker."
        )
        self.consumed = meter.create_counter(
            conventions.CONSUMED, "{message}", "Tasks that a worker has claimed."
        )

    def look(self) -> bool:
        """Look for an SDK, unless there was one; return whether there is."""
        if not self.is_live:
            tracers = self._tracers or trace.get_tracer_provider()
            meters = self._meters or metrics.get_meter_provider()
            self.is_live = not (_does_nothing(tracers) and _does_nothing(meters))
        return self.is_live

    def start(
        self,
        kind: SpanKind,
        names: OperationNames,
        details: Mapping[str, AttributeValue],
        *,
        context: Context,
        links: Sequence[Link] = (),
        duration: Histogram | None = None,
    ) -> Operation:
        """Start the span of an operation; one that does nothing where that fails."""
        try:
            span = self._tracer.start_span(
                names.span, context, kind, {**names.attributes, **details}, links[:MAX_LINKS]
            )
        except Exception as error:  # noqa: BLE001  (a sampler or a span processor of the user's)
            log_failure(error, "tracing failed", self._tracer)
            span = INVALID_SPAN
        current = trace.set_span_in_context(span, context)
        return Operation(span, names, context=current, duration=duration, timer=self._timer)


def _does_nothing(provider: object) -> bool:
    return type(provider).__module__.startswith(_OWN_MODULES)


def link_to(span: SpanContext, what: str) -> Link:
    """Return a link that says what the other span is to this one."""
    return Link(span, {conventions.LINK: what})
