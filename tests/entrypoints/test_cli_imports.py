import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entrypoints.cli_kit import invoke, lines_of, working_in, write

QUEUE = "from qcore import Qcore\nq = Qcore('sqlite:///tasks.db')\n"
BY_QUEUE = """
from qcore import Context
from app.queue import q

@q.task("{name}", queue="{name}")
async def run(ctx: Context) -> None: ...
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with an application whose tasks are in modules beside the queue."""
    write(tmp_path, "app.queue", QUEUE)
    for module in ("mail", "jobs.daily", "jobs.hourly", "shop.tasks", "shop.models", "blog.tasks"):
        name = module.replace(".", "-")
        write(tmp_path, f"app.{module}", BY_QUEUE.format(name=name))
    (tmp_path / "app" / "__main__.py").write_text("raise SystemExit('a script')")
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


def queues_of(*imports: str) -> set[str]:
    """Return the queues that a worker serves when it imports modules: one for each task."""
    options = [part for each in imports for part in ("--import", each)]
    result = invoke("worker", "app.queue:q", "--burst", *options)
    assert result.exit_code == 0, result.stderr
    [started] = [line for line in lines_of(result) if line["event"] == "worker started"]
    served = started["queues"]
    assert isinstance(served, list)
    return set(served) - {"default"}


@pytest.mark.parametrize(
    ("imports", "tasks"),
    [
        ([], set()),
        (["app.mail"], {"mail"}),
        (["app.mail", "app.jobs.daily"], {"mail", "jobs-daily"}),
        (["app.jobs.*"], {"jobs-daily", "jobs-hourly"}),
        (["app.jobs.d*"], {"jobs-daily"}),
        (["app.*.tasks"], {"shop-tasks", "blog-tasks"}),
        (["app.shop.[mt]*"], {"shop-tasks", "shop-models"}),
        (["app.*"], {"mail"}),
        (["app.mail", "app.mail", "app.m*"], {"mail"}),
    ],
    ids=str,
)
def test_modules_beside_the_queue_are_imported(imports: list[str], tasks: set[str]) -> None:
    """By name or by pattern, of which `*` is any text between two dots; each once."""
    assert queues_of(*imports) == tasks


def test_a_package_without_a_file_of_its_own_has_modules_too(home: Path) -> None:
    """As Python has it: `__init__.py` may be left out."""
    for name in ("jobs", "shop"):
        (home / "app" / name / "__init__.py").unlink()
    assert queues_of("app.jobs.d*", "app.s*.tasks") == {"jobs-daily", "shop-tasks"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("app.mial", "there is no module 'app.mial' in "),
        ("nowhere.*", "there is no module 'nowhere' in "),
        ("app.jbos.*", "'app.jbos.*' matches no module: there is no 'jbos' in app"),
        ("app.jobs.x*", "'app.jobs.x*' matches no module: there is no 'x*' in app.jobs"),
        ("app.*.nothing", "'app.*.nothing' matches no module: there is no 'nothing' in app.*"),
        ("app.mail.*", "'app.mail.*' matches no module: there is no '*' in app.mail"),
        ("*", "'*' begins with a pattern: expected a package first"),
        ("app/mail.py", "'app/mail.py' names a file: expected a module, such as myapp.mail"),
        ("app..mail", "'app..mail' names no module: expected a module"),
        ("", "'' names no module"),
    ],
)
def test_what_is_not_found_is_one_line(given: str, said: str) -> None:
    """It names what was asked for, and where it was."""
    result = invoke("worker", "app.queue:q", "--burst", "--import", given)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line
    assert line.endswith("(--import)")


def test_a_name_that_is_declared_twice_is_one_line(home: Path) -> None:
    """It says which, and where the first is from."""
    write(home, "app.again", BY_QUEUE.format(name="mail"))
    result = invoke("worker", "app.queue:q", "--import", "app.mail", "--import", "app.again")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "cannot import app.again: 'mail' has a handler already, <function run" in line


def test_the_source_of_a_wrong_name_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for a flag that was not given."""
    monkeypatch.setenv("QCORE_IMPORT", "app.mial")
    assert invoke("worker", "app.queue:q").stderr.endswith("(QCORE_IMPORT)\n")
    monkeypatch.delenv("QCORE_IMPORT")
    (home / "pyproject.toml").write_text("[tool.qcore]\nimport = ['app.mial']")
    assert invoke("worker", "app.queue:q").stderr.endswith("([tool.qcore] of pyproject.toml)\n")


def test_a_module_that_breaks_is_shown_with_its_traceback(home: Path) -> None:
    """As the application's own module."""
    write(home, "app.broken", "1 / 0\n")
    result = invoke("worker", "app.queue:q", "--import", "app.b*")
    assert result.exit_code == 2
    assert "    1 / 0\n" in result.stderr
    assert result.stderr.splitlines()[-1] == (
        "Error: cannot import app.broken: ZeroDivisionError: division by zero (--import)"
    )


WITHOUT_EXTRAS = """
import sys
from click.testing import CliRunner

for name in {extras}:
    sys.modules[name] = None
from qcore.entrypoints.cli.group import COMMANDS, qcore

for command in COMMANDS:
    result = CliRunner().invoke(qcore, [command, "--help"])
    assert result.exit_code == 0, (command, result.exception)
"""


def test_every_command_has_its_help_where_the_extra_cli_alone_is_installed() -> None:
    """What a command needs beside that is imported when it is run, which says what is missing."""
    extras = ["jinja2", "prometheus_client", "rich", "starlette", "textual", "uvicorn"]
    extras += ["cryptography", "pydantic", "uvloop", "watchfiles"]
    code = WITHOUT_EXTRAS.format(extras=extras)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
