import asyncio
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from click import unstyle

from qcore import Inspector, Qcore, State
from qcore.app.client.bulk_moves import MovePreview, MoveProgress
from qcore.errors import BrokerUnavailable
from qcore.queries import Query
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
    """Work in a folder with a store that has three pending tasks and two dead ones."""
    with a_store_in(tmp_path, monkeypatch) as made:
        for n in range(5):
            payload = b'{"user":%d}' % n
            made.blocking.enqueue(a_task(name="mail", id=f"t{n}", queue="out", payload=payload))
        made.blocking_inspector.cancel("out", ["t3", "t4"])
        yield made


def states(q: Qcore) -> dict[State, int]:
    """Return how many tasks are in which states."""
    return dict(q.blocking_inspector.totals())


def test_tasks_of_a_query_are_lines_of_cells_in_a_pipe() -> None:
    """Words of a query may be given apart, and `list` may be left out."""
    rows = cells_of("tasks", "list", "state:dead", "args.user:4")
    assert [row[:4] for row in rows] == [["out", "t4", "mail", "dead"]]
    assert rows[0][6:] == ["0", "cancelled"]
    assert len(cells_of("tasks")) == 5
    assert cells_of("tasks", "state:dead", "args.user:4") == rows


def test_tasks_come_page_by_page() -> None:
    """What is more is told on standard error, with the cursor that asks for it."""
    first = invoke("tasks", "list", "state:pending", "--limit", "2")
    assert len(first.stdout.splitlines()) == 2
    cursor = first.stderr.split("--cursor ")[1].strip()
    second = document_of("tasks", "list", "state:pending", "--limit", "2", "--cursor", cursor)
    assert [task["id"] for task in second["tasks"]] == ["t2"]
    assert second["cursor"] is None


def test_no_task_is_an_empty_list() -> None:
    """It is no error, and the document is valid."""
    assert document_of("tasks", "list", "state:active") == {
        "tasks": [],
        "looked": 0,
        "cursor": None,
    }
    assert invoke("tasks", "list", "state:active").stdout == ""


def test_tasks_are_a_table_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ages, and titles."""
    sit_at_a_terminal(monkeypatch)
    titles, row = map(unstyle, invoke("tasks", "list", "id:t3").stdout.splitlines())
    assert titles.split() == ["QUEUE", "ID", "NAME", "STATE", "ENQUEUED", "ATTEMPTS", "ERROR"]
    assert row.split()[:4] == ["out", "t3", "mail", "dead"]


@pytest.mark.parametrize("verb", ["run", "cancel", "archive", "delete", "reschedule"])
def test_many_are_not_moved_where_nobody_is_asked(q: Qcore, verb: str) -> None:
    """A script says --yes, or nothing happens."""
    result = invoke("tasks", verb, "state:pending,dead")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert states(q) == {State.PENDING: 3, State.DEAD: 2}


def test_a_dry_run_moves_nothing(q: Qcore) -> None:
    """It says how many it would be, and shows some."""
    result = invoke("tasks", "delete", "state:dead", "--dry-run")
    assert result.stdout.splitlines()[-1] == "delete: 2 tasks"
    assert len(result.stdout.splitlines()) == 3
    document = document_of("tasks", "delete", "state:dead", "--dry-run", "--limit", "1")
    assert [task["id"] for task in document.pop("sample")] in (["t3"], ["t4"])
    assert document == {
        "verb": "delete",
        "query": "state:dead",
        "dry_run": True,
        "count": 1,
        "complete": True,
        "looked": 2,
    }
    assert states(q) == {State.PENDING: 3, State.DEAD: 2}


def test_many_are_moved_with_yes(q: Qcore) -> None:
    """At most as many as --limit allows; and what was done is counted."""
    document = document_of("tasks", "run", "state:dead", "--yes", "--limit", "1")
    assert (document["done"], document["skipped"], document["failed"]) == (1, 0, 0)
    assert not document["finished"]
    assert states(q) == {State.PENDING: 4, State.DEAD: 1}
    result = invoke("tasks", "run", "state:dead", "--yes")
    assert result.stdout == "run: 1 task done, 0 skipped, 0 failed\n"


@pytest.mark.parametrize(("said", "status", "dead"), [("y", 0, 0), ("n", 1, 2), ("", 1, 2)])
def test_many_are_shown_and_asked_for_in_a_terminal(
    q: Qcore, monkeypatch: pytest.MonkeyPatch, said: str, status: int, dead: int
) -> None:
    """Any answer but yes moves nothing."""
    sit_at_a_terminal(monkeypatch)
    result = answer("tasks", "delete", "state:dead", said=said)
    assert result.exit_code == status
    assert "t3" in result.stdout
    assert "delete 2 tasks? [y/N]" in result.stderr
    assert states(q).get(State.DEAD, 0) == dead


def test_nobody_is_asked_about_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """That no task is meant is told."""
    sit_at_a_terminal(monkeypatch)
    result = answer("tasks", "delete", "state:completed", said="n")
    assert (result.exit_code, result.stderr) == (0, "delete: 0 tasks\n")


def test_what_was_done_before_ctrl_c_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays done, and whoever stopped it has to know."""

    async def stopped(*_: object, **__: object) -> AsyncGenerator[MoveProgress, None]:
        yield MoveProgress(done=500, looked=500)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    monkeypatch.setattr(Inspector, "move", stopped)
    # as in a terminal: whoever runs the tests may ignore it, as a shell's background jobs do
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = invoke("tasks", "delete", "state:dead", "--yes")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "stopped: 500 tasks done, 0 skipped, 0 failed\n" in result.stderr


def test_what_was_done_before_a_store_was_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status is that of a store that does not answer."""

    async def cut_off(*_: object, **__: object) -> AsyncGenerator[MoveProgress, None]:
        yield MoveProgress(done=500, looked=500)
        raise BrokerUnavailable("gone")

    monkeypatch.setattr(Inspector, "move", cut_off)
    result = invoke("tasks", "delete", "state:dead", "--yes")
    assert result.exit_code == 4
    assert result.stderr.splitlines() == [
        "stopped: 500 tasks done, 0 skipped, 0 failed",
        "Error: gone",
    ]


def test_more_than_is_looked_at_may_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the number is told as one that may be too small."""
    preview = MovePreview(Query.parse("state:dead"), 0.0, 2, 10_000, [])

    async def partly(*_: object, **__: object) -> MovePreview:
        return preview

    monkeypatch.setattr(Inspector, "preview", partly)
    result = invoke("tasks", "delete", "state:dead", "--dry-run")
    assert result.stdout == "delete: 2 tasks or more, after a look at 10,000\n"


def test_a_reason_is_kept_with_the_tasks(q: Qcore) -> None:
    """Who looks at them later knows why."""
    invoke("tasks", "archive", "id:t0 state:pending", "--yes", "--reason", "double charge")
    found = q.blocking_inspector.get("out", "t0")
    assert found is not None
    assert (found.state, found.error) == (State.ARCHIVED, "double charge")


def test_many_are_rescheduled(q: Qcore) -> None:
    """After a delay, or at a moment with its zone."""
    at = "2030-01-01T01:00+01:00"
    invoke("tasks", "reschedule", "state:pending", "--at", at, "--yes")
    assert states(q) == {State.SCHEDULED: 3, State.DEAD: 2}
    assert {row[5] for row in cells_of("tasks", "list", "state:scheduled")} == {
        "2030-01-01T00:00:00.000Z"
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "state:ded"], "the query has 'ded' at character 7: expected one of"),
        (["list", "--cursor", "x"], "cursor is 'x'"),
        (["delete", "name:mail", "--yes"], "expected one that names states"),
        (["delete", "state:dead", "--yes", "--dry-run"], "expected one of them"),
        (["reschedule", "state:pending", "--yes"], "--at MOMENT or --delay DURATION"),
        (["reschedule", "state:pending", "--delay", "soon"], "'soon': expected such as 2h"),
        (["reschedule", "state:pending", "--at", "2030-01-01T00:00"], "a moment with its zone"),
        (["run"], "Missing argument"),
    ],
)
def test_what_makes_no_sense_is_one_line(q: Qcore, arguments: list[str], said: str) -> None:
    """With --json the error is a document; nothing is changed."""
    result = invoke("tasks", *arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line
    error = document_of("tasks", *arguments)["error"]
    assert error["status"] == 2
    assert said in error["message"]
    assert states(q) == {State.PENDING: 3, State.DEAD: 2}


def test_what_tasks_say_cannot_command_a_terminal() -> None:
    """Nor end a cell or a line."""
    invoke("tasks", "archive", "id:t0 state:pending", "--yes", "--reason", "\x1b[2Jno\tmore\n")
    [row] = cells_of("tasks", "list", "id:t0")
    assert row[7] == "\\x1b[2Jno\\tmore\\n"


def test_options_of_many_are_changed_by_a_query(q: Qcore) -> None:
    """Those that are named, and none takes a limit away; who and why is kept."""
    said = invoke(
        *("tasks", "update", "state:pending", "args.user:<2", "--yes", "--priority", "3"),
        *("--timeout", "none", "--tag", "vip", "--tag", "eu", "--by", "ann", "--reason", "VIPs"),
    )
    assert said.stdout == "update: 2 tasks done, 0 skipped, 0 failed\n"
    page = q.blocking_inspector.tasks("tag:vip,eu")
    assert {task.id for task in page.tasks} == {"t0", "t1"}
    assert {(task.spec.priority, task.spec.timeout) for task in page.tasks} == {(3, None)}
    details = q.blocking_inspector.details("out", "t0")
    assert details is not None
    [record] = details.audit
    assert (record.by, record.reason, record.detail) == ("ann", "VIPs", "priority, tags, timeout")


def test_an_update_says_what_it_can_change(q: Qcore) -> None:
    """Where nothing is named; and what is wrong is refused by its name."""
    result = invoke("tasks", "update", "state:pending", "--yes")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: nothing is to be changed: expected one or more of --pr")
    result = invoke("tasks", "update", "state:pending", "--max-retry", "-1", "--yes")
    assert (result.exit_code, "max_retry is -1" in result.stderr) == (2, True)
    assert all(task.spec.max_retry == 25 for task in q.blocking_inspector.tasks().tasks)


def test_what_was_discarded_is_brought_back(q: Qcore) -> None:
    """All of a query; what became of each is in its error meanwhile."""
    said = invoke("tasks", "discard", "state:pending,dead", "--yes", "--reason", "wrong campaign")
    assert said.stdout == "discard: 5 tasks done, 0 skipped, 0 failed\n"
    rows = cells_of("tasks", "list", "state:archived", 'error:"while dead"')
    assert [(row[1], row[7]) for row in rows] == [
        ("t4", "discarded while dead: cancelled"),
        ("t3", "discarded while dead: cancelled"),
    ]
    assert document_of("tasks", "bring-back", "state:archived", "--dry-run")["count"] == 5
    assert document_of("tasks", "bring-back", "state:archived", "--yes")["done"] == 5
    assert states(q) == {State.PENDING: 3, State.DEAD: 2}


def test_tasks_move_to_another_queue(q: Qcore) -> None:
    """Those of the query, as they are; a dry run tells how many."""
    preview = document_of("tasks", "move", "state:dead", "--to", "slow", "--dry-run")
    assert (preview["verb"], preview["count"]) == ("move", 2)
    done = invoke("tasks", "move", "state:dead", "--to", "slow", "--yes")
    assert done.stdout == "move: 2 tasks done, 0 skipped, 0 failed\n"
    assert q.blocking_inspector.counts() == {
        "out": {State.PENDING: 3},
        "slow": {State.DEAD: 2},
    }


def test_tasks_do_not_move_to_what_is_no_queue() -> None:
    """One line says what is wrong, and nothing is moved."""
    result = invoke("tasks", "move", "state:dead", "--to", "a b", "--yes")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: queue is 'a b': expected no ' ' in it\n",
    )
    result = invoke("tasks", "move", "state:dead", "--yes")
    assert result.exit_code == 2
    assert "--to" in result.stderr
