"""A connection to another database than that of the queue is refused, and nothing is written."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from qcore import InvalidOption, NewTask, Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.entrypoints.connect import connect

TASK = NewTask("test", id="one")


@pytest.fixture
def q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Qcore]:
    """Give a queue in a file, which is not there yet."""
    monkeypatch.chdir(tmp_path)
    q = Qcore("sqlite:///shop.db")
    yield q
    q.blocking.close()


def test_another_file_is_refused(q: Qcore, tmp_path: Path) -> None:
    """Nobody would look there for the task; no tables are made in it."""
    with closing(sqlite3.connect("other.db")) as other:
        with pytest.raises(InvalidOption, match=r"other\.db.*are in .*shop\.db") as raised:
            q.within(other)
        assert "expected a connection to that file" in str(raised.value)
        assert not other.in_transaction
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == []
    fleeting = sqlite3.connect(":memory:")
    with closing(fleeting), pytest.raises(InvalidOption, match=":memory:"):
        q.within(fleeting)
    assert not (tmp_path / "shop.db").exists()


async def test_another_file_is_refused_where_it_is_awaited(q: Qcore) -> None:
    """As soon as the connection is used."""
    async with aiosqlite.connect("other.db") as other:
        with pytest.raises(InvalidOption, match=r"other\.db.*are in .*shop\.db"):
            await q.within(other).enqueue(TASK)


@pytest.mark.parametrize("name", ["shop.db", "./shop.db", "link.db", "hard.db"])
def test_the_same_file_by_another_name_is_taken(q: Qcore, name: str) -> None:
    """It need not be there yet."""
    if name == "link.db":
        Path(name).symlink_to("shop.db")
    elif name == "hard.db":
        Path("shop.db").touch()
        os.link("shop.db", name)
    with closing(sqlite3.connect(name)) as own:
        q.within(own).enqueue(TASK)
        own.commit()
    if name != "hard.db":
        assert q.blocking.handle("default", "one").status() == "pending"


def test_a_queue_that_is_not_in_a_database_is_no_part_of_a_transaction() -> None:
    """Of Redis and of memory; in a test the store is swapped."""
    with closing(sqlite3.connect(":memory:")) as own:
        for q in (Qcore("memory://"), Qcore("redis://127.0.0.1:1"), Qcore(broker=MemoryBroker())):
            with pytest.raises(InvalidOption, match="no transaction of an application's has them"):
                q.within(own)
            with q.swapped():
                assert q.within(own).enqueue(TASK).status() == "pending"


def test_the_file_of_a_broker_that_is_wrapped_is_known() -> None:
    """However often."""
    inner = connect("sqlite:///shop.db")
    q = Qcore(broker=ForwardingBroker(ForwardingBroker(inner)))
    with closing(sqlite3.connect(":memory:")) as own, pytest.raises(InvalidOption, match="shop"):
        q.within(own)
