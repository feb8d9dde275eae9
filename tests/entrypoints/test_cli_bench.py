import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qcore import NewTask, Qcore, State
from qcore.entrypoints.benchmark import run
from qcore.entrypoints.benchmark.journal import Audit, DrainPlan, Journal
from qcore.entrypoints.benchmark.report import Report, percentile
from qcore.entrypoints.benchmark.run import measure
from qcore.entrypoints.benchmark.workload import Workload
from qcore.entrypoints.cli import bench
from qcore.entrypoints.cli.group import qcore

RATES = {
    "enqueue_serial_per_s",
    "enqueue_bulk_per_s",
    "enqueue_concurrent_per_s",
    "drain_per_s",
}
KEYS = {*RATES, "latency_ms", "worker_rss_mb", "lost", "duplicated"}

A_REPORT = Report(
    enqueue_serial_per_s=1234.5,
    enqueue_bulk_per_s=23456.7,
    enqueue_concurrent_per_s=3456.7,
    drain_per_s=45678.9,
    latencies=[0.001, 0.002, 0.003],
    worker_rss_mb=41.26,
    lost=0,
    duplicated=0,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(qcore, ["bench", *arguments])


def is_complete(result: Result) -> None:
    """Assert that a run had every figure, and lost nothing."""
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures.keys() == KEYS
    assert figures["latency_ms"].keys() == {"p50", "p99"}
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert all(figures[rate] > 0 for rate in RATES)
    assert figures["worker_rss_mb"] > 0
    assert (figures["lost"], figures["duplicated"]) == (0, 0)


# --- whole runs ---------------------------------------------------------------------------------


def test_memory_is_measured_in_this_process() -> None:
    """Every figure is there, and every task ran once."""
    is_complete(invoke("--url", "memory://", "--tasks", "40", "--json"))


@pytest.mark.system
def test_sqlite_is_measured_with_a_worker_in_its_own_process(home: Path) -> None:
    """Every figure is there, and every task ran once."""
    is_complete(invoke("--url", f"sqlite:///{home}/bench.db", "--tasks", "40", "--json"))


@pytest.mark.system
def test_without_a_url_a_file_is_made_and_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What QCORE_URL names may be somebody's real store: it is measured when asked for alone."""
    monkeypatch.setenv("QCORE_URL", "sqlite:///precious.db")
    is_complete(invoke("--tasks", "10", "--json"))
    assert list(home.iterdir()) == []


@pytest.mark.system
async def test_a_store_is_left_as_it_was(home: Path) -> None:
    """Other queues are not served, and of its own queue nothing is left."""
    url = f"sqlite:///{home}/shop.db"
    async with Qcore(url) as q:
        await q.client.enqueue(NewTask("bench:noop", id="mine", payload=b'{"n":1}'))
        before = await q.inspector.get("default", "mine")
        await measure(url, 10)
        assert await q.inspector.counts() == {"default": {State.PENDING: 1}}
        assert await q.inspector.get("default", "mine") == before


async def test_what_is_left_in_the_queue_is_removed_whatever_its_state() -> None:
    """Also what some worker still has in hand."""
    workload = Workload("memory://", "qcore-bench-test")
    await workload.noop.enqueue(n=1)
    await workload.noop.using(delay=60).enqueue(n=2)
    await workload.q.client.enqueue(NewTask("other", id="other"))
    running = asyncio.Event()

    @workload.q.task("hold", queue=workload.queue)
    async def hold(_ctx: object) -> None:
        running.set()
        await asyncio.Event().wait()

    await hold.using(priority=1).enqueue()
    worker = workload.q.worker(queues=[workload.queue], concurrency=1, grace=0)
    working = asyncio.create_task(worker.run())
    await running.wait()
    assert await workload.remaining() == 3
    await workload.clear()
    assert await workload.q.inspector.counts() == {"default": {State.PENDING: 1}}
    worker.stop(at_once=True)
    await working


# --- what is wrong ------------------------------------------------------------------------------


def test_a_wrong_url_is_refused_in_one_line() -> None:
    """The exit status is 2."""
    result = invoke("--url", "nonsense://")
    assert result.exit_code == 2
    assert "has the scheme 'nonsense'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_store_that_cannot_be_used_is_one_line(home: Path) -> None:
    """The exit status is 1."""
    (home / "letter.txt").write_text("Dear Sir or Madam, " * 100)
    result = invoke("--url", "sqlite:///letter.txt")
    assert result.exit_code == 1
    assert "no SQLite database" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("tasks", ["0", "-1", "many"])
def test_a_number_of_tasks_that_cannot_be_is_refused(tasks: str) -> None:
    """At least one task is needed to measure anything."""
    result = invoke("--tasks", tasks)
    assert result.exit_code == 2
    assert "--tasks" in result.stderr


# --- the report ---------------------------------------------------------------------------------


def test_people_read_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --json there is a line for each figure, with its unit."""
    monkeypatch.setattr(bench, "run", lambda coroutine: coroutine.close() or A_REPORT)
    result = invoke("--url", "memory://")
    assert result.exit_code == 0
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["drain", "45,679", "/s"] in words
    assert ["latency", "of", "an", "idle", "worker,", "p50", "2.00", "ms"] in words
    assert ["memory", "of", "the", "worker", "41", "MB"] in words
    assert ["lost", "0", "tasks"] in words


@pytest.mark.parametrize("fault", ["lost", "duplicated"])
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_run_that_lost_or_repeated_a_task_fails(
    monkeypatch: pytest.MonkeyPatch, fault: str, options: list[str]
) -> None:
    """The figures are printed all the same, and the exit status is 1."""
    fields = {name: getattr(A_REPORT, name) for name in Report.__annotations__}
    report = Report(**{**fields, fault: 1})
    monkeypatch.setattr(bench, "run", lambda coroutine: coroutine.close() or report)
    result = invoke("--url", "memory://", *options)
    assert result.exit_code == 1
    assert result.stdout


def test_latencies_are_given_in_milliseconds() -> None:
    """The figures have exactly the names that were promised."""
    figures = A_REPORT.figures()
    assert figures.keys() == KEYS
    assert figures["latency_ms"] == {"p50": 2.0, "p99": 3.0}
    assert figures["worker_rss_mb"] == 41.3


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (1, 1), (0, 1)]
)
def test_a_percentile_is_a_value_that_there_was(percent: float, value: float) -> None:
    """Nearest rank: nothing between two samples is made up."""
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == value


def test_of_no_values_there_is_no_percentile() -> None:
    """It is 0 then, and the lost tasks say why."""
    assert percentile([], 50) == 0


# --- the audit ----------------------------------------------------------------------------------


def noted(path: Path, *tasks: str, warm_up: int = 0) -> Journal:
    """Return the journal of some runs."""
    journal = Journal(path, warm_up=warm_up)
    for task in tasks:
        journal.record(task)
    journal.close()
    return journal


@pytest.mark.parametrize(
    ("ran", "audit"),
    [
        (["a", "b", "c"], Audit(lost=0, duplicated=0)),
        (["c", "a"], Audit(lost=1, duplicated=0)),
        ([], Audit(lost=3, duplicated=0)),
        (["a", "b", "b", "c", "b"], Audit(lost=0, duplicated=2)),
        (["a", "a"], Audit(lost=2, duplicated=1)),
    ],
    ids=str,
)
def test_the_audit_finds_what_never_ran_and_what_ran_again(
    tmp_path: Path, ran: list[str], audit: Audit
) -> None:
    """Each task asked for is looked for by its id; as many runs as there were count."""
    noted(tmp_path / "journal", *ran)
    assert Audit.of(["a", "b", "c"], tmp_path / "journal") == audit


def test_a_single_call_has_no_rate(tmp_path: Path) -> None:
    """A rate is between two calls."""
    assert noted(tmp_path / "journal", "a").rate() == 0
    assert noted(tmp_path / "journal").rate() == 0
    assert noted(tmp_path / "journal", "a", "b").rate() > 0


def test_a_warm_up_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is of the runs after it: here a slow one, then two in a second."""
    moments = iter([0.0, 100.0, 100.5, 101.0])
    monkeypatch.setattr("qcore.entrypoints.benchmark.journal.perf_counter", lambda: next(moments))
    assert noted(tmp_path / "journal", "a", "b", "c", "d", warm_up=2).rate() == 2.0


def test_runs_that_all_were_a_warm_up_have_no_rate(tmp_path: Path) -> None:
    """As where tasks were lost."""
    assert noted(tmp_path / "journal", "a", "b", warm_up=3).rate() == 0


async def test_the_drain_is_of_a_backlog_behind_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ways of enqueueing leave is run first; five times one of them is timed."""
    plans: list[DrainPlan] = []
    started = run.started_worker

    def noting(workload: Workload, path: Path, plan: DrainPlan) -> Any:
        plans.append(plan)
        return started(workload, path, plan)

    monkeypatch.setattr(run, "started_worker", noting)
    report = await measure("memory://", 10)
    assert report.is_clean
    assert plans == [DrainPlan(warm_up=10 + 10 + 2 + 10, timed=50)]
