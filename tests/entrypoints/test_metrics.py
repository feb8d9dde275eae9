"""What a queue's metrics say: over HTTP, in virtual time, with a store that is away."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from qcore import Context, NewTask, Qcore
from qcore.adapters.instruments import metric_catalogue as of
from qcore.adapters.memory import MemoryBroker
from qcore.entrypoints.metrics.collector import SampleCollector, registry_of
from qcore.entrypoints.metrics.store_gauges import StoreGauges
from qcore.errors import InvalidOption
from qcore.metrics import Metrics, MetricsCollector, metrics_app, metrics_wsgi_app
from qcore.testing import FaultyBroker, ManualClock, drain
from qcore.types import Call
from tests.entrypoints.kit_of_metrics import Samples, samples_of

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def q() -> Qcore:
    """Return a queue whose tasks take virtual time."""
    q = Qcore("memory://", clock=ManualClock(), instruments=[Metrics()])

    @q.task("mail:send", queue="mail", max_retry=1)
    async def send(ctx: Context, seconds: float, error: str | None = None) -> None:
        clock_of(q).advance(seconds)
        if error is not None:
            raise ConnectionError(error)

    return q


def clock_of(q: Qcore) -> ManualClock:
    """Return the clock of a queue under test."""
    assert isinstance(q.clock, ManualClock)
    return q.clock


def call_of(q: Qcore, **arguments: Any) -> Call[Any]:
    """Return a call of the one task."""
    [send] = q.handlers()
    return send.call(**arguments)


async def scraped(q: Qcore, **headers: str) -> httpx.Response:
    """Return what the ASGI application of a queue answers."""
    transport = httpx.ASGITransport(app=metrics_app(q))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/", headers=headers)


async def told(q: Qcore) -> Samples:
    """Return the samples that a queue's application tells."""
    return samples_of((await scraped(q)).text)


async def test_a_worker_is_told_with_its_tasks_and_times(q: Qcore) -> None:
    """Whatever ran, how long it waited and took, and how its queue stands."""
    await q.client.enqueue(call_of(q, seconds=3))
    await q.client.enqueue(call_of(q, seconds=0, error="no"))
    before = await told(q)
    assert before["qcore_tasks", "mail", "pending"] == 2
    assert before["qcore_tasks", "mail", "dead"] == 0
    assert before["qcore_queue_workers", "mail"] == 0
    assert before["qcore_queue_paused", "mail"] == 0
    await drain(q)

    after = await told(q)
    runs = "qcore_task_runs_total"
    assert after[runs, "mail:send", "succeeded", "mail"] == 1
    assert after[runs, "mail:send", "retried", "mail"] == 1
    assert after[runs, "mail:send", "exhausted", "mail"] == 1
    assert after["qcore_task_run_seconds_sum", "mail:send", "mail"] == 3
    assert after["qcore_task_run_seconds_bucket", "2.5", "mail:send", "mail"] == 2
    assert after["qcore_task_run_seconds_bucket", "5.0", "mail:send", "mail"] == 3
    assert after["qcore_task_run_seconds_bucket", "+Inf", "mail:send", "mail"] == 3
    assert after["qcore_task_wait_seconds_count", "mail:send", "mail"] == 3
    assert after["qcore_tasks", "mail", "pending"] == 0
    assert after["qcore_tasks", "mail", "archived"] == 1
    assert after["qcore_broker_call_seconds_count", "settle"] >= 1
    assert after["qcore_store_up",] == 1


async def test_the_load_is_that_of_the_workers_that_run(q: Qcore) -> None:
    """A worker that has ended has no slots."""
    async with q.running(queues={"mail": 1}, concurrency=7):
        within = await told(q)
    after = await told(q)
    assert (within["qcore_worker_slots",], within["qcore_worker_slots_busy",]) == (7, 0)
    assert (within["qcore_queue_workers", "mail"], after["qcore_worker_slots",]) == (1, 0)


async def test_a_tick_that_nobody_made_in_time_is_missed(q: Qcore) -> None:
    """As is how late the one was that was made."""
    await q.entries.put(60, call_of(q, seconds=0), name="report", missed="one")
    clock_of(q).set_to(q.clock.now() + 5 * 60 + 7)
    await drain(q, until=q.clock.now())
    found = await told(q)
    assert found["qcore_periodic_ticks_total", "mail"] == 1
    assert found["qcore_periodic_missed_ticks_total", "mail"] == 4
    assert found["qcore_periodic_lateness_seconds_sum", "mail"] == pytest.approx(7, abs=60)


async def test_a_queue_that_is_empty_by_now_is_told_as_such(q: Qcore) -> None:
    """Also one that only other processes know; and it may be paused."""
    app = registry_of(MetricsCollector(q))
    q.blocking.enqueue(NewTask("x", id="x", queue="foreign"))
    pending = {"queue": "foreign", "state": "pending"}
    assert app.get_sample_value("qcore_tasks", pending) == 1
    await q.inspector.delete("foreign", ["x"])
    await q.inspector.pause("foreign")
    assert app.get_sample_value("qcore_tasks", pending) == 0
    assert app.get_sample_value("qcore_queue_paused", {"queue": "foreign"}) == 1


# --- formats ------------------------------------------------------------------------------------


async def test_openmetrics_is_told_to_who_asks_for_it(q: Qcore) -> None:
    """By the same names, and it parses; others get the plain text."""
    await q.client.enqueue(call_of(q, seconds=1))
    await drain(q)
    plain, modern = await scraped(q), await scraped(q, accept=OPENMETRICS)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.text.endswith("# EOF\n")
    families = {each.name for each in openmetrics.text_string_to_metric_families(modern.text)}
    assert families == {each.name for each in parser.text_string_to_metric_families(plain.text)}
    assert families == {name.removesuffix("_total") for name in of.METRICS}


async def test_only_what_reads_is_answered(q: Qcore) -> None:
    """HEAD has no body; what writes is refused."""
    transport = httpx.ASGITransport(app=metrics_app(q))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        head, post = await client.head("/"), await client.post("/")
    assert (head.status_code, head.content, post.status_code) == (200, b"", 405)
    assert int(head.headers["content-length"]) > 1_000


def test_a_wsgi_application_tells_the_same(q: Qcore) -> None:
    """For Flask and Django."""
    environ: dict[str, Any] = {"HTTP_ACCEPT": OPENMETRICS}
    setup_testing_defaults(environ)
    said: list[Any] = []
    body = b"".join(metrics_wsgi_app(q)(environ, lambda *answer: said.append(answer)))  # type: ignore[arg-type,return-value]
    assert said[0][0] == "200 OK"
    assert dict(said[0][1])["Content-Type"].startswith("application/openmetrics-text")
    assert b"qcore_store_up 1.0" in body


# --- a store that is away ------------------------------------------------------------------------


async def test_a_store_that_fails_is_down_and_the_rest_is_told(q: Qcore) -> None:
    """What was counted is in this process, whatever the store does."""
    broker = FaultyBroker(MemoryBroker())
    with q.swapped(broker=broker):
        broker.fail("count")
        found = await told(q)
    assert found["qcore_store_up",] == 0
    assert found["qcore_worker_slots",] == 0
    assert not [key for key in found if key[0] == "qcore_tasks"]


@pytest.fixture
def hanging() -> Iterator[tuple[StoreGauges, threading.Event, SimpleQueue[None]]]:
    """Return gauges of a store that hangs, what lets it answer, and an entry for each question."""
    answers, asked = threading.Event(), SimpleQueue[None]()

    def read() -> list[Any]:
        asked.put(None)
        answers.wait(30)
        return [(of.UP, (), [1.0])]

    yield StoreGauges(read, patience=0.05), answers, asked
    answers.set()


def test_a_store_that_hangs_is_asked_once_and_told_as_down(
    hanging: tuple[StoreGauges, threading.Event, SimpleQueue[None]],
) -> None:
    """Each scrape is answered within the bound, and leaves no thread of its own behind."""
    gauges, answers, asked = hanging
    registry = registry_of(SampleCollector([gauges]))
    assert [registry.get_sample_value("qcore_store_up") for _ in range(3)] == [0, 0, 0]
    asked.get(timeout=30)
    assert asked.empty()
    answers.set()
    while registry.get_sample_value("qcore_store_up") != 1:
        pass


def test_a_registration_asks_no_store() -> None:
    """An application that starts is not held up by a store that is away."""

    def read() -> list[Any]:
        raise AssertionError

    registry_of(SampleCollector([read]))


# --- what need not be installed ------------------------------------------------------------------


def test_without_the_client_there_is_one_clear_line(
    q: Qcore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(InvalidOption, match=r"pip install 'qcore-queue\[metrics\]'"):
        metrics_app(q)


def test_the_client_is_imported_by_who_collects_alone() -> None:
    """A queue that is not measured does not wait for it."""
    code = """if True:
        import sys, qcore.entrypoints.cli.worker
        print([name for name in sys.modules if "metric" in name and name.startswith("qcore")])
        import qcore.metrics
        print("prometheus_client" in sys.modules)
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["[]", "False"]
