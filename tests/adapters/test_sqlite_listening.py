import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from structlog.testing import capture_logs

from qcore.adapters.links.sqlite import AsyncSqliteLink, BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.links.sqlite.file_watcher import THREAD_NAME
from qcore.adapters.sqlite import SqliteBroker
from qcore.domain.states import State
from qcore.ports import EntriesChanged, Notification
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.steps import on_work
from qcore.testing.entries import an_entry, put_entry

PATIENCE = 30.0

ENQUEUE = """
import sys
from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.testing.builders import NOW, a_task

broker = SqliteBroker(BlockingSqliteLink(sys.argv[1]))
run_inline(broker.enqueue([a_task()], now=NOW))
"""


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[SqliteBroker]:
    """A broker that awaits."""
    broker = SqliteBroker(AsyncSqliteLink(path))
    yield broker
    await broker.close()


def watchers() -> set[threading.Thread]:
    """Return the threads that look after files."""
    return {thread for thread in threading.enumerate() if thread.name == THREAD_NAME}


async def test_what_this_process_wrote_is_heard_at_once(broker: SqliteBroker) -> None:
    """`heard` has been called when enqueue returns: nobody waits for the next look."""
    heard: list[str] = []
    ear = await on_work(broker, ["default"], lambda: heard.append("default"))
    await broker.enqueue([a_task()], now=NOW)
    assert heard
    await ear.close()


async def test_another_broker_of_this_process_is_heard_at_once(
    broker: SqliteBroker, path: Path
) -> None:
    """Brokers of one process on one file, however it is spelled, hear each other directly."""
    heard: list[str] = []
    ear = await on_work(broker, ["default"], lambda: heard.append("default"))
    other = SqliteBroker(AsyncSqliteLink(path.parent / "." / path.name))
    await other.enqueue([a_task()], now=NOW)
    assert heard
    await other.close()
    await ear.close()


async def test_an_entry_that_this_process_wrote_is_told_of_at_once(
    broker: SqliteBroker, path: Path
) -> None:
    """Also by another broker of the process; not of other queues, nor of what a caller has open."""
    told: list[Notification] = []
    ear = await broker.subscribe(["default"], {EntriesChanged}, told.append)
    other = SqliteBroker(AsyncSqliteLink(path))
    await put_entry(other, an_entry())
    assert told == [EntriesChanged("default")]
    await put_entry(other, an_entry(queue="other"))
    await broker.enqueue([a_task()], now=NOW)
    with closing(sqlite3.connect(path)) as connection:
        await put_entry(SqliteBroker(BorrowedSqliteLink(connection)), an_entry("open"))
    assert told == [EntriesChanged("default")]
    await other.close()
    await ear.close()


@pytest.mark.system
async def test_what_another_process_wrote_is_heard(broker: SqliteBroker, path: Path) -> None:
    """A task enqueued by another process wakes who listens here."""
    heard = Event()
    ear = await on_work(broker, ["default"], heard.set)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", ENQUEUE, path)
    assert await child.wait() == 0
    assert heard.wait(PATIENCE)
    await ear.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
async def test_a_file_that_was_replaced_is_heard_of(broker: SqliteBroker, path: Path) -> None:
    """Who listens is called when another file has the name, and then finds what is in it."""
    heard = Event()
    ear = await on_work(broker, ["default"], heard.set)
    await make_another(path)
    # a call of its own would find out by itself
    with capture_logs() as logs:
        assert await asyncio.to_thread(heard.wait, PATIENCE)
        assert await broker.count() == {"default": {State.PENDING: 1}}
    assert [log["event"] for log in logs] == ["the database file was replaced"]
    await ear.close()


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
async def test_what_is_written_to_a_new_log_is_heard(broker: SqliteBroker, path: Path) -> None:
    """Somebody has removed the log while nothing was done: it is noticed, and said."""
    heard = Event()
    await broker.enqueue([a_task()], now=NOW)
    ear = await on_work(broker, ["default"], heard.set)
    with capture_logs() as logs:
        delete_log(path)
        # its own connections make another log
        assert await asyncio.to_thread(heard.wait, PATIENCE)
    assert [log["event"] for log in logs] == ["the log of the database was removed or replaced"]
    heard.clear()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", ENQUEUE, path)
    assert await child.wait() == 0
    assert await asyncio.to_thread(heard.wait, PATIENCE)
    assert await broker.count() == {"default": {State.PENDING: 2}}
    await ear.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
async def test_a_file_that_is_gone_is_heard_of(broker: SqliteBroker, path: Path) -> None:
    """Who listens is called when the file was deleted, and again for each task in the next."""
    calls = [Event(), Event()]
    turn = iter(calls)
    ear = await on_work(broker, ["default"], lambda: next(turn, calls[-1]).set())
    delete(path)
    assert await asyncio.to_thread(calls[0].wait, PATIENCE)
    other = SqliteBroker(BlockingSqliteLink(path))
    await other.enqueue([a_task()], now=NOW)
    assert await asyncio.to_thread(calls[1].wait, PATIENCE)
    assert await broker.count() == {"default": {State.PENDING: 1}}
    await other.close()
    await ear.close()


def delete(path: Path) -> None:
    """Delete a file and its log, which would be taken for that of the next file."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def delete_log(path: Path) -> None:
    """Delete the log of a file, and its index."""
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()


async def make_another(path: Path) -> None:
    """Put another file, with one task, in the place of one."""
    elsewhere = path.with_name("another.db")
    other = SqliteBroker(BlockingSqliteLink(elsewhere))
    await other.enqueue([a_task()], now=NOW)
    await other.close()
    delete(path)
    elsewhere.replace(path)


async def test_nobody_looks_while_nobody_listens(broker: SqliteBroker) -> None:
    """The thread that looks at the file lives as long as somebody listens."""
    # one of another test may be about to end
    others = watchers()
    await broker.enqueue([a_task()], now=NOW)
    assert watchers() <= others
    ears = [await on_work(broker, ["default"], Event().set) for _ in range(3)]
    (watcher,) = watchers() - others
    for ear in ears:
        await ear.close()
    watcher.join(PATIENCE)
    assert not watcher.is_alive()


async def test_an_ear_whose_loop_is_closed_does_not_deafen_the_others(
    broker: SqliteBroker,
) -> None:
    """A listener that raises, as one of a closed event loop does, is passed over."""

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    heard = Event()
    ears = [await on_work(broker, ["default"], call) for call in (gone, heard.set)]
    await broker.enqueue([a_task()], now=NOW)
    assert heard.is_set()
    for ear in ears:
        await ear.close()
