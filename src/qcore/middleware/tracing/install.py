"""`trace_tasks`: put tracing around all that a queue does."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from opentelemetry import context as contexts
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.app.client.enqueue_middleware import EnqueueMiddleware
from qcore.app.tasks.context import Context
from qcore.app.tasks.router_tree import Middleware
from qcore.domain.errors import InvalidOption
from qcore.middleware.tracing.headers import extract
from qcore.middleware.tracing.logs import fields_of
from qcore.middleware.tracing.processing import HasClient, Processing, Runs
from qcore.middleware.tracing.sending import Sending
from qcore.middleware.tracing.settling import SettlementTracing
from qcore.middleware.tracing.telemetry import Telemetry
from qcore.ports import Broker, Instrument


class Traceable(HasClient, Protocol):
    """What tracing is put around: a `Qcore`."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Return what is told of events."""
        ...

    def enqueue_middleware(self, middleware: EnqueueMiddleware) -> EnqueueMiddleware:
        """Wrap a middleware around every enqueue."""
        ...

    def wrap_broker(self, wrap: Callable[[Broker], Broker]) -> None:
        """Put a wrapper around the broker."""
        ...

    @property
    def middlewares(self) -> list[Middleware]:
        """Return the middleware around every run, outermost first."""
        ...


_traced: WeakSet[Traceable] = WeakSet()


def trace_tasks(
    q: Traceable,
    *,
    same_trace: bool = False,
    create_spans: bool = True,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Make spans and metrics of all that a queue sends, runs and settles, with OpenTelemetry.

    Call it where the queue is made, before its middleware, which is inside its spans then. Without
    `same_trace` a run begins a trace of its own, which links to that of the send; with it the run
    is a child of the send. `create_spans` says whether each of several tasks that are sent in one
    call has a span of its own. The providers are the global ones by default, whenever they are set.

    Conventions: messaging, 1.44.0. Raises `InvalidOption` for a queue that is traced already.
    """
    if q in _traced:
        raise InvalidOption("this queue is traced already: expected one call of trace_tasks(q)")
    _traced.add(q)
    telemetry, runs = Telemetry(tracer_provider, meter_provider), Runs()
    q.enqueue_middleware(Sending(telemetry, create_spans=create_spans).send)
    process = Processing(telemetry, q, runs, same_trace=same_trace).process
    place = len(q.middlewares)

    def trace_runs() -> None:
        """Put the middleware where it belongs: without an SDK its mere call would be felt."""
        if process not in q.middlewares:
            q.middlewares.insert(place, process)

    q.wrap_broker(lambda broker: SettlementTracing(broker, telemetry, runs, trace_runs))
    for instrument in q.instruments:
        if isinstance(instrument, LoggingInstrument):
            instrument.add_fields(lambda claim: fields_of(runs.get(claim.lease)))


@contextmanager
def run_context(ctx: Context) -> Generator[None]:
    """Make the span of a run the current one in a block, where it is not: in a child process.

    A handler with `process=True` runs outside of its worker, where the span is; its headers have
    the span's context, and spans made in the block are its children.
    """
    token = contexts.attach(extract(ctx.headers))
    try:
        yield
    finally:
        contexts.detach(token)
