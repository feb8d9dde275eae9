from collections.abc import Iterator
from pathlib import Path

import pytest
from click import unstyle

from qcore import NewTask, Qcore
from tests.entrypoints.cli_kit import (
    cells_of,
    document_of,
    invoke,
    sit_at_a_terminal,
    working_in,
)


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has an entry."""
    with working_in(tmp_path, monkeypatch):
        made = Qcore(instruments=[])
        made.blocking_entries.put(
            "0 9 * * *", NewTask("report", id="daily"), name="daily", tz="UTC"
        )
        yield made
        made.blocking.close()


def test_entries_are_lines_of_cells_in_a_pipe() -> None:
    """With the schedule as it is written, and the next tick."""
    [row] = cells_of("periodic")
    assert row[:3] == ["default", "daily", "active"]
    assert row[4].endswith("T09:00:00.000Z")
    assert row[5] == "0"


def test_entries_are_a_table_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the schedule in words."""
    sit_at_a_terminal(monkeypatch)
    titles, row = map(unstyle, invoke("periodic", "list").stdout.splitlines())
    assert titles.split() == ["QUEUE", "NAME", "STATUS", "SCHEDULE", "NEXT", "RUNS"]
    assert "at 09:00, every day" in row


def test_no_entry_is_an_empty_list() -> None:
    """It is no error."""
    assert document_of("periodic", "list", "other") == {"entries": []}


def test_entries_are_paused_and_resumed() -> None:
    """The answer is what they do then."""
    assert cells_of("periodic", "pause", "daily") == [["default", "daily", "paused"]]
    assert cells_of("periodic")[0][4] == "-"
    assert cells_of("periodic", "resume", "daily") == [["default", "daily", "active"]]


def test_of_a_task_that_is_gone_the_history_says_so(q: Qcore) -> None:
    """As of one that has succeeded, and was not to be kept."""
    [told] = document_of("periodic", "run", "daily")["entries"]
    q.blocking_inspector.delete("default", [told["answer"]])
    assert "+run, no longer stored" in dict(cells_of("periodic", "show", "daily"))["tick"]
    [entry] = document_of("periodic", "show", "daily")["entries"]
    assert entry["history"][0]["state"] is None


def test_an_entry_is_run_by_hand(q: Qcore) -> None:
    """The answer is the id of the task; the entry's history has it."""
    [told] = document_of("periodic", "run", "daily")["entries"]
    assert q.blocking_inspector.get("default", told["answer"]) is not None
    [entry] = document_of("periodic", "show", "daily")["entries"]
    [tick] = entry["history"]
    assert (tick["task"], tick["state"]) == (told["answer"], "pending")
    assert told["answer"] in dict(cells_of("periodic", "show", "daily"))["tick"]


def test_entries_are_removed() -> None:
    """One that is not there is an exit status; the others are removed all the same."""
    result = invoke("periodic", "remove", "dayly", "daily")
    assert (result.exit_code, result.stdout) == (3, "default\tdaily\tremoved\n")
    assert "dayly" in result.stderr
    assert document_of("periodic")["entries"] == []


@pytest.mark.parametrize("verb", ["show", "run", "pause", "resume", "remove"])
def test_an_entry_that_is_not_there_is_an_exit_status(verb: str) -> None:
    """In another queue it is another one."""
    assert invoke("periodic", verb, "daily", "--queue", "other").exit_code == 3
