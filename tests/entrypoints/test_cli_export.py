"""`qcore export` and `qcore import`."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest

from qcore import Cron, Qcore, State
from qcore.entrypoints.cli.group import qcore
from qcore.testing.builders import a_task
from tests.entrypoints.cli_kit import a_store_in, document_of, invoke
from tests.log.kit import unconfigured_logs

OTHER = "sqlite:///other.db"


@pytest.fixture(autouse=True)
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Work in a folder with a store that has two tasks, a paused queue and a periodic task."""
    with a_store_in(tmp_path, monkeypatch) as made:
        made.blocking.enqueue(a_task(id="plain", payload=b'{"user": 7}'))
        made.blocking.enqueue(a_task(id="odd", payload=b"\xff", queue="out"))
        made.blocking_inspector.cancel("out", ["odd"])
        made.blocking_inspector.pause("out")
        made.blocking_entries.put(Cron("0 * * * *"), a_task(name="report", id="hourly"))
        yield made


def lines_of(file: str) -> list[dict[str, object]]:
    """Return what the lines of a file say."""
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def test_a_store_is_written_to_a_file_and_brought_into_another(q: Qcore) -> None:
    """With the numbers of what is in it; the second import changes nothing."""
    said = invoke("export", "-o", "all.jsonl")
    assert said.stdout == "exported: 2 tasks, 1 periodic, limits of 1 queue\n"
    kinds = [line["kind"] for line in lines_of("all.jsonl")]
    assert kinds == ["header", "limits", "task", "task", "entry", "end"]
    assert not Path("all.jsonl.part").exists()
    said = invoke("import", "all.jsonl", "--url", OTHER)
    assert said.stdout == (
        "imported: 2 tasks, 1 periodic, limits of 1 queue; 0 there already, 0 refused\n"
    )
    said = invoke("import", "all.jsonl", "--url", OTHER)
    assert said.stdout == (
        "imported: 0 tasks, 0 periodic, limits of 0 queues; 4 there already, 0 refused\n"
    )
    other = Qcore(OTHER, instruments=[])
    assert other.blocking_inspector.counts() == q.blocking_inspector.counts()
    assert other.blocking_inspector.get("out", "odd") == q.blocking_inspector.get("out", "odd")
    other.blocking.close()


def test_a_dry_run_writes_nothing() -> None:
    """It tells what would be written."""
    invoke("export", "-o", "all.jsonl")
    said = document_of("import", "all.jsonl", "--dry-run")
    assert said == {
        "dry_run": True,
        "tasks": 0,
        "entries": 0,
        "limits": 0,
        "present": 4,
        "refused": [],
    }
    assert invoke("import", "all.jsonl", "--dry-run", "--url", OTHER).exit_code == 3
    assert not Path("other.db").exists()


def test_lines_go_from_one_command_to_the_next() -> None:
    """Standard output has the lines and nothing else; standard input is read as a file is."""
    exported = invoke("export", "state:dead")
    assert exported.stderr == "exported: 1 task, 0 periodic, limits of 0 queues\n"
    with unconfigured_logs():
        arguments = ["import", "-", "--url", OTHER, "--json"]
        said = click.testing.CliRunner().invoke(qcore, arguments, input=exported.stdout_bytes)
    assert json.loads(said.stdout)["tasks"] == 1


def test_a_queue_alone_is_exported() -> None:
    """With its limits and periodic tasks; --json tells the numbers, if the lines go to a file."""
    said = document_of("export", "--queue", "out", "-o", "out.jsonl")
    assert said == {"tasks": 1, "entries": 0, "limits": 1, "left_out": []}
    assert invoke("export", "--json").exit_code == 2


def test_a_broken_line_is_told_with_its_number() -> None:
    """Nothing of it is written, the others are, and the exit status is 1."""
    invoke("export", "-o", "all.jsonl")
    lines = Path("all.jsonl").read_text().splitlines(keepends=True)
    lines[2] = '{"kind":"task","task":{}}\n'
    Path("all.jsonl").write_text("".join(lines))
    said = invoke("import", "all.jsonl", "--url", OTHER)
    assert said.exit_code == 1
    assert said.stderr.splitlines()[0] == (
        "line 3: Object missing required field `name` - at `$.task`"
    )
    assert said.stderr.splitlines()[1] == "Error: 1 line was refused: nothing of them was written"
    assert "imported: 1 task, 1 periodic, limits of 1 queue; 0 there already, 1 refused" in (
        said.stdout
    )


def test_a_file_that_breaks_off_is_refused() -> None:
    """Before anything is written: it says how many lines there are, and how many it should have."""
    invoke("export", "-o", "all.jsonl")
    lines = Path("all.jsonl").read_text().splitlines(keepends=True)
    Path("short.jsonl").write_text("".join([*lines[:2], *lines[3:]]))
    said = invoke("import", "short.jsonl", "--url", OTHER)
    assert said.exit_code == 1
    assert said.stderr == (
        "Error: short.jsonl: it has 3 lines of limits, tasks and periodic tasks, and its last line "
        "counts 4: nothing was imported\n"
    )
    assert not Path("other.db").exists()
    assert invoke("import", "nowhere.jsonl").exit_code == 2


def test_an_export_that_fails_leaves_the_older_file(q: Qcore) -> None:
    """And no half of a new one."""
    invoke("export", "-o", "all.jsonl")
    before = Path("all.jsonl").read_bytes()
    q.blocking.close()
    connection = sqlite3.connect("qcore.db")
    connection.execute("DROP TABLE qcore_details")
    connection.commit()
    assert invoke("export", "-o", "all.jsonl").exit_code == 4
    assert Path("all.jsonl").read_bytes() == before
    assert not Path("all.jsonl.part").exists()


def test_a_backup_brings_back_what_was_deleted(q: Qcore) -> None:
    """What is there still stays as it is."""
    invoke("export", "-o", "all.jsonl")
    q.blocking_inspector.delete("out", ["odd"])
    q.blocking_inspector.run_now("default", ["plain"])
    assert invoke("import", "all.jsonl").exit_code == 0
    assert q.blocking_inspector.totals() == {State.PENDING: 1, State.DEAD: 1}
