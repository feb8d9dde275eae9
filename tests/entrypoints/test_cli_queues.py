from collections.abc import Iterator
from pathlib import Path

import pytest
from click import unstyle

from qcore import Qcore, State
from qcore.entrypoints.cli.queue_output import bar
from qcore.testing.builders import a_task
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
    """Work in a folder with a store that has two queues."""
    with a_store_in(tmp_path, monkeypatch) as made:
        for queue, number in (("mail", 3), ("sms", 1)):
            for n in range(number):
                made.blocking.enqueue(a_task(id=f"t{n}", queue=queue))
        made.blocking_inspector.cancel("mail", ["t0"])
        yield made


def test_queues_are_lines_of_cells_in_a_pipe() -> None:
    """A number for each state, zeros too; `list` may be left out."""
    mail, sms = cells_of("queues")
    assert mail[:9] == ["mail", "0", "2", "0", "0", "0", "0", "0", "1"]
    assert float(mail[9]) >= 0
    assert mail[10] == "-"
    assert sms[0] == "sms"


def test_queues_are_a_picture_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar in which each state has its share, and the numbers beside it."""
    sit_at_a_terminal(monkeypatch)
    titles, mail, _ = map(unstyle, invoke("queues").stdout.splitlines())
    assert titles.startswith("QUEUE  BY STATE")
    assert "█" * 16 in mail
    assert "2 pending, 1 dead" in mail


@pytest.mark.parametrize(
    "sizes",
    [
        {State.PENDING: 1_000_000, State.DEAD: 1},
        {State.PENDING: 1, State.DEAD: 1, State.RETRY: 1},
        dict.fromkeys((each for each in State if each is not State.GONE), 7),
        {State.PENDING: 0},
    ],
)
def test_a_bar_is_as_wide_as_all_others(sizes: dict[State, int]) -> None:
    """And none that has tasks is left out of it."""
    drawn = bar(sizes)
    assert len(unstyle(drawn)) == 16
    assert drawn.count("\x1b[0m") == max(1, sum(1 for each in sizes.values() if each))


def test_json_has_all_of_a_queue() -> None:
    """Page by page, with a cursor."""
    document = document_of("queues", "list", "--limit", "1")
    [queue] = document["queues"]
    assert document["cursor"] == "mail"
    assert queue["tasks"] == {
        "scheduled": 0,
        "pending": 2,
        "aggregating": 0,
        "active": 0,
        "retry": 0,
        "completed": 0,
        "archived": 0,
        "dead": 1,
    }
    assert queue["limits"] == {"paused": False, "rate": None, "in_flight": None}


def test_no_queue_is_an_empty_list(q: Qcore) -> None:
    """It is no error."""
    q.blocking_inspector.remove_queue("mail", force=True)
    q.blocking_inspector.remove_queue("sms", force=True)
    assert document_of("queues") == {"queues": [], "cursor": None}


def test_queues_are_paused_and_resumed(q: Qcore) -> None:
    """Several in a call."""
    assert cells_of("queues", "pause", "mail", "sms") == [["mail", "paused"], ["sms", "paused"]]
    assert q.blocking_inspector.limits("mail").is_paused
    assert cells_of("queues", "resume", "mail") == [["mail", "-"]]
    assert not q.blocking_inspector.limits("mail").is_paused


def test_queues_are_limited() -> None:
    """A limit that is not named stays as it is."""
    cells_of("queues", "limit", "mail", "--rate", "100/min", "--in-flight", "5")
    [changed] = document_of("queues", "limit", "mail", "--in-flight", "none")["queues"]
    assert changed["limits"] == {
        "paused": False,
        "rate": {"count": 100, "per_seconds": 60.0},
        "in_flight": None,
    }


@pytest.mark.parametrize(
    "options", [[], ["--rate", "fast"], ["--in-flight", "-1"], ["--in-flight", "0"]]
)
def test_a_limit_that_makes_no_sense_changes_nothing(q: Qcore, options: list[str]) -> None:
    """It is the caller's mistake."""
    assert invoke("queues", "limit", "mail", *options).exit_code == 2
    assert q.blocking_inspector.limits("mail").in_flight is None


def test_a_queue_with_tasks_is_not_removed() -> None:
    """Unless that is forced; and where nobody is asked, only with --yes."""
    refused = invoke("queues", "remove", "mail", "--yes")
    assert refused.exit_code == 1
    assert "with 3 tasks and 0 periodic ones; --force deletes them" in refused.stderr
    assert invoke("queues", "remove", "mail", "--force").exit_code == 2
    assert document_of("queues", "remove", "mail", "--force", "--yes") == {
        "name": "mail",
        "dry_run": False,
        "tasks_deleted": 3,
    }
    assert [row[0] for row in cells_of("queues")] == ["sms"]


@pytest.mark.parametrize(("said", "left"), [("y", ["sms"]), ("n", ["mail", "sms"])])
def test_who_removes_a_queue_is_asked(
    monkeypatch: pytest.MonkeyPatch, said: str, left: list[str]
) -> None:
    """With the number of what goes with it."""
    with monkeypatch.context() as context:
        sit_at_a_terminal(context)
        result = answer("queues", "remove", "mail", "--force", said=said)
    assert "remove the queue 'mail' with 3 tasks and 0 periodic ones?" in result.stderr
    assert [row[0] for row in cells_of("queues")] == left


def test_a_dry_run_shows_what_would_go_with_a_queue() -> None:
    """It is refused as the real one would be."""
    assert invoke("queues", "remove", "mail", "--dry-run").exit_code == 1
    dry = document_of("queues", "remove", "mail", "--force", "--dry-run")
    assert dry == {"name": "mail", "dry_run": True, "tasks_deleted": 3}
    said = cells_of("queues", "remove", "mail", "--force", "--dry-run")
    assert said == [["would remove mail, and 3 tasks with it"]]
    assert [row[0] for row in cells_of("queues")] == ["mail", "sms"]


def test_who_removes_a_queue_and_why_is_a_line_for_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """`QCORE_BY` says who, as for tasks."""
    monkeypatch.setenv("QCORE_BY", "ann")
    said = invoke("queues", "remove", "mail", "--force", "--yes", "--reason", "moved").stderr
    told = "remove queue: queue 'mail', by ann: moved"
    assert [line.split(" ", 1)[1] for line in said.splitlines()] == [told]


def test_a_queue_that_is_not_there_is_not_removed() -> None:
    """A misspelling is told."""
    assert invoke("queues", "remove", "mial").exit_code == 3
