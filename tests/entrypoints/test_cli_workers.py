import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pytest
from click import unstyle
from click.testing import CliRunner, Result

from qcore import Qcore
from qcore.adapters.clocks import SystemClock
from qcore.app.client.inline import run_inline
from qcore.domain.workers import RunningTask, WorkerInfo
from qcore.entrypoints.cli.group import qcore
from qcore.ports import worker_registry_of
from qcore.testing.builders import WorkerFields, a_worker
from tests.servers.ports import free_port

URL = "sqlite:///queue.db"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of our own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QCORE_URL", URL)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


def invoke(*arguments: str, color: bool = False) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(qcore, ["workers", *arguments], color=color)


def announce(*workers: WorkerInfo) -> None:
    """List workers in the store of the environment."""
    q = Qcore(instruments=[])
    broker = q.broker.blocking()
    registry = worker_registry_of(broker)
    assert registry is not None
    for worker in workers:
        run_inline(registry.announce(worker))
    run_inline(broker.close())


def long_lived(**fields: Unpack[WorkerFields]) -> WorkerInfo:
    """Return a worker that is listed for an hour, and was heard of just now."""
    now = SystemClock().now()
    usual = WorkerFields(seen=now, started=now, expires=now + 3_600)
    usual.update(fields)
    return a_worker(**usual)


def busy_and_hung() -> tuple[WorkerInfo, WorkerInfo]:
    """Return a worker that has two tasks, and one whose event loop does not turn."""
    now = SystemClock().now()
    busy = long_lived(
        id="busy",
        name="web-1:7",
        queues={"critical": 6, "low": 1},
        handlers=("mail:", "sms:send"),
        in_hand=2,
        running=(
            RunningTask("critical", "t-1", "mail:welcome", now - 3_660),
            RunningTask("low", "t-2", "sms:send", now - 1),
        ),
        loop_lag=0.25,
        last_claim=now - 1,
        started=now - 7_260,
    )
    return busy, long_lived(id="hung", name="web-2:8", loop_lag=4.5, handlers=("sms:send",))


def test_workers_are_lines_of_cells_in_a_pipe() -> None:
    """For `cut` and `awk`: no titles, no padding, no colours; with the age of each heartbeat."""
    announce(*busy_and_hung())
    result = invoke()
    assert result.exit_code == 0
    busy, hung = (line.split("\t") for line in result.stdout.splitlines())
    assert [busy[n] for n in (0, 1, 4, 5, 6)] == [
        "web-1:7",
        "running",
        "2 of 100",
        "0.2 s",
        "critical=6,low=1",
    ]
    assert re.fullmatch(r"[\d.]+ s ago", busy[2])
    assert busy[3] == "2 h 1 min ago"
    assert (hung[1], hung[5]) == ("blocked", "4.5 s")


def test_workers_are_a_table_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aligned below titles, with colours unless NO_COLOR is set."""
    announce(*busy_and_hung())
    monkeypatch.setattr("qcore.entrypoints.cli.output.is_terminal", lambda: True)
    titles, busy, hung = invoke(color=True).stdout.splitlines()
    assert "\x1b" in titles
    assert click_green("running") in busy
    titles, busy, hung = (unstyle(line) for line in (titles, busy, hung))
    assert titles.split("  ")[0] == "WORKER"
    assert titles.index("STATE") == busy.index("running") == hung.index("blocked")
    assert titles.index("QUEUES") == busy.index("critical=6") == hung.index("default=1")
    monkeypatch.setenv("NO_COLOR", "1")
    # ages have grown meanwhile, and may be wider
    assert invoke(color=True).stdout.splitlines()[0].split() == titles.split()


def click_green(text: str) -> str:
    """Return text as a terminal is told to show it in green."""
    return f"\x1b[32m{text}\x1b[0m"


def test_the_tasks_that_workers_run_are_listed() -> None:
    """Since when, and by whom."""
    announce(*busy_and_hung())
    first, second = (line.split("\t") for line in invoke("--tasks").stdout.splitlines())
    assert first == ["web-1:7", "1 h 1 min", "critical", "t-1", "mail:welcome"]
    assert (second[0], second[2:]) == ("web-1:7", ["low", "t-2", "sms:send"])


def test_json_has_all_that_workers_announce() -> None:
    """One document, with its version; moments in UTC, and seconds beside them."""
    announce(*busy_and_hung())
    document = json.loads(invoke("--json").stdout)
    assert document["version"] == 1
    busy, hung = document["workers"]
    assert busy["seen_seconds_ago"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", busy["seen"])
    assert busy["tasks"][0]["seconds"] == pytest.approx(3_660, abs=59)
    for key in ("seen_seconds_ago", "seen", "expires", "started", "last_claim"):
        assert busy.pop(key)
    for task in busy["tasks"]:
        del task["since"], task["seconds"]
    assert busy == {
        "id": "busy",
        "name": "web-1:7",
        "host": "host",
        "pid": 7,
        "package_version": "1.2.3",
        "app_version": None,
        "state": "running",
        "queues": {"critical": 6, "low": 1},
        "strict": False,
        "handlers": ["mail:", "sms:send"],
        "concurrency": 100,
        "in_hand": 2,
        "tasks": [
            {"queue": "critical", "id": "t-1", "name": "mail:welcome"},
            {"queue": "low", "id": "t-2", "name": "sms:send"},
        ],
        "loop_lag_seconds": 0.25,
        "paused": False,
        "stopping": False,
    }
    assert (hung["state"], hung["last_claim"], hung["tasks"]) == ("blocked", None, [])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--queue", "critical"], ["web-1:7"]),
        (["--queue", "default"], ["web-2:8"]),
        (["--name", "sms:send"], ["web-1:7", "web-2:8"]),
        (["--name", "mail:welcome"], ["web-1:7"]),
    ],
)
def test_workers_are_found_by_what_they_serve_and_know(
    options: Sequence[str], found: list[str]
) -> None:
    """Whoever wonders why a task does not run asks for those that could run it."""
    announce(*busy_and_hung())
    lines = invoke(*options).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--queue", "nobody's"], 'Error: no worker serves the queue "nobody\'s"\n'),
        (["--name", "fax:send"], "Error: no worker knows tasks of the name 'fax:send'\n"),
        (
            ["--queue", "default", "--name", "mail:x"],
            "Error: no worker serves the queue 'default' and knows tasks of the name 'mail:x'\n",
        ),
    ],
)
def test_that_there_is_no_such_worker_is_an_exit_status(options: list[str], said: str) -> None:
    """Of its own, so that a script can tell it from a store that does not answer."""
    announce(*busy_and_hung())
    result = invoke(*options)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "", said)
    assert json.loads(invoke(*options, "--json").stdout) == {"version": 1, "workers": []}


def test_that_there_is_no_worker_at_all_is_an_exit_status_too() -> None:
    """A fleet that is gone is no success."""
    announce(a_worker(expires=SystemClock().now()))
    result = invoke()
    assert (result.exit_code, result.stderr) == (3, "Error: no worker is there\n")


def test_to_look_makes_no_file(home: Path) -> None:
    """A misspelt path is told, and is not there afterwards either."""
    result = invoke("--url", "sqlite:///quee.db")
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: sqlite:///quee.db: there is no such file")
    assert list(home.iterdir()) == []


def test_a_store_that_does_not_answer_is_an_exit_status_of_its_own() -> None:
    """One line, without a password."""
    result = invoke("--url", f"redis://:s3cr3t@127.0.0.1:{free_port()}?timeout=0.2")
    assert result.exit_code == 4
    assert "s3cr3t" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_url_that_is_wrong_is_the_callers_mistake() -> None:
    """As it is with every command."""
    assert invoke("--url", "sqlight:///queue.db").exit_code == 2


def test_what_a_worker_says_cannot_command_a_terminal() -> None:
    """A name by which somebody wants to clear the screen, or to add a cell, is shown as it is."""
    announce(long_lived(name="\x1b[2Jweb\tadmin\n\udc80".encode(errors="replace").decode()))
    [line] = invoke().stdout.splitlines()
    assert line.split("\t")[0] == "\\x1b[2Jweb\\tadmin\\n?"


def test_a_running_worker_is_listed_by_the_command() -> None:
    """What `qcore worker` announces, `qcore workers` finds; seen by a real store."""
    q = Qcore(instruments=[])

    async def look() -> Result:
        async with q, q.running(queues=["a", "b"], strict=True, name="here"):
            # in a thread: the command has an event loop of its own
            return await asyncio.to_thread(invoke, "--queue", "b")

    result = asyncio.run(look())
    assert result.exit_code == 0
    assert result.stdout.split("\t")[0] == "here"
    assert result.stdout.rstrip("\n").split("\t")[-1] == "a,b"
