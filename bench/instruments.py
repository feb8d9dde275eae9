"""What instruments cost a task that does nothing, by processor time of the process that has them.

They take turns, and each is compared with a queue without instruments right before it; on the
memory broker, and all but traces on a Redis server of the benchmark's own. Beside
`traces_…` stands `sdk_…`: what OpenTelemetry's SDK takes for a span of each send and each run, a
link and the measurements, called as directly as it goes. Spans are dropped at their end, not
exported.
"""

import gc
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import process_time
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind

from bench.redis_store import a_server
from bench.runs import spread
from qcore import Context, NewTask, Qcore
from qcore.alerts import Alert, send_alerts
from qcore.app.client.coalescing import EnqueueAnswer
from qcore.app.client.enqueue_middleware import SendTasks
from qcore.app.tasks.router_tree import Next
from qcore.domain.new_task import with_headers
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.instruments import LoggingInstrument
from qcore.metrics import Metrics
from qcore.tracing import trace_tasks

TASKS = 5_000
ROUNDS = 15
ONE_PERCENT = ParentBased(TraceIdRatioBased(0.01))
SAMPLERS: Mapping[str, Sampler] = {"1_percent": ONE_PERCENT, "100_percent": ALWAYS_ON}

PHASES = ("enqueue", "drain")
Times = dict[str, float]
"""Microseconds of processor time for a task, of each phase."""
Measure = Callable[[str], Awaitable[Times]]
"""Takes the URL of a store."""
MEMORY = "memory://"
ON_REDIS = ("none", "log", "metrics", "log_metrics", "log_metrics_alerts")


def figures() -> dict[str, Any]:
    configure("warning")
    with a_server() as server:
        redis = run(_figures(server.url, {each: MEASURES[each] for each in ON_REDIS}))
    return {"memory": run(_figures(MEMORY, MEASURES)), "redis": redis}


async def _figures(url: str, measures: Mapping[str, Measure]) -> dict[str, Any]:
    rounds = [
        {name: (await _none(url), await measure(url)) for name, measure in measures.items()}
        for _ in range(ROUNDS + 1)
    ]
    # without the first, which warms up
    pairs = {name: [each[name] for each in rounds[1:]] for name in measures}
    return {"tasks": TASKS, **{name: _summed(each) for name, each in pairs.items()}}


def _summed(pairs: Sequence[tuple[Times, Times]]) -> dict[str, Any]:
    """Return the microseconds of a set, and what they are more than, and times, those of none."""
    found: dict[str, Any] = {}
    for phase in PHASES:
        times = [(none[phase], its[phase]) for none, its in pairs]
        found[phase] = {
            "us": spread([its for _, its in times]),
            "more_us": spread([its - none for none, its in times]),
            "ratio": spread([its / none for none, its in times]),
        }
    return found


# --- qcore -----------------------------------------------------------------------------------


async def _none(url: str) -> Times:
    return await _of_queue(_queue(url))


def _queue(url: str, *instruments: Any) -> Qcore:
    q = Qcore(url, instruments=instruments)
    q.task("bench:noop")(_noop)
    return q


async def _noop(ctx: Context) -> None:
    """Do nothing."""


def _alerting(url: str) -> Qcore:
    q = _queue(url, LoggingInstrument(), Metrics())
    send_alerts(q, _told, environment="bench")
    return q


async def _told(alert: Alert) -> None:
    """Nobody listens."""


def _traced(
    url: str, tracers: TracerProvider | None = None, meters: MeterProvider | None = None
) -> Qcore:
    q = _queue(url)
    trace_tasks(q, tracer_provider=tracers, meter_provider=meters)
    return q


def _providers(sampler: Sampler) -> tuple[TracerProvider, MeterProvider]:
    reader = InMemoryMetricReader()
    return (
        TracerProvider(sampler, shutdown_on_exit=False),
        MeterProvider([reader], shutdown_on_exit=False),
    )


async def _of_queue(q: Qcore) -> Times:
    times: Times = {}
    # each set pays for its own garbage
    gc.collect()
    call = q.handlers()[0].call()
    async with q:
        with _timed(times, "enqueue"):
            for _ in range(TASKS):
                await q.client.enqueue(call)
        with _timed(times, "drain"):
            # a check of alerts a minute would weigh in a drain of a tenth of a second
            await q.worker(burst=True, scheduler=False).run()
        counts = await q.inspector.counts()
    assert not counts.get("default"), counts
    return times


# --- the SDK alone ---------------------------------------------------------------------------

_SENT = {"messaging.system": "qcore", "messaging.operation.name": "send", "messaging.queue": "q"}
_RAN = _SENT | {"messaging.operation.name": "process"}


def _bare(url: str, tracers: TracerProvider, meters: MeterProvider) -> Qcore:
    """Return a queue with a span around each send and each run, as simply as it goes.

    They are joined by a link, and measured: nothing else of what `trace_tasks` does.
    """
    q = _queue(url)
    tracer, meter = tracers.get_tracer("bench"), meters.get_meter("bench")
    sent, took = meter.create_counter("sent"), meter.create_histogram("took")
    ran = meter.create_histogram("ran")

    async def send(tasks: Sequence[NewTask], send: SendTasks) -> Sequence[EnqueueAnswer]:
        [task] = tasks
        attributes = {**_SENT, "type": "send", "id": task.id, "task": task.name}
        span = tracer.start_span("send q", None, SpanKind.PRODUCER, attributes)
        context = trace.set_span_in_context(span)
        headers: dict[str, str] = {}
        propagate.inject(headers, context)
        token = contexts.attach(context)
        answers = await send([with_headers(task, headers)])
        contexts.detach(token)
        took.record(0.001, _SENT)
        sent.add(1, _SENT)
        span.end()
        return answers

    async def process(ctx: Context, run: Next) -> object:
        created = propagate.extract(ctx.task.spec.headers, contexts.Context())
        attributes = {**_RAN, "type": "process", "id": ctx.id, "task": ctx.name, "attempt": 1}
        links = [Link(trace.get_current_span(created).get_span_context())]
        root = trace.set_span_in_context(INVALID_SPAN, created)
        span = tracer.start_span("process q", root, SpanKind.CONSUMER, attributes, links)
        token = contexts.attach(trace.set_span_in_context(span, root))
        result = await run(ctx)
        contexts.detach(token)
        ran.record(0.001, _RAN)
        span.end()
        return result

    q.enqueue_middleware(send)
    q.middleware(process)
    return q


@contextmanager
def _timed(times: Times, phase: str) -> Generator[None]:
    began = process_time()
    yield
    times[phase] = 1e6 * (process_time() - began) / TASKS


# --- all of them -----------------------------------------------------------------------------


def _measures() -> Iterator[tuple[str, Measure]]:
    yield "none", _none
    yield "log", lambda url: _of_queue(_queue(url, LoggingInstrument()))
    yield "metrics", lambda url: _of_queue(_queue(url, Metrics()))
    yield "log_metrics", lambda url: _of_queue(_queue(url, LoggingInstrument(), Metrics()))
    yield "log_metrics_alerts", lambda url: _of_queue(_alerting(url))
    yield "traces_without_sdk", lambda url: _of_queue(_traced(url))
    for name, sampler in SAMPLERS.items():
        yield f"traces_{name}", partial(_with_sdk, _traced, sampler)
        yield f"sdk_{name}", partial(_with_sdk, _bare, sampler)


async def _with_sdk(
    make: Callable[[str, TracerProvider, MeterProvider], Qcore], sampler: Sampler, url: str
) -> Times:
    return await _of_queue(make(url, *_providers(sampler)))


MEASURES = dict(_measures())
