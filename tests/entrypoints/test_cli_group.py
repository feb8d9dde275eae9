import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from qcore.entrypoints.cli.group import COMMANDS, qcore

HEAVY = {"structlog", "msgspec", "redis", "asyncio", "attrs", "qcore.domain", "qcore.adapters"}


def test_the_help_imports_no_command() -> None:
    """It is there at once: what commands work with is imported by the one that is run."""
    code = (
        "import sys\nfrom qcore.entrypoints.cli import main\nsys.argv = ['qcore', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert all(name in done.stdout for name in COMMANDS)
    assert HEAVY & set(done.stderr.split()) == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_imported(name: str) -> None:
    """The table of the group names what is there, and its first line is short enough to be read."""
    command = qcore.get_command(click.Context(qcore), name)
    assert command is not None
    assert command.name == name
    assert len(COMMANDS[name]) <= 60


def test_a_command_that_is_not_there_is_named() -> None:
    """The exit status is that of a wrong argument."""
    result = CliRunner().invoke(qcore, ["wrok"])
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "No such command 'wrok'" in line


@pytest.mark.parametrize("arguments", [["--quick"], ["bench", "--quick"], ["doctor", "--quick"]])
def test_an_option_that_is_not_there_is_one_line(arguments: list[str]) -> None:
    """Whichever command it was given to."""
    result = CliRunner().invoke(qcore, arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "No such option" in line
    assert line.endswith(" --help)")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["workers", "--quick"], 2),
        (["stats", "--url", "sqlite:///not-there.db"], 3),
        (["tasks", "list", "--url", "redis://127.0.0.1:1?timeout=0.2"], 4),
        (["doctor", "--url", "sqlight://"], 2),
    ],
)
def test_an_error_is_a_document_where_one_was_asked_for(arguments: list[str], status: int) -> None:
    """Of whichever command; the line on standard error is there, too."""
    result = CliRunner().invoke(qcore, [*arguments, "--json"])
    assert result.exit_code == status
    document = json.loads(result.stdout)
    assert document["version"] == 1
    assert document["error"]["status"] == status
    assert result.stderr == f"Error: {document['error']['message']}\n"


@pytest.mark.parametrize("noun", ["groups", "limits", "periodic", "queues", "tasks"])
def test_the_verbs_of_a_noun_can_be_completed(noun: str) -> None:
    """Though it lists without one."""
    environment = {"_QCORE_LINE": f"qcore {noun} ", "_QCORE_COMPLETE": "bash_complete"}
    result = CliRunner(env=environment).invoke(qcore, prog_name="qcore")
    assert "list" in result.stdout.splitlines()


def test_without_a_command_there_is_help() -> None:
    """All commands are in it."""
    result = CliRunner().invoke(qcore, [])
    assert all(name in result.output for name in COMMANDS)
