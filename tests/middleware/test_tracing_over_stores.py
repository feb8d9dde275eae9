"""Spans over the stores that are shared, through a real worker and in real time."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from qcore import Context, Qcore, chain
from qcore.backoff import fixed
from tests.middleware.tracing_kit import Traced, ids, linked
from tests.servers.redis import RedisServer

PATIENCE = 30.0
LEASE = 3.0
"""Seconds: a worker sees with its heartbeat, three times in a lease, that a task was cancelled."""


async def test_spans_over_sqlite_are_joined(tmp_path: Path) -> None:
    """A file has headers, errors and chains as memory has them."""
    await check_all(Qcore(f"sqlite:///{tmp_path}/tasks.db"))


async def test_spans_over_redis_are_joined(redis_server: RedisServer) -> None:
    """Redis, too."""
    await check_all(Qcore(f"{redis_server.url}?namespace=traces-{uuid4().hex}"))


async def check_all(q: Qcore) -> None:
    """Run a task that is retried and followed, a chain, one that is cut and one that is cancelled.

    Then look for all their spans, and what they link to.
    """
    traced = Traced(q)
    started = asyncio.Event()

    @q.task("after")
    async def after(ctx: Context) -> None: ...

    @q.task("flaky", max_retry=1, backoff=fixed(0))
    async def flaky(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ConnectionError("no route \udcff")
        ctx.then(after.call())

    @q.task("first")
    async def first(ctx: Context) -> int:
        return 7

    @q.task("second")
    async def second(ctx: Context, number: int) -> None:
        assert number == 7

    @q.task("slow", timeout=0.05, max_retry=0)
    async def slow(ctx: Context) -> None:
        await asyncio.Event().wait()

    @q.task("hang")
    async def hang(ctx: Context) -> None:
        started.set()
        await asyncio.Event().wait()

    async with q, asyncio.timeout(PATIENCE), q.running(lease=LEASE, scheduler=False):
        await flaky.enqueue()
        await chain(first.call(), second).enqueue()
        await slow.enqueue()
        hung = await hang.enqueue()
        await started.wait()
        await q.inspector.cancel("default", [hung.id])
        await until(lambda: len(traced.spans("process")) == 7)

    runs = {
        f"{(span.attributes or {})['qcore.task.name']}"
        f"-{(span.attributes or {})['qcore.task.attempt']}": span
        for span in traced.spans("process default")
    }
    sends = {
        f"{(span.attributes or {})['qcore.task.name']}": span
        for span in traced.spans("send default")
    }
    assert {span.kind for span in runs.values()} == {SpanKind.CONSUMER}
    assert {span.kind for span in sends.values()} == {SpanKind.PRODUCER}
    created = {
        "flaky-1": sends["flaky"],
        "flaky-2": sends["flaky"],
        "after-1": runs["flaky-2"],
        "first-1": sends["first"],
        "second-1": runs["first-1"],
        "slow-1": sends["slow"],
        "hang-1": sends["hang"],
    }
    assert {name: linked(span, "created by") for name, span in runs.items()} == {
        name: [ids(span).span_id] for name, span in created.items()
    }
    assert linked(runs["flaky-2"], "retry of") == [ids(runs["flaky-1"]).span_id]
    errors = {name: (span.attributes or {}).get("error.type") for name, span in runs.items()}
    assert {name: kind for name, kind in errors.items() if kind} == {
        "flaky-1": "ConnectionError",
        "slow-1": "TimeoutError",
        "hang-1": "lease_lost",
    }
    assert {name for name, span in runs.items() if span.status.status_code is StatusCode.ERROR} == {
        name for name, kind in errors.items() if kind
    }
    assert runs["flaky-1"].status.description == "ConnectionError: no route \\udcff"
    settled = settled_by(traced.spans("settle default"))
    assert settled >= {ids(span).span_id for name, span in runs.items() if name != "hang-1"}


def settled_by(spans: Sequence[ReadableSpan]) -> set[int]:
    """Return the ids of the runs that settlements link to."""
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    return {each for span in spans for each in linked(span, "settles")}


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not holds():  # noqa: ASYNC110  (spans tell nobody that they are there)
        await asyncio.sleep(0.01)
