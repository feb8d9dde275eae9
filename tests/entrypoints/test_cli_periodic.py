from collections.abc import Iterator
from pathlib import Path

import pytest
from click import unstyle

from qcore import NewTask, Qcore
from tests.entrypoints.cli_kit import (
    a_store_in,
    answer,
    cells_of,
    document_of,
    invoke,
    sit_at_a_terminal,
)


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has an entry."""
    with a_store_in(tmp_path, monkeypatch) as made:
        made.blocking_entries.put(
            "0 9 * * *", NewTask("report", id="daily"), name="daily", tz="UTC"
        )
        yield made


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
    result = invoke("periodic", "remove", "dayly", "daily", "--yes")
    assert (result.exit_code, result.stdout) == (3, "default\tdaily\tremoved\n")
    assert "dayly" in result.stderr
    assert document_of("periodic")["entries"] == []


@pytest.mark.parametrize(("said", "left"), [("y", []), ("n", ["daily"])])
def test_who_removes_entries_is_asked(
    monkeypatch: pytest.MonkeyPatch, said: str, left: list[str]
) -> None:
    """Those that would go are shown before."""
    with monkeypatch.context() as context:
        sit_at_a_terminal(context)
        result = answer("periodic", "remove", "daily", said=said)
    assert "at 09:00, every day" in result.stdout
    assert "remove 1 periodic task?" in result.stderr
    assert result.exit_code == bool(left)
    assert [row[1] for row in cells_of("periodic") if row[0]] == left


@pytest.mark.parametrize("options", [[], ["--json"], ["--dry-run", "--yes"]])
def test_entries_are_not_removed_unasked(options: list[str]) -> None:
    """Where nobody can be asked, as everywhere else."""
    result = invoke("periodic", "remove", "daily", *options)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert [row[1] for row in cells_of("periodic")] == ["daily"]


def test_a_dry_run_shows_which_entries_would_be_removed() -> None:
    """And removes none; one that is not there is the same exit status."""
    dry = document_of("periodic", "remove", "daily", "--dry-run")
    assert (dry["verb"], dry["dry_run"]) == ("remove", True)
    assert [each["name"] for each in dry["entries"]] == ["daily"]
    assert cells_of("periodic", "remove", "daily", "--dry-run") == cells_of("periodic")
    assert invoke("periodic", "remove", "dayly", "--dry-run").exit_code == 3


@pytest.mark.parametrize("verb", ["run", "pause", "resume", "remove --yes"])
def test_who_changes_an_entry_and_why_is_a_line_for_a_log(verb: str) -> None:
    """On standard error, so that the answer is as it was."""
    said = invoke("periodic", *verb.split(), "daily", "--by", "ann", "--reason", "a\nbug").stderr
    [line] = said.splitlines()
    action = verb.split(maxsplit=1)[0]
    told = f"{action} entry: 'daily' of queue 'default', by ann: a\\nbug"
    assert line.split(" ", 1)[1] == told


@pytest.mark.parametrize(
    "verb", [["show"], ["run"], ["pause"], ["resume"], ["remove", "--yes"], ["remove", "--dry-run"]]
)
def test_an_entry_that_is_not_there_is_an_exit_status(verb: list[str]) -> None:
    """In another queue it is another one."""
    assert invoke("periodic", *verb, "daily", "--queue", "other").exit_code == 3
