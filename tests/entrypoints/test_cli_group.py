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
    assert "No such command 'wrok'" in result.stderr
