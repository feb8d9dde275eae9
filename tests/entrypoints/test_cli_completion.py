import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from qcore import Context, Qcore
from qcore.entrypoints.cli import completion_values
from qcore.entrypoints.cli.group import COMMANDS, qcore
from qcore.testing import a_task, drain
from tests.entrypoints.cli_kit import invoke, working_in

BREAKS = " \t\n\"'><=;|&(:"
"""What ends a word for bash."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder whose store has tasks in two queues, and a periodic one."""
    monkeypatch.setattr(completion_values, "LEAST", 60.0)
    with working_in(tmp_path, monkeypatch):
        q = Qcore(instruments=[])

        @q.task("email:welcome", retention=3600)
        def welcome(ctx: Context) -> None: ...

        q.blocking.enqueue(welcome.using(task_id="one").call())
        asyncio.run(drained(q))
        q.blocking.enqueue(a_task(id="two", queue="low"))
        q.blocking.enqueue(a_task(id="odd;rm", queue="low"))
        q.blocking_entries.put("@hourly", welcome.call(), name="report:daily")
        q.blocking.close()
        yield tmp_path


async def drained(q: Qcore) -> None:
    """Run what is there."""
    async with q:
        await drain(q, jump=False)


def completed(line: str, *, breaks: str = "") -> list[str]:
    """Return what is offered for the end of a line; `breaks` are what the shell ends words at."""
    asked = {"_QCORE_COMPLETE": "bash_complete", "_QCORE_LINE": line, "_QCORE_BREAKS": breaks}
    result = CliRunner(env=asked).invoke(qcore, prog_name="qcore")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qcore ", sorted(COMMANDS)),
        ("qcore wor", ["worker", "workers"]),
        ("A=1 qcore work", ["worker", "workers"]),
        ("qcore tasks re", ["reschedule"]),
        ("qcore tasks --cur", ["--cursor"]),
        ("qcore tasks --limit 5 --cur", ["--cursor"]),
        ("qcore queues limit x --in", ["--in-flight"]),
        ("qcore completion z", ["zsh"]),
        ("qcore nonsense ", sorted(COMMANDS)),
    ],
)
def test_commands_verbs_and_options_are_completed(line: str, offered: list[str]) -> None:
    """Also where `list` is left out."""
    assert completed(line) == offered


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qcore queues pause ", ["default", "low"]),
        ("qcore stats d", ["default"]),
        ("qcore task show --queue l", ["low"]),
        ("qcore task show --queue=l", ["low"]),
        ("qcore task show ", ["one", "two"]),
        ("qcore task show --queue low t", ["two"]),
        ("qcore enqueue email:", ["email:welcome"]),
        ("qcore workers --name em", ["email:welcome"]),
        ("qcore periodic run rep", ["report:daily"]),
    ],
)
def test_names_that_the_store_knows_are_completed(line: str, offered: list[str]) -> None:
    """But for those that a shell would take for something else."""
    assert completed(line) == offered


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qcore tasks list na", ["name:"]),
        ("qcore tasks list a", ["args.", "attempts:"]),
        ("qcore tasks list state:de", ["state:dead"]),
        ("qcore tasks list state:dead,re", ["state:dead,retry"]),
        ("qcore tasks run state:dead queue:l", ["queue:low"]),
        ("qcore tasks list -- -stat", ["-state:"]),
        ("qcore errors name:e", ["name:email:welcome"]),
        ("qcore tasks list id:o", ["id:one"]),
        ("qcore tasks list error:x", []),
        ("qcore tasks list nothing:x", []),
    ],
)
def test_terms_of_a_query_are_completed(line: str, offered: list[str]) -> None:
    """Qualifiers, states, and names that the store knows."""
    assert completed(line) == offered


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("qcore tasks list state:de", ["dead"]),
        ("qcore tasks list 'queue:low st", ["state:"]),
        ("qcore tasks list na", ["name:"]),
        ("qcore enqueue email:w", ["welcome"]),
        ("qcore task show --queue=l", ["low"]),
    ],
)
def test_bash_is_given_what_comes_after_its_last_break(line: str, offered: list[str]) -> None:
    """A colon ends a word there, and what is offered takes the place of the last word alone."""
    assert completed(line, breaks=BREAKS) == offered


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "sqlight://", "sqlite:///not-there.db", "sqlite:///no/folder.db"]
)
def test_a_store_that_cannot_be_asked_completes_nothing(home: Path, url: str) -> None:
    """And says nothing: somebody is typing."""
    assert completed(f"qcore queues pause --url {url} ") == []
    assert {each.suffix for each in home.glob("*")} <= {".db", ".db-wal", ".db-shm"}
    assert {each.stem for each in home.glob("*")} == {"qcore"}


def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    """Here one that takes a connection, and its own hour to give up."""
    code = (
        "import os, socket, sys\n"
        "silent = socket.create_server(('127.0.0.1', 0))\n"
        "url = f'redis://127.0.0.1:{silent.getsockname()[1]}?timeout=3600'\n"
        "os.environ['_QCORE_COMPLETE'] = 'bash_complete'\n"
        "os.environ['_QCORE_LINE'] = f'qcore queues pause --url {url} '\n"
        "from qcore.entrypoints.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"\n", b"")


def test_nothing_is_said_of_a_project_file_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself says it, once it is run."""
    (tmp_path / "pyproject.toml").write_text("[tool.qcore]\nnonsense = 1\n")
    monkeypatch.setenv("_QCORE_COMPLETE", "bash_complete")
    monkeypatch.setenv("_QCORE_LINE", "qcore worker --con")
    done = subprocess.run(
        [sys.executable, "-m", "qcore"], capture_output=True, cwd=tmp_path, check=False, timeout=60
    )
    assert done.stderr == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_is_printed(shell: str) -> None:
    """It asks the command with what click looks for."""
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert f"_QCORE_COMPLETE={shell}_complete" in result.stdout


def test_a_shell_that_is_not_known_is_named() -> None:
    """With those that are."""
    result = invoke("completion", "csh")
    assert result.exit_code == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
