"""`qcore dashboard`: what it refuses before it serves anything."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entrypoints.cli_kit import invoke, working_in

# the package has the command under the module's name
dashboard = importlib.import_module("qcore.entrypoints.cli.dashboard")


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with working_in(tmp_path, monkeypatch):
        yield


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "ops.example.com"])  # noqa: S104
def test_beyond_this_machine_it_needs_a_login_or_an_explicit_flag(host: str) -> None:
    """Nothing listens, and the line says what to do."""
    result = invoke("dashboard", "--url", "memory://", "--host", host)
    assert result.exit_code == 2
    assert "--token-file" in result.stderr
    assert "--no-login" in result.stderr


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    """Its line says what is expected, and not what it is."""
    file = tmp_path / "token"
    file.write_text("hunter2\n")
    result = invoke("dashboard", "--url", "memory://", "--token-file", str(file))
    assert result.exit_code == 2
    assert "16 to 1,000 characters" in result.stderr
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    "option",
    [
        ("--zone", "Mars"),
        ("--public-origin", "ops.example.com"),
        ("--environment", "x" * 99),
        ("--port", "99999"),
        ("--mask", ""),
        ("--colour", "pink"),
    ],
    ids=lambda option: option[0],
)
def test_an_option_that_makes_no_sense_is_one_line(option: tuple[str, str]) -> None:
    """It names the value, and what was expected."""
    result = invoke("dashboard", "--url", "memory://", *option)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line; the help needs none of it."""
    monkeypatch.setattr(dashboard, "NEEDED", ("starlette", "no_such_package"))
    result = invoke("dashboard", "--url", "memory://")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: qcore dashboard needs no_such_package: pip install 'qcore-queue[dashboard]'\n"
    )


def test_its_help_imports_nothing_of_it() -> None:
    """Who asks for it may not have installed that, and need not wait for it."""
    code = (
        "import sys, qcore.entrypoints.cli.dashboard; "
        "print([n for n in ('starlette', 'jinja2', 'uvicorn') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
