import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click import unstyle
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from qcore import Context, Qcore, SkipRetry
from qcore.entrypoints.cli import output
from qcore.entrypoints.cli.group import qcore
from qcore.entrypoints.cli.sparkline import BARS, sparkline
from qcore.entrypoints.written_times import short

URL = "sqlite:///queue.db"
HOUR = 3_600.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of our own, and leave the log as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QCORE_URL", URL)
    monkeypatch.delenv("NO_COLOR", raising=False)
    structlog.reset_defaults()
    yield tmp_path
    structlog.reset_defaults()


def invoke(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(qcore, ["stats", *arguments])


def sit_at_a_terminal_of(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command see a terminal whose lines have so many characters."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("qcore.entrypoints.cli.stats_output.is_terminal", lambda: True)
    monkeypatch.setattr(output, "is_terminal", lambda: True)


def run_some() -> None:
    """Run a few tasks, of which one fails for good."""
    q = Qcore(instruments=[])

    @q.task("email:welcome")
    async def welcome(ctx: Context) -> None: ...

    @q.task("report [weekly]", max_retry=0)
    async def report(ctx: Context) -> None:
        raise SkipRetry("no")

    async def run() -> None:
        async with q:
            await q.client.enqueue_many([welcome.call() for _ in range(3)])
            await report.using(queue="slow").enqueue()
            await q.worker(queues=["default", "slow"], burst=True).run()

    asyncio.run(run())


def test_a_pipe_gets_a_line_of_cells_for_each_queue_and_name() -> None:
    """Whole numbers, and seconds: two programs away, nobody has to take anything apart."""
    run_some()
    first, second = (line.split("\t") for line in invoke().stdout.splitlines())
    assert first[:7] == ["default", "email:welcome", "3", "0", "0", "0", "0"]
    assert second[:7] == ["slow", "report [weekly]", "1", "1", "0", "1", "0"]
    assert all(float(each) >= 0 for each in (*first[7:], *second[7:]))
    assert len(first) == len(second) == 13


def test_one_queue_may_be_asked_for() -> None:
    """Nothing is told of the others, and of one where nothing has ended there is nothing."""
    run_some()
    assert [line.split("\t")[0] for line in invoke("slow").stdout.splitlines()] == ["slow"]
    result = invoke("nowhere")
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_person_gets_a_picture_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar for each two minutes of the hour, the last of them for this moment."""
    run_some()
    sit_at_a_terminal_of(200, monkeypatch)
    titles, first, second = unstyle(invoke().stdout).splitlines()
    assert titles.split()[:4] == ["QUEUE", "TASK", "BY", "MINUTE"]
    assert "█" in first
    assert "█" in second
    assert "report [weekly]" in second
    assert "BY DAY" in invoke("--since", "30d").stdout
    assert "nothing has ended since" in invoke("nowhere").stdout


@pytest.mark.parametrize("width", [54, 60, 70, 80, 90, 100, 110, 120, 136])
def test_the_table_is_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """It goes without columns, and not without how much ran, failed, and how long it took."""
    run_some()
    sit_at_a_terminal_of(width, monkeypatch)
    titles, first, second = unstyle(invoke().stdout).splitlines()
    assert max(map(len, (titles, first, second))) <= width
    assert "RUNS  FAILED" in titles
    assert "RAN P50 P95 P99" in titles


def test_a_terminal_of_80_characters_has_all_but_what_is_rare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wait is there; a wider one has the picture, and the rest."""
    run_some()
    sit_at_a_terminal_of(80, monkeypatch)
    titles = unstyle(invoke().stdout).splitlines()[0]
    shown = "QUEUE TASK RUNS FAILED DEAD WAIT P50 P95 P99 RAN P50 P95 P99"
    assert " ".join(titles.split()) == shown
    sit_at_a_terminal_of(110, monkeypatch)
    titles = unstyle(invoke().stdout).splitlines()[0]
    for each in ("BY MINUTE", "RETRIED", "DEAD", "CRASHED"):
        assert each in titles


def test_a_long_name_is_shortened_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal alone: what a pipe takes on is the name."""
    name = "statements:" + "x" * 60
    q = Qcore(instruments=[])

    @q.task(name)
    async def statements(ctx: Context) -> None: ...

    async def run() -> None:
        async with q:
            await statements.enqueue()
            await q.worker(burst=True).run()

    asyncio.run(run())
    assert invoke().stdout.split("\t")[1] == name
    sit_at_a_terminal_of(80, monkeypatch)
    titles, row = unstyle(invoke().stdout).splitlines()
    assert max(len(titles), len(row)) == 80
    assert "statements:xxxxxxx" in row
    assert "…  1" in row


def test_a_program_gets_one_document() -> None:
    """With what a person has no room for: each outcome, and each period."""
    run_some()
    found = json.loads(invoke("--json").stdout)
    assert (found["version"], found["period_seconds"]) == (1, 60)
    first, second = found["statistics"]
    assert (first["queue"], first["name"], first["processed"]) == ("default", "email:welcome", 3)
    assert second["outcomes"]["rejected"] == second["failed"] == second["dead"] == 1
    assert sum(each["processed"] for each in first["periods"]) == 3
    assert first["waited_seconds"].keys() == {"p50", "p95", "p99"}
    assert json.loads(invoke("nowhere", "--json").stdout)["statistics"] == []
    days = json.loads(invoke("--by", "day", "--json").stdout)
    assert days["period_seconds"] == 86_400
    assert [each["processed"] for each in days["statistics"]] == [3, 1]


@pytest.mark.parametrize("span", ["1", "h", "-1h", "0h", "1x", "999999d", "1.5h", "", "٣h"])
def test_a_span_that_is_none_is_refused(span: str) -> None:
    """In one line that says what was expected."""
    run_some()
    result = invoke("--since", span)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "expected such as 90min, 3h or 30d" in result.stderr


def test_a_file_that_is_not_there_is_not_made(home: Path) -> None:
    """To look is not to make it; and a store that counts nothing says so."""
    assert invoke().exit_code == 3
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0005, "<1ms"),
        (0.001, "1ms"),
        (0.0123, "12ms"),
        (0.95, "950ms"),
        (2.14, "2.1s"),
        (99.0, "99s"),
        (150.0, "2.5min"),
        (2 * HOUR, "2h"),
        (50 * HOUR, "2.1d"),
        (1e7, "120d"),
    ],
)
def test_times_are_short(seconds: float, said: str) -> None:
    """Two digits that mean something: the bounds are no nearer."""
    assert short(seconds) == said


@given(st.lists(st.integers(0, 10**9), max_size=200), st.integers(1, 60))
def test_a_sparkline_fits_and_hides_nothing(numbers: list[int], width: int) -> None:
    """Never wider than it may be; nothing has the lowest bar, and the most the highest."""
    line = sparkline(numbers, width)
    assert len(line) <= width
    assert (line.strip(BARS[0]) != "") == any(numbers)
    assert not any(numbers) or BARS[-1] in line


def test_a_sparkline_shows_the_latest_whole() -> None:
    """Where numbers are summed, the first bar may stand for fewer of them."""
    assert sparkline([1, 2, 4, 8], 4) == "▂▃▅█"
    assert sparkline([8, 0, 0, 1, 1], 3) == "█▁▃"
