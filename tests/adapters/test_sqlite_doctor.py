"""What is found of an SQLite file."""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from qcore import NewTask, connect
from qcore.adapters.links.sqlite import AsyncSqliteLink, BorrowedSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.doctor import diagnose
from qcore.doctor import sqlite as doctor
from qcore.domain.diagnostics import Grade
from qcore.errors import BrokerUnusable
from qcore.testing.entries import an_entry, put_entry
from tests.adapters.doctoring import bad, examined, of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name a file that is not there."""
    return tmp_path / "queue.db"


def url_of(file: Path) -> str:
    """Return the URL of a file."""
    return f"sqlite:///{quote(str(file))}"


async def enqueue(file: Path) -> None:
    """Make a file with a task in it."""
    broker = connect(url_of(file))
    await broker.enqueue([NewTask("mail", id="a")], now=1.0)
    await broker.close()


async def test_a_file_that_is_well_has_nothing_to_mend(file: Path) -> None:
    """Each matter is looked at, and the tasks stay as they are."""
    await enqueue(file)
    found = await examined(url_of(file))
    assert bad(found, "disk") == []
    assert [each.about for each in found] == [
        "file", "disk", "version", "journal", "persistence", "integrity", "queues",
        "leftovers", "wake-ups",
    ]  # fmt: skip
    assert of(found, "queues").found == "1 with tasks, 1 of them pending"
    assert str(file) in of(found, "file").found


@pytest.mark.parametrize("make", [lambda _: None, Path.touch], ids=["missing", "empty"])
async def test_a_file_that_is_not_there_is_not_made(file: Path, make: object) -> None:
    """An examination of a wrong URL leaves no database behind."""
    make(file)  # type: ignore[operator]
    before = [(each.name, each.stat().st_size) for each in file.parent.iterdir()]
    told = of(await examined(url_of(file)), "file")
    assert told.grade is Grade.ADVICE
    assert "made when it is first used" in told.found
    assert [(each.name, each.stat().st_size) for each in file.parent.iterdir()] == before


def test_an_applications_file_without_our_tables_is_left_as_it_is(file: Path) -> None:
    """They are made when it is first used, and not to be looked at."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    before = file.read_bytes()
    told = of(asyncio.run(examined(url_of(file))), "file")
    assert told.grade is Grade.ADVICE
    assert "has an application's tables (orders), and none of qcore's" in told.found
    assert file.read_bytes() == before


async def test_a_folder_that_is_not_there_is_an_error(file: Path) -> None:
    """It is named."""
    told = of(await examined(url_of(file.parent / "nowhere" / "queue.db")), "file")
    assert (told.grade, told.found) == (Grade.ERROR, f"there is no folder {file.parent}/nowhere")


async def test_what_may_not_be_written_is_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder for a new file, and the file that is there."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "to the folder" in of(await examined(url_of(file)), "file").found
    await enqueue(file)
    [told] = bad(await examined(url_of(file)), "disk")
    assert (told.about, told.grade) == ("file", Grade.ERROR)


def test_what_is_no_database_cannot_be_examined(file: Path) -> None:
    """It is left as it is."""
    file.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(BrokerUnusable, match="no SQLite database"):
        asyncio.run(examined(url_of(file)))
    assert file.read_text().startswith("Dear")


async def test_a_database_in_memory_is_a_warning() -> None:
    """Whoever borrows one, or makes one."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for link in (AsyncSqliteLink(":memory:"), BorrowedSqliteLink(connection)):
            broker = SqliteBroker(link)
            [told] = await diagnose(broker)
            assert (told.grade, told.about) == (Grade.WARNING, "persistence")
            await broker.close()


async def test_cheaper_commits_are_advice(file: Path) -> None:
    """They were asked for in the URL."""
    await enqueue(file)
    told = of(await examined(f"{url_of(file)}?synchronous=normal"), "persistence")
    assert told.grade is Grade.ADVICE
    assert told.found.startswith("synchronous=normal")


async def test_a_journal_that_makes_others_wait_is_a_warning(file: Path) -> None:
    """Somebody has turned the write-ahead log off."""
    await enqueue(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    told = of(await examined(url_of(file)), "journal")
    assert told.grade is Grade.WARNING
    assert told.found.startswith("journal_mode is delete")


async def test_damage_is_an_error(file: Path) -> None:
    """An index that does not have what its table has."""
    await enqueue(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text NOT NULL)")
        connection.execute("INSERT INTO notes VALUES (1, 'a')")
        connection.execute("PRAGMA writable_schema = ON")
        sql = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text NOT NULL, more NOT NULL)"
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'notes'", (sql,))
    told = of(await examined(url_of(file)), "integrity")
    assert told.grade is Grade.ERROR
    assert "NULL value in notes.more" in told.found


@pytest.mark.parametrize(
    ("edit", "found", "to_do"),
    [
        ("UPDATE qcore_tasks SET state = 'paused'", "state 'paused'", "qcore_tasks"),
        ("UPDATE qcore_tasks SET queue = 'zz'", "queue 'zz'", "qcore_tasks"),
        ("UPDATE qcore_queues SET name = x'ff'", "queue b'\\xff'", "qcore_tasks"),
        ("UPDATE qcore_queues SET pending = 7", "default: said to have", "qcore_queues"),
        ("UPDATE qcore_queues SET dead = 'zz'", "default: said to have", "qcore_queues"),
        ("DELETE FROM qcore_tasks", "default: said to have", "qcore_queues"),
    ],
)
async def test_what_was_edited_by_hand_is_told_of(
    file: Path, edit: str, found: str, to_do: str
) -> None:
    """Tasks that nobody would come across, and numbers of tasks that are wrong."""
    await enqueue(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(edit)
    told = [each for each in bad(await examined(url_of(file)), "disk") if found in each.found]
    assert [each.grade for each in told] == [Grade.WARNING]
    assert told[0].about == "leftovers"
    assert to_do in told[0].to_do


Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  (as shutil's own)


@pytest.mark.parametrize(
    ("free", "grade"),
    [(1 << 40, Grade.OK), (1 << 29, Grade.WARNING), (1 << 20, Grade.ERROR)],
    ids=str,
)
async def test_a_disk_that_gets_full_is_told_of(
    file: Path, monkeypatch: pytest.MonkeyPatch, free: int, grade: Grade
) -> None:
    """Before it is too late."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 41, 0, free))
    assert of(await examined(url_of(file)), "disk").grade is grade


async def test_a_large_file_is_told_of(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages are not all read, and so much that is unused worth a word."""
    await enqueue(file)
    with closing(sqlite3.connect(file)) as connection:
        with connection:
            connection.execute("CREATE TABLE notes (text)")
            connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 9_000,)] * 100)
            connection.execute("DROP TABLE notes")
        monkeypatch.setattr(doctor, "MAX_CHECKED", 1)
        monkeypatch.setattr(doctor, "UNUSED_BYTES", 1)
        told = bad(await examined(url_of(file)), "disk")
    assert [(each.about, each.grade) for each in told] == [
        ("file", Grade.ADVICE),
        ("integrity", Grade.ADVICE),
    ]
    assert "unused" in told[0].found


async def test_a_brief_examination_does_not_read_a_large_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and who does; a small file it reads as a whole, as well."""
    await enqueue(file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE qcore_queues SET pending = 7")
    broker = connect(url_of(file))
    assert of(await diagnose(broker, thorough=False), "leftovers").grade is Grade.WARNING
    monkeypatch.setattr(doctor, "MAX_CHECKED_BRIEFLY", 1)
    found = await diagnose(broker, thorough=False)
    assert "leftovers" not in {each.about for each in found}
    assert of(found, "queues").found == "1 with tasks, 7 of them pending"
    told = of(found, "integrity")
    assert (told.grade, told.to_do) == (Grade.ADVICE, "`qcore doctor` does")
    assert of(await diagnose(broker), "leftovers").grade is Grade.WARNING
    await broker.close()


async def test_a_reader_that_was_left_open_is_told_of(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the log from being folded into the file, so that the log grows and grows."""
    monkeypatch.setattr(doctor, "HELD_FOR", 0.02)
    await enqueue(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM qcore_tasks").fetchone()
        broker = connect(url_of(file))
        await broker.enqueue([NewTask("mail", id="b")], now=1.0)
        [told] = bad(await examined(url_of(file)), "disk")
        assert (told.about, told.grade) == ("journal", Grade.WARNING)
        assert "left open" in told.to_do
        reader.execute("COMMIT")
        assert bad(await examined(url_of(file)), "disk") == []
        await broker.close()


async def test_wake_ups_that_cannot_be_had_are_told_of(file: Path) -> None:
    """Something else has the name of the file by which workers are told."""
    await enqueue(file)
    file.with_name(f"{file.name}-notify").mkdir()
    [told] = bad(await examined(url_of(file)), "disk")
    assert (told.about, told.grade) == ("wake-ups", Grade.ADVICE)
    assert "directory" in told.found
    assert "every 20 ms" in told.found


async def test_a_copy_of_what_a_lost_log_held_is_told_of(file: Path) -> None:
    """It could not be merged, so somebody has to."""
    await enqueue(file)
    copy = file.with_name(f"{file.name}-lost-1")
    copy.touch()
    [told] = bad(await examined(url_of(file)), "disk")
    assert (told.about, told.grade) == ("file", Grade.WARNING)
    assert str(copy) in told.found


@pytest.mark.skipif(sys.platform == "win32", reason="a hard link is made otherwise")
async def test_a_file_of_two_names_is_an_error(file: Path) -> None:
    """It is not opened: by each name it would have a log that the other does not see."""
    await enqueue(file)
    other = file.with_name("other.db")
    other.hardlink_to(file)
    for name in (file, other):
        [told] = bad(await examined(url_of(name)), "disk")
        assert (told.about, told.grade) == ("file", Grade.ERROR)
        assert "2 names" in told.found
    other.unlink()
    assert bad(await examined(url_of(file)), "disk") == []


async def test_entries_of_periodic_tasks_are_counted(file: Path) -> None:
    """Where there are any."""
    await enqueue(file)
    assert [each for each in await examined(url_of(file)) if each.about == "periodic"] == []
    await put_entries(file, "a", "b")
    told = of(await examined(url_of(file)), "periodic")
    assert (told.grade, told.found[:2]) == (Grade.OK, "2 ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("encoded = '{}'", "1 of 2 entries of periodic tasks cannot be read, such as 'b'"),
        ("wake = 'soon'", "wake is 'soon'"),
        ("id = CAST(x'ff' AS TEXT)", "1 entries of periodic tasks have an id or a queue that is"),
        ("id = ''", "nobody can name them"),
        ("queue = CAST(x'ff' AS TEXT)", "nobody can name them"),
    ],
)
async def test_entries_that_make_no_tasks_are_told_of(file: Path, change: str, said: str) -> None:
    """With the reason, and what to do about it."""
    await put_entries(file, "a", "b")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"UPDATE qcore_entries SET {change} WHERE id = 'b'")  # noqa: S608
    told = of(await examined(url_of(file)), "periodic")
    assert told.grade is Grade.WARNING
    assert said in told.found
    assert told.to_do


async def put_entries(file: Path, *ids: str) -> None:
    """Put entries into a file."""
    broker = connect(url_of(file))
    for each in ids:
        await put_entry(broker, an_entry(each))
    await broker.close()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (4096, "4 kB"), (3 << 20, "3 MB"), (5 << 40, "5,120.0 GB")],
)
def test_sizes_are_told_as_people_read_them(size: int, text: str) -> None:
    """In the unit that has few digits."""
    assert doctor.spelled(size) == text
