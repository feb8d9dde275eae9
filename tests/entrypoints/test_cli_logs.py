import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore.entrypoints.cli.loading import load
from tests.entrypoints.cli_kit import invoke, lines_of, working_in, write
from tests.log.kit import unconfigured_logs

APPLICATION = """
import logging
from qcore import Context, Qcore, SkipRetry

q = Qcore("sqlite:///tasks.db")

@q.task("greet")
async def greet(ctx: Context, whom: str) -> None:
    logging.getLogger("shop.mail").info("hello %s", whom, extra={"lang": "en"})
    logging.getLogger("shop.mail").debug("too fine")
    ctx.log.info("greeted", whom=whom)

@q.task("break", max_retry=0)
async def break_(ctx: Context) -> None:
    raise ValueError("no such account")

@q.task("retry")
async def retry(ctx: Context) -> None:
    raise ValueError("try later")

@q.task("compute", process=True)
def compute(ctx: Context) -> None:
    logging.getLogger("shop.sums").info("computed")
"""
BASIC = """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s|%(name)s|%(message)s")
"""
STRUCTLOG = """
import structlog
structlog.configure(processors=[structlog.processors.LogfmtRenderer(key_order=["event"])],
                    logger_factory=structlog.PrintLoggerFactory())
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with an application and tasks that wait."""
    with working_in(tmp_path, monkeypatch):
        application(tmp_path)
        enqueue(greet=("Ann",), break_=(), retry=())
        yield tmp_path


def application(home: Path, before: str = "") -> None:
    """Write the application, with what configures its log."""
    write(home, "app", before + APPLICATION)


def enqueue(**tasks: tuple[str, ...]) -> None:
    """Store tasks, by the names of their functions, and forget the module again."""
    with unconfigured_logs():
        q = load("app:q")
        app = sys.modules.pop("app")
        q.blocking.enqueue_many([getattr(app, name).call(*args) for name, args in tasks.items()])
        q.blocking.close()


def work(*arguments: str) -> list[dict[str, object]]:
    """Return what a worker logs for machines."""
    result = invoke("worker", "app:q", "--burst", *arguments)
    assert result.exit_code == 0, result.stderr
    return lines_of(result)


def the(lines: list[dict[str, object]], event: str) -> dict[str, object]:
    """Return the one line of an event."""
    [line] = [line for line in lines if line["event"] == event]
    return line


def test_the_start_names_tasks_queues_and_the_store() -> None:
    """So that a worker that was started wrongly is seen at once."""
    started = the(work(), "worker started")
    assert started["tasks"] == ["greet", "break", "retry", "compute"]
    assert started["queues"] == ["default"]
    assert started["broker"] == "sqlite:///tasks.db"


def test_a_failure_that_is_final_is_logged_with_its_traceback() -> None:
    """One that is tried again is not, unless debug is asked for."""
    lines = work()
    stack = str(the(lines, "task is out of retries")["stack"])
    assert stack.startswith("Traceback (most recent call last):\n")
    assert stack.endswith("ValueError: no such account\n")
    assert "stack" not in the(lines, "task failed")


def test_all_failures_have_theirs_at_debug() -> None:
    """Whoever looks for a cause asks for it."""
    lines = work("--log-level", "debug")
    assert "in retry" in str(the(lines, "task failed")["stack"])


def test_the_applications_logging_is_shown() -> None:
    """Though it has configured nothing; its level is the command's, and fields are fields."""
    lines = work()
    hello = the(lines, "hello Ann")
    assert (hello["logger"], hello["level"], hello["lang"]) == ("shop.mail", "info", "en")
    assert "too fine" not in {line["event"] for line in lines}


def test_debug_is_shown_of_the_application_too() -> None:
    """One flag is for all lines."""
    assert the(work("--log-level", "debug"), "too fine")["level"] == "debug"


def test_in_a_terminal_a_success_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the application's logging, a traceback and qcore's lines are for people alike."""
    # the command first: its module, if this is what imports it, must not keep the replacement
    monkeypatch.setattr("qcore.entrypoints.cli.worker.is_terminal", lambda: True)
    monkeypatch.setattr("qcore.entrypoints.logs.is_terminal", lambda: True)
    text = invoke("worker", "app:q", "--burst").stderr
    [success] = [line for line in text.splitlines() if "task succeeded" in line]
    assert "greet" in success
    assert "hello Ann" in text
    assert "Traceback (most recent call last):\n" in text
    assert "{" not in text


def test_elsewhere_a_success_is_none() -> None:
    """A machine that reads along counts them otherwise."""
    assert "task succeeded" not in {line["event"] for line in work()}


def test_elsewhere_a_success_is_shown_at_debug() -> None:
    """With its fields."""
    assert the(work("--log-level", "debug"), "task succeeded")["task"] == "greet"


def test_what_the_application_configured_of_logging_shows_qcores_lines(home: Path) -> None:
    """In its own format, at its own level, and once."""
    application(home, BASIC)
    text = invoke("worker", "app:q", "--burst", "--log-level", "debug").stderr
    assert "INFO|shop.mail|hello Ann\n" in text
    assert "INFO|qcore.task|greeted task='greet'" in text
    assert text.count("INFO|qcore|worker started tasks=['greet'") == 1
    assert "ERROR|qcore|task is out of retries error='ValueError: no such account'" in text
    assert "\nTraceback (most recent call last):\n" in text
    assert "too fine" not in text


def test_what_the_application_configured_of_structlog_shows_qcores_lines(home: Path) -> None:
    """And its `logging` is shown, as nobody else does."""
    application(home, STRUCTLOG)
    result = invoke("worker", "app:q", "--burst")
    assert 'event="worker started"' in result.stdout
    assert "event=greeted" in result.stdout
    assert "worker started" not in result.stderr
    assert "hello Ann" in {line["event"] for line in lines_of(result)}


def test_what_one_logger_shows_is_shown_once(home: Path) -> None:
    """An application may have configured a logger of its own, and no more."""
    own = """
import logging
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("own|%(message)s"))
logging.getLogger("shop").addHandler(handler)
logging.getLogger("other").addHandler(logging.NullHandler())
logging.getLogger("other").warning("of a library")
"""
    late = "\nq.on_error(lambda ctx, error: logging.getLogger('other.part').info('heard'))\n"
    application(home, own)
    write(home, "app", (home / "app.py").read_text() + late)
    try:
        lines = invoke("worker", "app:q", "--burst").stderr.splitlines()
    finally:
        logging.getLogger("shop").handlers.clear()
        logging.getLogger("other").handlers.clear()
    assert [line for line in lines if "hello Ann" in line] == ["own|hello Ann"]
    assert '"event": "heard"' in "".join(lines)


@pytest.mark.parametrize("configured", ["", BASIC, STRUCTLOG], ids=["none", "logging", "structlog"])
def test_a_child_process_logs_as_its_worker_does(home: Path, configured: str) -> None:
    """A handler with `process=True` is not to be silent."""
    enqueue(compute=())
    application(home, configured)
    command = [sys.executable, "-m", "qcore", "worker", "app:q", "--burst"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    [line] = [line for line in done.stderr.splitlines() if "computed" in line]
    if configured == BASIC:
        assert line == "INFO|shop.sums|computed"
    else:
        assert json.loads(line)["logger"] == "shop.sums"
