"""A queue whose spans and metrics stay in memory."""

from typing import Any

from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Link, SpanContext, Tracer

from qcore import Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.ports import Broker
from qcore.testing import ManualClock
from qcore.tracing import trace_tasks


def memory_queue(broker: Broker | None = None) -> Qcore:
    """Return a queue in virtual time."""
    return Qcore(broker=broker or MemoryBroker(), clock=ManualClock(), dice=lambda: 0.5)


@define
class Traced:
    """A traced queue, and what it has left."""

    q: Qcore = field(factory=memory_queue)
    options: dict[str, Any] = field(factory=dict[str, Any])
    sampler: Sampler = ALWAYS_ON
    provider: TracerProvider = field(init=False)
    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)

    def __attrs_post_init__(self) -> None:
        self.provider = TracerProvider(self.sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        trace_tasks(self.q, tracer_provider=self.provider, meter_provider=meters, **self.options)

    @property
    def tracer(self) -> Tracer:
        """Return a tracer of the application's own."""
        return self.provider.get_tracer("application")

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the spans whose names begin so, in the order of their ends."""
        found = self.exporter.get_finished_spans()
        return [span for span in found if span.name.startswith(name)]

    def span(self, name: str) -> ReadableSpan:
        """Return the one span of that name."""
        [span] = self.spans(name)
        return span

    def metrics(self) -> dict[str, list[Any]]:
        """Return the points of each metric."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in ([] if data is None else data.resource_metrics)
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def linked(span: ReadableSpan, what: str) -> list[int]:
    """Return the ids of the spans that a span links to as something."""
    return [each.context.span_id for each in span.links if said_by(each) == what]


def said_by(link: Link) -> object:
    """Return what a link says that the other span is."""
    return (link.attributes or {}).get("qcore.link")


def ids(span: ReadableSpan) -> SpanContext:
    """Return the ids of a span."""
    context = span.get_span_context()
    assert context is not None
    return context
