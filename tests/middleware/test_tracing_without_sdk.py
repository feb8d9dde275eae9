"""Without an SDK tracing is not felt, and an SDK that is set up later is found."""

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qcore import Context, NewTask, Qcore
from qcore.app.tasks.router_tree import Next
from qcore.testing import a_context, drain
from qcore.tracing import trace_tasks
from tests.middleware.tracing_kit import memory_queue

SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traced_queue(*, same_trace: bool = False) -> tuple[Qcore, list[int]]:
    """Return a traced queue, and the span that is current in each middleware inside."""
    q, seen = memory_queue(), list[int]()
    trace_tasks(q, same_trace=same_trace)

    @q.middleware
    async def inside(ctx: Context, run: Next) -> object:
        seen.append(trace.get_current_span().get_span_context().span_id)
        return await run(ctx)

    @q.task("greet")
    async def greet(ctx: Context) -> None:
        """Do nothing."""

    return q, seen


async def run_one(q: Qcore, **options: dict[str, str]) -> None:
    """Send and run one task."""
    await q.client.enqueue(NewTask("greet", id="7", **options))  # type: ignore[arg-type]
    assert await drain(q) == 1


async def test_without_an_sdk_runs_go_through_no_middleware_of_it() -> None:
    """Its mere call would cost a task that does nothing a tenth."""
    q, seen = traced_queue()
    await run_one(q)
    assert len(q.middlewares) == 1
    assert seen == [0]


async def test_an_sdk_that_is_set_up_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next send and the next claim; the run's span is around the other middleware."""
    q, seen = traced_queue()
    await run_one(q)
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # as set_tracer_provider does, once for a process
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    await run_one(q)
    await run_one(q)
    spans = exporter.get_finished_spans()
    assert [span.name.split()[0] for span in spans] == ["send", "process", "settle"] * 2
    runs = [span.context.span_id for span in spans if span.name == "process default"]
    assert seen == [0, *runs]


async def test_metrics_alone_are_recorded() -> None:
    """By an SDK for metrics that is set up, where there is none for traces."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    q = memory_queue()
    trace_tasks(q, meter_provider=meters)
    q.task("greet")(_nothing)
    await run_one(q)
    data = reader.get_metrics_data()
    assert data is not None
    names = {each.name for each in data.resource_metrics[0].scope_metrics[0].metrics}
    assert names == {
        "messaging.client.operation.duration",
        "messaging.process.duration",
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
    }


async def _nothing(ctx: Context) -> None:
    """Do nothing."""


async def test_what_tasks_carry_goes_on_to_their_runs_without_an_sdk() -> None:
    """As the API passes contexts on between services that have none."""
    q, seen = traced_queue(same_trace=True)
    await run_one(q, headers={"traceparent": SENT})
    assert seen == [0xB7AD6B7169203331]


async def test_what_a_caller_has_goes_along_without_an_sdk() -> None:
    """A service without an SDK breaks no trace."""
    q, _ = traced_queue()
    parent = trace.SpanContext(1, 2, is_remote=True)
    with trace.use_span(trace.NonRecordingSpan(parent)):
        handle = await q.client.enqueue(NewTask("greet", id="7"))
    task = await handle.task()
    assert task is not None
    assert task.spec.headers["traceparent"] == f"00-{1:032x}-{2:016x}-00"


@pytest.mark.parametrize("asked", [[], ["first"], ["second"], ["first", "second"]])
def test_headers_are_amended_when_they_are_asked_for(asked: Sequence[str]) -> None:
    """In order, however late; a run whose headers nobody asks for pays nothing."""
    ctx, calls = a_context(), list[str]()

    def amend(name: str) -> None:
        def add(headers: dict[str, str]) -> None:
            calls.append(name)
            headers[name] = str(len(headers))

        ctx.amend_headers(add)

    for name in ("first", "second"):
        amend(name)
        if name in asked:
            assert name in ctx.headers
    assert ctx.own_headers == {"first": "0", "second": "1"}
    assert calls == ["first", "second"]
