"""`qcore queues watch` and `qcore tasks watch`: lines for scripts, a table that is drawn again."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click import unstyle

from qcore import Qcore
from qcore.entrypoints.cli import live
from qcore.testing.builders import a_task
from tests.entrypoints.cli_kit import a_store_in, cells_of, invoke, sit_at_a_terminal


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has two queues."""
    with a_store_in(tmp_path, monkeypatch) as made:
        made.blocking.enqueue_many([a_task(id="a", queue="mail"), a_task(id="b", queue="sms")])
        yield made


@pytest.fixture
def cancelling(q: Qcore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a task cancelled as soon as somebody watches."""
    watched = live._follow  # noqa: SLF001

    async def follow(*args: Any, **options: Any) -> None:
        timer = threading.Timer(0.3, lambda: q.blocking_inspector.cancel("mail", ["a"]))
        timer.start()
        await watched(*args, **options)
        timer.join()

    monkeypatch.setattr(live, "_follow", follow)


def lines_of(*arguments: str) -> list[dict[str, Any]]:
    """Run a command that succeeds, and return its JSON lines."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("cancelling")
def test_queues_are_lines_of_json() -> None:
    """All of them first, then what has changed; it ends when the time is over."""
    whole, *changes = lines_of("queues", "watch", "--json", "--for", "4s")
    assert (whole["version"], whole["whole"], whole["outage"]) == (1, True, None)
    assert [each["name"] for each in whole["queues"]] == ["mail", "sms"]
    assert whole["queues"][0]["tasks"]["pending"] == 1
    [mail] = changes[0]["queues"]
    assert (mail["name"], mail["tasks"]["pending"], mail["tasks"]["dead"]) == ("mail", 0, 1)
    assert mail["changed"] == ["a"] or mail["more"]


@pytest.mark.usefixtures("cancelling")
def test_tasks_of_a_query_are_lines_of_json() -> None:
    """What it selects at first, what changes, and what is no longer among it."""
    first, left = lines_of("tasks", "watch", "state:pending", "queue:mail", "--json", "--for", "4s")
    assert (first["change"], first["id"], first["state"]) == ("listed", "a", "pending")
    assert (left["change"], left["queue"], left["id"]) == ("left", "mail", "a")


@pytest.mark.usefixtures("cancelling")
def test_a_task_that_changes_is_told_with_all_that_it_has() -> None:
    """Its new state too."""
    first, changed = lines_of("tasks", "watch", "queue:mail", "--json", "--for", "4s")
    assert first["state"] == "pending"
    assert (changed["change"], changed["state"]) == ("changed", "dead")


def test_in_a_pipe_it_is_one_snapshot() -> None:
    """As `list` prints it: a pipe would otherwise be open for ever."""
    assert [row[0] for row in cells_of("queues", "watch")] == ["mail", "sms"]
    assert [row[1] for row in cells_of("tasks", "watch")] == ["a", "b"]


@pytest.mark.usefixtures("cancelling")
def test_in_a_terminal_it_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the top of a clear screen."""
    sit_at_a_terminal(monkeypatch)
    drawn = unstyle(invoke("queues", "watch", "--for", "4s").stdout).split("QUEUE  BY STATE")[1:]
    assert "1 pending" in drawn[0]
    assert "1 dead" in drawn[-1]


def test_a_query_that_makes_no_sense_is_refused() -> None:
    """In one line, before anything is followed."""
    result = invoke("tasks", "watch", "state:ded", "--for", "1s")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'ded'" in result.stderr
