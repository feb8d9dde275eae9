"""Ctrl-C in a real terminal ends whatever a command waits for."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import Qcore
from qcore.testing.builders import a_task
from tests.entrypoints.terminal import Terminal, command_in, terminal

pytestmark = pytest.mark.system
CTRL_C = "\x03"
CTRL_D = "\x04"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a store with a task that waits for an hour."""
    address = f"sqlite:///{tmp_path / 'queue.db'}"
    made = Qcore(address, instruments=[])
    made.blocking.enqueue(a_task(id="later", due=time.time() + 3600))
    yield address
    made.blocking.close()


def interrupted(tmp_path: Path, shown: str, *command: str, keys: str = CTRL_C) -> tuple[int, str]:
    """Press keys once a text is shown; return the exit status, and what was drawn after them."""
    qcore = str(command_in(tmp_path / "bin") / "qcore")
    with terminal(qcore, *command, folder=tmp_path) as screen:
        assert screen.wait_for(shown), screen.shown
        screen.type(keys)
        assert ended(screen), screen.shown
        return screen.end(), screen.shown


def ended(screen: Terminal) -> bool:
    """Return whether a program ends, well before the terminal is given up."""
    return not screen.wait_for("what nothing draws", seconds=20.0) and not screen.read(0.0)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["drawn", "json"])
def test_ctrl_c_ends_a_watch(tmp_path: Path, url: str, options: list[str]) -> None:
    """The exit status is that of shells for SIGINT, as a task that has not ended is no failure."""
    command = ["task", "watch", "later", "--url", url, *options]
    status, drawn = interrupted(tmp_path, "scheduled", *command)
    assert (status, drawn.splitlines()[-1]) == (130, "Error: interrupted")


@pytest.mark.parametrize("keys", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
def test_a_question_takes_ctrl_c_for_no(tmp_path: Path, url: str, keys: str) -> None:
    """It is asked on an event loop, whose own handler of SIGINT would not end it."""
    command = ["tasks", "delete", "state:scheduled", "--url", url]
    status, drawn = interrupted(tmp_path, "[y/N]", *command, keys=keys)
    assert (status, drawn.splitlines()[-1]) == (1, "Error: nothing was done")
