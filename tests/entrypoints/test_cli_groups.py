from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore import Qcore, State
from qcore.testing import a_task
from tests.entrypoints.cli_kit import (
    a_store_in,
    answer,
    cells_of,
    document_of,
    invoke,
    sit_at_a_terminal,
    write,
)

MODULE = """
from collections.abc import Sequence

from qcore import Context, Qcore, Task
from qcore.tasks import Group
from qcore.types import Call

q = Qcore()


@q.task("email")
def email(ctx: Context, number: int) -> None: ...


@q.aggregator("digest:", max_size=2)
def digest(group: Group, tasks: Sequence[Task]) -> Call[None]:
    return email.call(number=len(tasks))


@q.aggregator("odd:")
def odd(group: Group, tasks: Sequence[Task]) -> Call[None]:
    raise ValueError("it is odd")
"""


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with an application, and tasks in groups of two queues."""
    with a_store_in(tmp_path, monkeypatch) as made:
        write(tmp_path, "app", MODULE)
        for number in (1, 2, 3):
            made.blocking.enqueue(a_task(id=f"ann-{number}", group="digest:ann"))
        made.blocking.enqueue(a_task(id="odd", group="odd:x"))
        made.blocking.enqueue(a_task(id="low", queue="low", group="digest:ann"))
        made.blocking.enqueue(a_task(id="alone"))
        yield made


def test_groups_are_listed_over_all_queues() -> None:
    """By queue, then by name, with how many tasks wait in each."""
    rows = [["default", "digest:ann", "3"], ["default", "odd:x", "1"], ["low", "digest:ann", "1"]]
    assert [row[:3] for row in cells_of("groups")] == rows
    assert [row[:3] for row in cells_of("groups", "list", "low")] == rows[2:]
    assert document_of("groups", "list", "nowhere") == {"groups": [], "cursor": None}


def test_groups_are_a_table_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under titles, and with how long ago the first and the last joined."""
    sit_at_a_terminal(monkeypatch)
    titles, row, *_ = invoke("groups").stdout.splitlines()
    assert "GROUP" in titles
    assert row.endswith(" ago")


def test_groups_are_listed_page_by_page() -> None:
    """Each is on one page."""
    pages = list[str]()
    cursor: tuple[str, ...] = ()
    while True:
        page = document_of("groups", "list", "--limit", "1", *cursor)
        pages += [f"{each['queue']} {each['name']}" for each in page["groups"]]
        if page["cursor"] is None:
            break
        cursor = ("--cursor", page["cursor"])
    assert pages == ["default digest:ann", "default odd:x", "low digest:ann"]


@pytest.mark.parametrize("cursor", ["x", "[]", "[1, 2]", '["a"]', "[" * 100_000, "\ud800"])
def test_a_cursor_of_no_page_is_named(cursor: str) -> None:
    """In one line."""
    result = invoke("groups", "list", "--cursor", cursor)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: cursor is ")


def test_the_members_of_groups_are_shown() -> None:
    """Those that joined first before the others; a group without any is not found."""
    assert [row[1] for row in cells_of("groups", "show", "digest:ann")] == [
        "ann-1",
        "ann-2",
        "ann-3",
    ]
    [task] = document_of("groups", "show", "digest:ann", "--queue", "low")["tasks"]
    assert (task["id"], task["group"], task["state"]) == ("low", "digest:ann", "aggregating")
    result = invoke("groups", "show", "digest:ann", "nothing", "--limit", "1")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)
    assert result.stderr == "Error: no task waits in a group of the queue 'default': nothing\n"


def test_a_group_is_aggregated_now(q: Qcore) -> None:
    """By the application's aggregator: a task for each `max_size` members."""
    rows = cells_of("groups", "aggregate", "digest:ann", "--app", "app:q")
    assert [row[:2] for row in rows] == [["default", "digest:ann"]] * 2
    made = [q.blocking_inspector.get("default", row[2]) for row in rows]
    assert [each and each.spec.payload for each in made] == [b'{"number":2}', b'{"number":1}']
    assert q.blocking_inspector.counts()["default"][State.AGGREGATING] == 1
    assert invoke("groups", "aggregate", "digest:ann", "--app", "app:q").exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["odd:x", "--app", "app:q"], 1, "the aggregator of 'odd:x' raised ValueError: it is odd"),
        (
            ["none", "--app", "app:q"],
            2,
            "the group 'none' of the queue 'default' has no aggregator",
        ),
        (["odd:x"], 2, "expected --app MODULE:NAME, which has the aggregator"),
    ],
)
def test_a_group_that_cannot_be_aggregated_stays(
    q: Qcore, arguments: list[str], status: int, said: str
) -> None:
    """Why is one line."""
    result = invoke("groups", "aggregate", *arguments)
    assert (result.exit_code, said in result.stderr) == (status, True)
    assert q.blocking_inspector.counts()["default"][State.AGGREGATING] == 4


def test_the_members_of_groups_are_moved(q: Qcore) -> None:
    """Of one queue; other tasks of the groups' names are left alone."""
    assert invoke("groups", "delete", "digest:ann").exit_code == 2
    assert "delete: 3 tasks\n" in invoke("groups", "delete", "digest:ann", "--dry-run").stdout
    told = document_of("groups", "run", "digest:ann", "--limit", "1", "--yes")
    assert (told["done"], told["verb"]) == (1, "run")
    assert document_of("groups", "delete", "digest:ann", "odd:x", "--yes")["done"] == 3
    assert q.blocking_inspector.totals() == {State.PENDING: 2, State.AGGREGATING: 1}


def test_somebody_is_asked_before_members_are_moved(
    q: Qcore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal."""
    sit_at_a_terminal(monkeypatch)
    result = answer("groups", "delete", "digest:ann", said="n")
    assert result.exit_code == 1
    assert "delete 3 tasks? [y/N]" in result.stderr
    assert q.blocking_inspector.counts()["default"][State.AGGREGATING] == 4


def test_the_blocking_inspector_reads_groups_too(q: Qcore) -> None:
    """As the one that awaits."""
    groups = q.blocking_inspector.groups("default").groups
    assert [(each.name, each.size) for each in groups] == [("digest:ann", 3), ("odd:x", 1)]
    members = q.blocking_inspector.members("default", "digest:ann", limit=2)
    assert [each.id for each in members] == ["ann-1", "ann-2"]
