"""`qcore top` as a user has it: the real command in a terminal, on a file, with keys typed."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import Qcore
from qcore.testing.builders import a_task
from tests.entrypoints.top.terminal import Terminal

pytestmark = pytest.mark.system

MOUSE = re.compile(rb"\x1b\[\?(1000|1002|1003|1006|1015)h")
COLOUR = re.compile(rb"\x1b\[[\d;]*m")


@pytest.fixture
def q(tmp_path: Path) -> Iterator[Qcore]:
    """Make a store with two queues."""
    made = Qcore(f"sqlite:///{tmp_path}/qcore.db", instruments=[])
    for n in range(3):
        made.blocking.enqueue(a_task(id=f"m{n}", name="email:welcome", queue="mail"))
    made.blocking.enqueue(a_task(id="s0", name="sms:send", queue="sms"))
    yield made
    made.blocking.close()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_it_is_used_by_keys_in_a_terminal(
    q: Qcore, tmp_path: Path, width: int, height: int
) -> None:
    """Queues, tasks, a filter, an order that is asked about; what others enqueue is seen."""
    with Terminal(["top", "--allow-changes"], tmp_path, width, height) as terminal:
        terminal.wait_for("4 pending")
        terminal.wait_for("▸ mail")
        q.blocking.enqueue(a_task(queue="sms"))
        terminal.wait_for("5 pending")
        terminal.type("\r")
        terminal.wait_for("▸ m0")
        terminal.type("xxc")
        terminal.wait_for("cancel 2 tasks: m0, m1?")
        terminal.type("y")
        terminal.wait_for("cancel: 2 tasks done")
        terminal.type("2/state:dead id:m1\r")
        terminal.wait_for("▸ m1")
        assert "m0" not in terminal.text
        terminal.type("\x1b[B\x1b[A\r")
        terminal.wait_for("dead in mail")
        terminal.wait_for("at most 25")
        terminal.type("Y")
        terminal.wait_for("copied: qcore task show m1 --queue mail")
        assert b"\x1b]52;c;" in terminal.raw
        terminal.type("q")
        assert terminal.wait_for_end() == 0
        assert MOUSE.search(terminal.raw) is None
        assert b"\x1b[?1049l" in terminal.raw


def test_it_leaves_the_terminal_as_it_was_when_it_is_ended(q: Qcore, tmp_path: Path) -> None:
    """By SIGTERM, as by a shell that is closed: the screen is given back, and typing is seen."""
    with Terminal(["top"], tmp_path, 80, 24) as terminal:
        terminal.wait_for("4 pending")
        assert terminal.settings != terminal.before
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.wait_for_end()
        assert terminal.settings == terminal.before
        assert b"\x1b[?1049l" in terminal.raw
        assert b"Traceback" not in terminal.raw


def test_without_colours_it_can_be_read(q: Qcore, tmp_path: Path) -> None:
    """With NO_COLOR no colour is sent; the current row is told by a mark."""
    with Terminal(["top"], tmp_path, 80, 24, NO_COLOR="1") as terminal:
        terminal.wait_for("▸ mail")
        terminal.type("q")
        terminal.wait_for_end()
    sent = {code for found in COLOUR.findall(terminal.raw) for code in found[2:-1].split(b";")}
    assert not sent & {b"%d" % n for n in [*range(30, 39), *range(40, 49), *range(90, 108)]}


def test_it_asks_for_no_more_than_sixteen_colours(q: Qcore, tmp_path: Path) -> None:
    """Those that the terminal has chosen, on its own background, whether that is dark or light."""
    with Terminal(["top"], tmp_path, 80, 24) as terminal:
        terminal.wait_for("▸ mail")
        terminal.type("q")
        terminal.wait_for_end()
    sent = [code for found in COLOUR.findall(terminal.raw) for code in found[2:-1].split(b";")]
    assert b"34" in sent
    assert not {b"38", b"48"} & {*sent}


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Before the screen is taken."""
    with Terminal(["top"], tmp_path, 80, 24) as terminal:
        assert terminal.wait_for_end() == 3
        assert "there is no such file" in terminal.text
        assert b"\x1b[?1049h" not in terminal.raw
