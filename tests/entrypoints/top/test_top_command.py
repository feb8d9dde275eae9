"""The command `qcore top` where nobody reads along, and what it needs where somebody does."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from qcore import Qcore
from qcore.entrypoints.top import command
from qcore.entrypoints.top.held_logs import held_logs
from qcore.entrypoints.top.keys import KEYS
from qcore.testing.builders import a_task
from tests.entrypoints.cli_kit import (
    a_store_in,
    cells_of,
    document_of,
    invoke,
    sit_at_a_terminal,
)
from tests.log.kit import unconfigured_logs

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "watch-from-the-terminal.md"


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has a task which waits and one that is dead."""
    with a_store_in(tmp_path, monkeypatch) as made:
        made.blocking.enqueue(a_task(id="m0", queue="mail"))
        made.blocking.enqueue(a_task(id="s0", queue="sms"))
        made.blocking_inspector.cancel("mail", ["m0"])
        yield made


def test_in_a_pipe_it_prints_how_all_stands_once() -> None:
    """Lines of cells, the first of which says what a line is about."""
    mail, sms, error = cells_of("top")
    assert mail[:3] == ["queue", "mail", "0"]
    assert sms[:4] == ["queue", "sms", "0", "1"]
    assert error[:2] == ["error", "1"]
    assert "cancelled" in error


def test_json_is_one_document() -> None:
    """With what the commands of queues, workers and errors have."""
    document = document_of("top")
    assert [each["name"] for each in document["queues"]] == ["mail", "sms"]
    assert document["workers"] == []
    assert [each["message"] for each in document["errors"]] == ["cancelled"]
    assert document["at"].endswith("Z")


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb")])
def test_a_terminal_that_cannot_be_drawn_on_is_as_a_pipe(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the shell of an editor."""
    sit_at_a_terminal(monkeypatch)
    monkeypatch.setenv(name, value)
    assert invoke("top").stdout.startswith("queue")


def test_without_textual_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line; in a pipe it is not needed."""
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert invoke("top").exit_code == 0
    sit_at_a_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    result = invoke("top")
    assert result.exit_code == 1
    assert result.stderr == ("Error: qcore top needs textual: pip install 'qcore-queue[top]'\n")


def test_textual_is_imported_by_nothing_else(tmp_path: Path) -> None:
    """Neither by the help of the command, nor by a snapshot: both are quick."""
    import subprocess

    code = (
        "import sys\nfrom qcore.entrypoints.cli import main\n"
        "sys.argv = ['qcore', 'top', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nassert 'textual' not in sys.modules"
    )
    for more in ([], ["--help"]):
        subprocess.run([sys.executable, "-c", code, *more], check=True, timeout=60)


def test_logs_are_kept_until_the_view_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """So none is written over the screen, and none is lost."""
    with unconfigured_logs():
        with held_logs():
            structlog.get_logger("qcore").warning("a link was lost", host="queue.example")
            structlog.get_logger("qcore").info("of no interest")
            logging.getLogger("asyncio").error("%s went wrong", "something")
            assert capsys.readouterr().err == ""
        told = capsys.readouterr().err.splitlines()
        assert not structlog.is_configured()
    assert len(told) == 2
    assert "a link was lost" in told[0]
    assert told[1] == "something went wrong"


def test_the_page_lists_every_key() -> None:
    """With what it does, in the order of the help."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index("| key | does |") :].splitlines()[2:]
    rows = [line.strip("| ").split(" | ", 1) for line in lines[: len(KEYS)]]
    assert rows == [[f"`{each.shown}`", each.does] for each in KEYS]
    assert not lines[len(KEYS)].startswith("|")
