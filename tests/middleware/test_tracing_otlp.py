import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from qcore import Context, NewTask
from qcore.testing import drain
from qcore.tracing import trace_tasks
from tests.middleware.tracing_kit import memory_queue


class Collector:
    """An OTLP endpoint that keeps the spans that it is sent, as protobuf over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)

    @property
    def url(self) -> str:
        """Return where it takes spans."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Serve in a thread."""
    collector = Collector()
    with collector.server as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()


async def test_spans_reach_an_otlp_endpoint_whatever_errors_say(collector: Collector) -> None:
    """One text that UTF-8 cannot say would lose the whole batch that it is in."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(collector.url)))
    q = memory_queue()
    trace_tasks(q, tracer_provider=provider)

    @q.task("read", max_retry=0)
    async def read(ctx: Context) -> None:
        raise FileNotFoundError("no file \udcff\0")

    await q.client.enqueue(NewTask("read", id="7", max_retry=0))
    await drain(q)
    assert provider.force_flush()
    provider.shutdown()
    kinds = {span.name: span for span in collector.spans}
    assert {name: span.kind for name, span in kinds.items()} == {
        "send default": Span.SPAN_KIND_PRODUCER,
        "process default": Span.SPAN_KIND_CONSUMER,
        "settle default": Span.SPAN_KIND_CLIENT,
    }
    process = kinds["process default"]
    assert process.status.code == Status.STATUS_CODE_ERROR
    assert process.status.message == "FileNotFoundError: no file \\udcff\\0"
    assert [link.span_id for link in process.links] == [kinds["send default"].span_id]
