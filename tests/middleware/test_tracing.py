import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags
from structlog.testing import capture_logs

from qcore import Context, InvalidOption, NewTask, Retry, SkipRetry, Snooze, chain
from qcore.adapters.memory import MemoryBroker
from qcore.answers import LeaseLost
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.errors import BrokerUnavailable
from qcore.middleware.tracing import conventions
from qcore.testing import drain
from qcore.tracing import add_trace_ids, trace_tasks
from tests.middleware import process_handlers
from tests.middleware.tracing_kit import Traced, ids, linked, memory_queue


async def nothing(ctx: Context) -> None:
    """Do nothing."""


UNSET, ERROR = StatusCode.UNSET, StatusCode.ERROR


@pytest.fixture
def traced() -> Traced:
    """Return a queue with a task that does nothing, traced."""
    traced = Traced()
    traced.q.task("greet")(nothing)
    return traced


def common(kind: str, queue: str = "default") -> dict[str, Any]:
    """Return the attributes that all spans of an operation have."""
    return {
        "messaging.system": "qcore",
        "messaging.operation.name": kind,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
    }


async def enqueue(traced: Traced, **options: Any) -> Any:
    """Enqueue the task that does nothing."""
    return await traced.q.client.enqueue(NewTask("greet", **{"id": "7", **options}))


# --- sent, run, settled --------------------------------------------------------------------------


async def test_a_send_a_run_and_a_settlement_have_a_span_each(traced: Traced) -> None:
    """With the names, kinds and attributes of the conventions."""
    await enqueue(traced)
    await drain(traced.q)
    send, process = traced.span("send default"), traced.span("process default")
    settle = traced.span("settle default")
    assert [span.kind for span in (send, process, settle)] == [
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
    ]
    about = {"messaging.message.id": "7"}
    named = about | {"qcore.task.name": "greet"}
    assert dict(send.attributes or {}) == common("send") | named
    assert dict(process.attributes or {}) == common("process") | named | {"qcore.task.attempt": 1}
    assert dict(settle.attributes or {}) == common("settle") | about | {
        "qcore.outcome": "succeeded"
    }
    assert {span.status.status_code for span in (send, process, settle)} == {UNSET}
    scope = send.instrumentation_scope
    assert scope is not None
    assert scope.schema_url == conventions.SCHEMA_URL


async def test_a_run_links_to_its_send_and_begins_a_trace(traced: Traced) -> None:
    """And the settlement links to the run."""
    with traced.tracer.start_as_current_span("request") as request:
        await enqueue(traced)
    await drain(traced.q)
    send, process = traced.span("send default"), traced.span("process default")
    assert send.parent == request.get_span_context()
    assert process.parent is None
    assert linked(process, "created by") == [ids(send).span_id]
    assert linked(traced.span("settle"), "settles") == [ids(process).span_id]


async def test_with_same_trace_a_run_is_a_child_of_its_send() -> None:
    """And links to it all the same."""
    traced = Traced(options={"same_trace": True})
    traced.q.task("greet")(nothing)
    await enqueue(traced)
    await drain(traced.q)
    send, process = traced.span("send default"), traced.span("process default")
    assert process.parent is not None
    assert process.parent.span_id == ids(send).span_id
    assert ids(process).trace_id == ids(send).trace_id
    assert linked(process, "created by") == [ids(send).span_id]


async def test_each_of_several_tasks_has_a_span_of_its_own(traced: Traced) -> None:
    """A `create` span, which the one `send` span links to, and the run, too."""
    await traced.q.client.enqueue_many([NewTask("greet", id=each) for each in "ab"])
    await drain(traced.q)
    send, creates = traced.span("send default"), traced.spans("create default")
    assert (send.kind, {each.kind for each in creates}) == (SpanKind.CLIENT, {SpanKind.PRODUCER})
    assert dict(send.attributes or {}) == common("send") | {
        "messaging.batch.message_count": 2,
        "qcore.task.name": "greet",
    }
    created = [ids(each).span_id for each in creates]
    assert linked(send, "created by") == created
    runs = traced.spans("process default")
    assert sorted(linked(each, "created by")[0] for each in runs) == sorted(created)


async def test_create_spans_can_be_left_out() -> None:
    """Then the `send` span is what all of them are created by."""
    traced = Traced(options={"create_spans": False})
    traced.q.task("greet")(nothing)
    queues = [NewTask("greet", id=each, queue=each) for each in "ab"]
    await traced.q.client.enqueue_many(queues)
    await drain(traced.q)
    send = traced.span("send")
    assert (send.name, send.kind, traced.spans("create")) == ("send", SpanKind.PRODUCER, [])
    assert "messaging.destination.name" not in (send.attributes or {})
    created = [linked(each, "created by") for each in traced.spans("process")]
    assert created == [[ids(send).span_id]] * 2


async def test_concurrent_enqueues_are_children_of_their_own_callers(traced: Traced) -> None:
    """Though they go to the broker in one batch."""

    async def request(name: str) -> None:
        with traced.tracer.start_as_current_span(name):
            await enqueue(traced, id=name)

    await asyncio.gather(*(request(f"request {n}".replace(" ", "-")) for n in range(5)))
    callers = {ids(span).span_id: span.name for span in traced.spans("request")}
    for send in traced.spans("send default"):
        assert send.parent is not None
        assert callers[send.parent.span_id] == (send.attributes or {})["messaging.message.id"]


def test_blocking_code_is_traced_too(traced: Traced) -> None:
    """In the same way."""
    traced.q.blocking.enqueue(NewTask("greet", id="7"))
    assert traced.span("send default").kind is SpanKind.PRODUCER


async def test_a_context_that_a_task_has_already_is_kept(traced: Traced) -> None:
    """As of a service that sends on behalf of another; the send links to it."""
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    await enqueue(traced, headers=headers)
    await drain(traced.q)
    for name in ("send default", "process default"):
        assert linked(traced.span(name), "created by") == [0xB7AD6B7169203331]


@pytest.mark.parametrize("text", ["", "nonsense", "00-0-0-00", "ff-" + "0" * 32, "🎈"])
async def test_a_context_that_makes_no_sense_harms_nothing(traced: Traced, text: str) -> None:
    """The run has a span without a link."""
    await enqueue(traced, headers={"traceparent": text})
    assert await drain(traced.q) == 1
    assert traced.span("process default").links == ()


async def test_baggage_comes_along() -> None:
    """Whatever the application's propagators carry."""
    traced, seen = Traced(), []

    @traced.q.task("greet")
    async def greet(ctx: Context) -> None:
        seen.append(baggage.get_baggage("tenant"))

    token = context.attach(baggage.set_baggage("tenant", "acme"))
    await enqueue(traced)
    context.detach(token)
    await drain(traced.q)
    assert seen == ["acme"]


# --- errors --------------------------------------------------------------------------------------


class Surrogate(Exception):
    def __str__(self) -> str:
        return "no file \udcff"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ValueError("no such mailbox"), "ValueError", "ValueError: no such mailbox"),
        (Surrogate(), f"{__name__}.Surrogate", "Surrogate: no file \\udcff"),
        (SkipRetry("closed"), "qcore.domain.control.SkipRetry", "closed"),
        (Retry("busy"), "qcore.domain.control.Retry", "busy"),
        (SystemExit(3), "SystemExit", "SystemExit: 3"),
    ],
)
async def test_a_run_that_raises_is_an_error(error: BaseException, kind: str, said: str) -> None:
    """With its type, its text and its traceback, all of which UTF-8 can say."""
    traced = Traced()

    @traced.q.task("greet", max_retry=0)
    async def greet(ctx: Context) -> None:
        raise error

    await enqueue(traced)
    await drain(traced.q, until=traced.q.clock.now())
    span = traced.span("process default")
    assert (span.status.status_code, span.status.description) == (ERROR, said)
    assert (span.attributes or {})["error.type"] == kind
    [event] = span.events
    stack = str((event.attributes or {})["exception.stacktrace"])
    assert (event.name, (event.attributes or {})["exception.type"]) == ("exception", kind)
    assert "in greet" in stack
    assert "qcore/middleware" not in stack
    stack.encode()


async def test_control_flow_is_no_error(traced: Traced) -> None:
    """A task that is snoozed has not failed."""

    @traced.q.task("later")
    async def later(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Snooze(5)

    await later.enqueue()
    await drain(traced.q)
    assert [span.status.status_code for span in traced.spans("process")] == [UNSET, UNSET]


async def test_a_run_that_its_timeout_cuts_is_an_error() -> None:
    """A `TimeoutError`, as the task's own error says."""
    traced = Traced()

    @traced.q.task("hang", timeout=5, max_retry=0)
    async def hang(ctx: Context) -> None:
        await asyncio.Event().wait()

    with traced.q.clock.autojump():
        await hang.enqueue()
        await drain(traced.q)
    span = traced.span("process default")
    assert span.status.status_code is ERROR
    assert (span.attributes or {})["error.type"] == "TimeoutError"


async def test_a_run_that_is_cancelled_is_an_error() -> None:
    """Its lease is lost, whatever its handler makes of that."""
    traced = Traced()
    started, ended, reasons = asyncio.Event(), asyncio.Event(), []

    @traced.q.task("hang")
    async def hang(ctx: Context) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            reasons.append(ctx.cancel_reason)
            ended.set()

    handle = await hang.enqueue()
    async with traced.q.running():
        await started.wait()
        await traced.q.inspector.cancel("default", [handle.id])
        await ended.wait()
    assert reasons == [CancelReason.LEASE_LOST]
    span = traced.span("process default")
    assert span.status.status_code is ERROR
    assert (span.attributes or {})["error.type"] == "lease_lost"


async def test_a_run_that_is_given_back_is_an_error() -> None:
    """Its worker left before it had ended."""
    traced = Traced()
    started = asyncio.Event()

    @traced.q.task("hang")
    async def hang(ctx: Context) -> None:
        started.set()
        await asyncio.Event().wait()

    await hang.enqueue()
    async with traced.q.running() as worker:
        await started.wait()
        worker.stop(at_once=True)
    span = traced.span("process default")
    assert (span.attributes or {})["error.type"] == "shutdown"


class FrozenError(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


async def test_a_frozen_error_is_judged_as_ever() -> None:
    """It takes no note: its task fails with it, and its next attempt has no link."""
    traced = Traced()

    @traced.q.task("greet", max_retry=0, retention=60)
    async def greet(ctx: Context) -> None:
        raise FrozenError("cold")

    handle = await greet.enqueue()
    await drain(traced.q)
    assert (await handle.task()).error == "FrozenError: cold"
    assert (traced.span("process").attributes or {})["error.type"] == f"{__name__}.FrozenError"


async def test_a_send_that_fails_is_an_error() -> None:
    """And raises what it raised."""

    class Down(MemoryBroker):
        async def enqueue(self, tasks: Any, *, now: float) -> Any:
            raise BrokerUnavailable("away")

    traced = Traced(memory_queue(Down()))
    with pytest.raises(BrokerUnavailable, match="away"):
        await enqueue(traced)
    span = traced.span("send default")
    assert span.status.status_code is ERROR
    assert (span.attributes or {})["error.type"] == "qcore.domain.errors.BrokerUnavailable"


async def test_a_verdict_that_came_too_late_is_an_error() -> None:
    """The settlement says how many."""

    class Late(MemoryBroker):
        async def settle(self, verdicts: Any, *, now: float) -> Any:
            await super().settle(verdicts, now=now)
            return [LeaseLost()] * len(verdicts)

    traced = Traced(memory_queue(Late()))
    traced.q.task("greet")(nothing)
    await enqueue(traced)
    await drain(traced.q)
    span = traced.span("settle default")
    assert (span.attributes or {})["error.type"] == "lease_lost"
    assert span.status.description == "1 of 1 verdicts came too late"


# --- what belongs together -----------------------------------------------------------------------


async def test_a_retry_links_to_the_attempt_before() -> None:
    """And to the send, as each attempt does."""
    traced = Traced()

    @traced.q.task("flaky", max_retry=3, retention=60)
    async def flaky(ctx: Context) -> None:
        if ctx.attempt < 3:
            raise ConnectionError(ctx.attempt)

    await flaky.enqueue()
    await drain(traced.q)
    send, runs = traced.span("send"), traced.spans("process")
    first, second, third = (ids(each).span_id for each in runs)
    assert [linked(each, "retry of") for each in runs] == [[], [first], [second]]
    assert [linked(each, "created by") for each in runs] == [[ids(send).span_id]] * 3
    assert len({first, second, third}) == 3


async def test_a_run_cut_by_its_timeout_is_what_its_retry_links_to() -> None:
    """The note goes with the error that takes the place of the cancellation."""
    traced = Traced()

    @traced.q.task("hang", timeout=5, max_retry=1)
    async def hang(ctx: Context) -> None:
        if ctx.attempt == 1:
            await asyncio.Event().wait()

    with traced.q.clock.autojump():
        await hang.enqueue()
        await drain(traced.q)
    first, second = traced.spans("process")
    assert linked(second, "retry of") == [ids(first).span_id]


async def test_a_task_that_an_operator_runs_again_links_to_its_last_attempt() -> None:
    """It is the same task, with the same send."""
    traced, works = Traced(), False

    @traced.q.task("flaky", max_retry=0)
    async def flaky(ctx: Context) -> None:
        if not works:
            raise ConnectionError

    handle = await flaky.enqueue()
    await drain(traced.q)
    works = True
    await traced.q.inspector.run_now("default", [handle.id])
    await drain(traced.q)
    first, second = traced.spans("process")
    assert linked(second, "retry of") == [ids(first).span_id]
    assert linked(second, "created by") == [ids(traced.span("send")).span_id]


async def test_an_error_that_is_raised_again_and_again_has_one_note() -> None:
    """Of the run that it was raised in last."""
    traced, same = Traced(), ConnectionError("one object")

    @traced.q.task("flaky", max_retry=2)
    async def flaky(ctx: Context) -> None:
        raise same

    await flaky.enqueue()
    await drain(traced.q)
    runs = traced.spans("process")
    assert linked(runs[2], "retry of") == [ids(runs[1]).span_id]
    assert len(same.__notes__) == 1


async def test_follow_ups_and_chains_link_to_the_run_before() -> None:
    """They are sent by the step that settles it."""
    traced = Traced()

    @traced.q.task("first", retention=60)
    async def first(ctx: Context) -> int:
        ctx.then(third.call())
        return 1

    @traced.q.task("second")
    async def second(ctx: Context, n: int) -> None: ...

    @traced.q.task("third")
    async def third(ctx: Context) -> None: ...

    await chain(first.call(), second).enqueue()
    await drain(traced.q)
    runs = {(each.attributes or {})["qcore.task.name"]: each for each in traced.spans("process")}
    before = [ids(runs["first"]).span_id]
    assert linked(runs["second"], "created by") == before
    assert linked(runs["third"], "created by") == before


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
async def test_spans_of_a_handler_are_children_of_its_run(kind: str) -> None:
    """As coroutine and in a thread the run's span is the current one."""
    traced = Traced()

    def work() -> None:
        with traced.tracer.start_as_current_span("query"):
            pass

    if kind == "thread":

        @traced.q.task("work")
        def in_thread(ctx: Context) -> None:
            work()

    else:

        @traced.q.task("work")
        async def in_coroutine(ctx: Context) -> None:
            work()

    await traced.q.client.enqueue(NewTask("work", id="7"))
    await drain(traced.q)
    assert traced.span("query").parent == ids(traced.span("process"))


async def test_a_child_process_has_the_context_of_its_run() -> None:
    """In its headers, and as the current one within `run_context`; its follow-ups, too."""
    traced = Traced()
    process_handlers.register_traced(traced.q)
    handle = await traced.q.client.enqueue(NewTask("where", id="7", retention=60))
    await drain(traced.q)
    task = await handle.task()
    assert task is not None
    run = ids(traced.span("process"))
    header, span_id = json.loads(task.result)
    assert header.startswith(f"00-{run.trace_id:032x}-{run.span_id:016x}-")
    assert span_id == run.span_id


# --- metrics -------------------------------------------------------------------------------------


async def test_metrics_have_the_buckets_of_the_conventions() -> None:
    """Durations of sends, runs and settlements by queue and error; counts of messages."""
    traced = Traced()

    @traced.q.task("greet", max_retry=0)
    async def greet(ctx: Context) -> None:
        if ctx.id == "bad":
            raise ValueError

    for each in ("good", "bad"):
        await enqueue(traced, id=each, max_retry=0)
    await drain(traced.q)
    points = traced.metrics()
    assert set(points) == {
        "messaging.client.operation.duration",
        "messaging.process.duration",
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
    }
    for name in ("messaging.process.duration", "messaging.client.operation.duration"):
        assert {each.explicit_bounds for each in points[name]} == {conventions.BUCKETS}
    runs = {
        each.attributes.get("error.type"): each for each in points["messaging.process.duration"]
    }
    assert {kind: each.count for kind, each in runs.items()} == {None: 1, "ValueError": 1}
    counted = {name: value for name, value in common("process").items() if "type" not in name}
    assert dict(runs[None].attributes) == counted
    [consumed] = points["messaging.client.consumed.messages"]
    assert dict(consumed.attributes) == counted
    [sent] = points["messaging.client.sent.messages"]
    assert dict(sent.attributes) == counted | {"messaging.operation.name": "send"}
    assert {each.attributes["messaging.operation.type"] for each in points[name]} == {
        "send",
        "settle",
    }
    assert [each.value for each in points["messaging.client.sent.messages"]] == [2]
    assert [each.value for each in points["messaging.client.consumed.messages"]] == [2]


# --- off, and in trouble -------------------------------------------------------------------------


async def test_without_an_sdk_nothing_is_written_into_tasks() -> None:
    """The API's own spans do nothing."""
    q = memory_queue()
    q.task("greet", retention=60)(nothing)
    trace_tasks(q)
    handle = await q.client.enqueue(NewTask("greet", id="7", retention=60))
    assert await drain(q) == 1
    task = await handle.task()
    assert task is not None
    assert dict(task.spec.headers) == {}


async def test_what_is_not_sampled_carries_its_context_all_the_same() -> None:
    """Flagged as such, so that the worker's service does not sample it either."""
    traced = Traced(sampler=ALWAYS_OFF)
    handle = await enqueue(traced)
    task = await handle.task()
    flags = int(task.spec.headers["traceparent"].rpartition("-")[2], 16)
    assert not flags & TraceFlags.SAMPLED
    assert traced.exporter.get_finished_spans() == ()


class Broken(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("broken")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("broken")


async def test_an_sdk_that_fails_loses_no_task(traced: Traced) -> None:
    """What it raises is logged."""
    traced.provider.add_span_processor(Broken())
    with capture_logs() as lines:
        await enqueue(traced)
        assert await drain(traced.q) == 1
    assert {line["event"] for line in lines if line["log_level"] == "error"} == {"tracing failed"}


async def test_a_propagator_that_fails_loses_no_task(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks have no context then."""

    def fail(*_args: object, **_keywords: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(propagate, "inject", fail)
    monkeypatch.setattr(propagate, "extract", fail)
    with capture_logs() as lines:
        await enqueue(traced, headers={"a": "b"})
        assert await drain(traced.q) == 1
    assert "tracing failed" in {line["event"] for line in lines}


@pytest.mark.parametrize("odd", [7, "\udcff"])
async def test_a_propagator_that_writes_what_is_no_text_loses_no_task(
    traced: Traced, monkeypatch: pytest.MonkeyPatch, odd: Any
) -> None:
    """No store could keep it: the task has no context then."""

    def write(headers: Any, _context: Any) -> None:
        headers["x-trace"] = odd

    monkeypatch.setattr(propagate, "inject", write)
    with capture_logs() as lines:
        handle = await enqueue(traced)
    task = await handle.task()
    assert dict(task.spec.headers) == {}
    assert "tracing failed" in {line["event"] for line in lines}


async def test_a_store_that_does_not_say_what_went_before_costs_a_link_alone() -> None:
    """The run goes on."""

    class Silent(MemoryBroker):
        async def details(self, queue: str, ids: Any) -> Any:
            raise BrokerUnavailable("away")

    traced = Traced(memory_queue(Silent()))

    @traced.q.task("flaky", max_retry=1)
    async def flaky(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ConnectionError

    await flaky.enqueue()
    assert await drain(traced.q) == 2
    assert [linked(each, "retry of") for each in traced.spans("process")] == [[], []]


def test_a_queue_is_traced_once(traced: Traced) -> None:
    """Twice would make each span twice."""
    with pytest.raises(InvalidOption, match="traced already"):
        trace_tasks(traced.q)


async def test_a_swapped_queue_is_traced_too(traced: Traced) -> None:
    """As in a test of the application."""
    with traced.q.swapped(clock=traced.q.clock):
        await enqueue(traced)
        await drain(traced.q)
    assert linked(traced.span("process"), "created by") == [ids(traced.span("send")).span_id]


# --- logs ----------------------------------------------------------------------------------------


async def test_lines_about_a_run_have_its_trace() -> None:
    """Those of the worker, and those that are logged in it."""
    traced = Traced()

    @traced.q.task("greet", max_retry=0)
    async def greet(ctx: Context) -> None:
        raise ValueError

    with capture_logs() as lines:
        await enqueue(traced, max_retry=0)
        await drain(traced.q)
    [line] = [each for each in lines if each["event"] == "task is out of retries"]
    run = ids(traced.span("process"))
    assert (line["trace_id"], line["span_id"]) == (f"{run.trace_id:032x}", f"{run.span_id:016x}")
    facts = {"task": "greet", "task_id": "7", "queue": "default", "attempt": 1}
    assert facts.items() <= line.items()
    assert "seconds" in line


def test_a_processor_adds_the_current_span(traced: Traced) -> None:
    """And nothing where there is none."""
    assert add_trace_ids(None, "info", {"event": "hello"}) == {"event": "hello"}
    with traced.tracer.start_as_current_span("request") as span:
        line: Mapping[str, Any] = add_trace_ids(None, "info", {"event": "hello"})
    found = span.get_span_context()
    assert line["trace_id"] == f"{found.trace_id:032x}"
