import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from structlog.testing import capture_logs

from qcore.adapters.links.sqlite import AsyncSqliteLink, BlockingSqliteLink, Tx
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Swept
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.states import State
from qcore.testing.builders import NOW, a_demand, a_task

FORKED = """
import os, sys
from qcore.adapters.links.sqlite import AsyncSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.testing.builders import NOW, a_demand, a_task
import asyncio

broker = SqliteBroker(AsyncSqliteLink(sys.argv[1]))

async def enqueue(queue):
    await broker.enqueue([a_task(queue=queue)], now=NOW)
    run_inline(broker.blocking().enqueue([a_task(queue=queue)], now=NOW))

def carried():
    # the descriptors of the file that are open here
    file = os.stat(sys.argv[1])
    for fd in range(3, 256):
        try:
            if os.path.samestat(file, os.fstat(fd)):
                yield fd
        except OSError:
            pass

asyncio.run(enqueue("before"))
assert [*carried()]
child = os.fork()
if child == 0 and [*carried()]:
    os._exit(1)
asyncio.run(enqueue("parent" if child else "child"))
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(enqueue("parent"))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a table of words."""
    path = tmp_path / "words.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE words (word TEXT)")
    return path


@pytest.fixture
async def link(path: Path) -> AsyncIterator[AsyncSqliteLink]:
    """The link that awaits."""
    link = AsyncSqliteLink(path)
    yield link
    await link.close()


@pytest.fixture
def observer(path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection, which sees what was committed."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        yield connection


class Held:
    """A link whose thread is busy until it is let go, so that transactions gather behind it."""

    def __init__(self, link: AsyncSqliteLink) -> None:
        self._go = Event()
        self._begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(link.read(self._wait))

    def _wait(self, _: Tx) -> None:
        self._loop.call_soon_threadsafe(self._begun.set)
        self._go.wait()

    async def begun(self) -> None:
        """Return when the thread is busy."""
        await self._begun.wait()

    async def let_go(self) -> None:
        """Let what has gathered run."""
        # each of the calls has had its turn, and stands in the line
        await asyncio.sleep(0)
        self._go.set()
        await self._task


def words(connection: sqlite3.Connection) -> list[str]:
    """Return the words that were committed."""
    return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY rowid")]


class Saying:
    """A transaction that writes a word, and then may fail."""

    def __init__(self, word: str, error: Exception | None = None, undo: str | None = None) -> None:
        self.word = word
        self.error = error
        self.undo = undo
        self.runs = 0

    def __call__(self, tx: Tx) -> str:
        self.runs += 1
        tx.execute("INSERT INTO words VALUES (?)", (self.word,))
        if self.undo:
            tx.execute(self.undo)
        if self.error:
            raise self.error
        return self.word


async def said_together(link: AsyncSqliteLink, *sayings: Saying) -> list[object]:
    """Write words in one group; return answers and errors."""
    held = Held(link)
    await held.begun()
    calls = [asyncio.ensure_future(link.write(saying)) for saying in sayings]
    await held.let_go()
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_arrives_together_is_committed_together(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """Transactions that gathered behind one that ran share one commit, in their order."""
    seen: list[list[str]] = []

    class Looking(Saying):
        def __call__(self, tx: Tx) -> str:
            seen.append(words(observer))
            return super().__call__(tx)

    assert await said_together(link, *map(Looking, "abc")) == ["a", "b", "c"]
    assert seen == [[], [], []]
    assert words(observer) == ["a", "b", "c"]


async def test_one_that_fails_undoes_itself_alone(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """The error goes to its own caller, and the others of the group are committed."""
    error = ValueError("no")
    sayings = Saying("a"), Saying("b", error), Saying("c")
    assert await said_together(link, *sayings) == ["a", error, "c"]
    assert [saying.runs for saying in sayings] == [1, 1, 1]
    assert words(observer) == ["a", "c"]


async def test_one_that_undoes_the_whole_group_does_not_cost_the_others(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """Where SQLite rolled the whole transaction back, each is run again by itself."""
    error = ValueError("no")
    undoing = Saying("b", error, undo="ROLLBACK")
    answers = await said_together(link, Saying("a"), undoing, Saying("c"))
    assert answers == ["a", error, "c"]
    assert words(observer) == ["a", "c"]


async def test_a_lone_one_that_fails_leaves_nothing(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """A transaction that failed is undone, and the link serves on."""
    with pytest.raises(ValueError, match="no"):
        await link.write(Saying("a", ValueError("no")))
    assert await link.write(Saying("b")) == "b"
    assert words(observer) == ["b"]


async def test_who_went_away_before_the_turn_came_is_passed_over(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """A call that was cancelled while it stood in the line is not made at all."""
    held = Held(link)
    await held.begun()
    calls = [asyncio.ensure_future(link.write(Saying(word))) for word in "ab"]
    await asyncio.sleep(0)
    calls[0].cancel()
    await held.let_go()
    await asyncio.gather(*calls, return_exceptions=True)
    assert words(observer) == ["b"]


async def test_what_a_look_answers_is_the_answer(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """A look that has the answer spares the transaction; one that answers None does not."""
    assert await link.write(Saying("a"), lambda _: "enough") == "enough"
    assert await link.write(Saying("b"), lambda _: None) == "b"
    assert words(observer) == ["b"]


async def test_closing_waits_for_the_calls_in_flight(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """What stood in the line when the link was closed is done, and answered."""
    held = Held(link)
    await held.begun()
    call = asyncio.ensure_future(link.write(Saying("a")))
    await asyncio.sleep(0)
    closed = asyncio.ensure_future(link.close())
    await held.let_go()
    await closed
    assert await call == "a"
    assert words(observer) == ["a"]


async def test_opening_that_is_cancelled_does_not_wait_for_a_lock(tmp_path: Path) -> None:
    """A worker that is to stop leaves, whoever holds the lock, and may open the file later."""
    path = tmp_path / "queue.db"
    broker = SqliteBroker(AsyncSqliteLink(path, timeout=3_600))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE mine (n)")
        other.execute("BEGIN EXCLUSIVE")
        opening = asyncio.create_task(broker.open())
        await asyncio.sleep(0.05)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        other.execute("ROLLBACK")
        other.execute("DROP TABLE mine")
    await broker.open()
    assert await broker.count() == {}
    await broker.close()


async def test_a_closed_link_serves_again(link: AsyncSqliteLink) -> None:
    """A call after closing connects anew, with a thread of its own."""
    assert await link.write(Saying("a")) == "a"
    await link.close()
    assert await link.write(Saying("b")) == "b"


async def test_a_link_closed_twice_leaves_no_thread(link: AsyncSqliteLink) -> None:
    """Closing ends the thread, and closing again does nothing."""
    before = set(threading.enumerate())
    await link.write(Saying("a"))
    (thread,) = set(threading.enumerate()) - before
    await link.close()
    await link.close()
    thread.join(timeout=30)
    assert not thread.is_alive()


async def test_a_link_serves_several_event_loops(
    link: AsyncSqliteLink, observer: sqlite3.Connection
) -> None:
    """Loops in other threads get their own answers."""

    def elsewhere(word: str) -> str:
        return asyncio.run(link.write(Saying(word)))

    answers = await asyncio.gather(*(asyncio.to_thread(elsewhere, word) for word in "abcd"))
    assert answers == ["a", "b", "c", "d"]
    assert sorted(words(observer)) == ["a", "b", "c", "d"]


def test_a_blocking_link_is_undone_by_an_interrupt(
    path: Path, observer: sqlite3.Connection
) -> None:
    """Ctrl-C in the middle of a transaction leaves nothing of it, and no lock."""

    def interrupted(tx: Tx) -> None:
        Saying("a")(tx)
        raise KeyboardInterrupt

    link = BlockingSqliteLink(path)
    with pytest.raises(KeyboardInterrupt):
        run_inline(link.write(interrupted))
    assert run_inline(link.write(Saying("b"))) == "b"
    assert words(observer) == ["b"]
    run_inline(link.close())


def test_the_link_of_a_blocking_broker_is_its_own(tmp_path: Path) -> None:
    """Closing the blocking broker leaves the other open, and the two share the file."""
    broker = SqliteBroker(AsyncSqliteLink(tmp_path / "qcore.db"))

    async def both() -> None:
        await broker.enqueue([a_task()], now=NOW)
        run_inline(broker.blocking().enqueue([a_task()], now=NOW))
        run_inline(broker.blocking().close())
        assert await broker.count() == {"default": {State.PENDING: 2}}
        await broker.close()

    asyncio.run(both())


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_fork_leaves_both_with_a_link_that_works(tmp_path: Path) -> None:
    """Parent and child both go on with links that were in use before the fork, undamaged."""
    path = tmp_path / "qcore.db"
    script = [sys.executable, "-W", "ignore", "-c", FORKED, path]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    broker = SqliteBroker(BlockingSqliteLink(path))
    counts = run_inline(broker.count())
    assert {queue: states[State.PENDING] for queue, states in counts.items()} == {
        "before": 2,
        "child": 2,
        "parent": 4,
    }
    run_inline(broker.close())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
def test_a_deleted_file_is_not_written_to(tmp_path: Path) -> None:
    """The next call makes the file anew, and says once that the old one is gone."""
    path = tmp_path / "qcore.db"
    brokers = [SqliteBroker(BlockingSqliteLink(path)) for _ in range(2)]
    for broker in brokers:
        run_inline(broker.enqueue([a_task()], now=NOW))
    for file in tmp_path.iterdir():
        file.unlink()
    with capture_logs() as logs:
        for broker in brokers:
            run_inline(broker.enqueue([a_task()], now=NOW))
    assert logs == [
        {"event": "the database file was replaced", "log_level": "warning", "path": str(path)}
    ]
    for broker in brokers:
        run_inline(broker.close())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM qcore_tasks").fetchone() == (2,)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
def test_letting_go_of_a_deleted_file_costs_the_next_one_nothing(tmp_path: Path) -> None:
    """To close a connection to the old file leaves the log of the new one, which has its name."""
    path = tmp_path / "qcore.db"
    old, new = (SqliteBroker(BlockingSqliteLink(path)) for _ in range(2))
    run_inline(old.enqueue([a_task()], now=NOW))
    for file in tmp_path.iterdir():
        file.unlink()
    run_inline(new.enqueue([a_task()], now=NOW))
    log = path.with_name("qcore.db-wal").stat()
    run_inline(old.enqueue([a_task()], now=NOW))
    assert path.with_name("qcore.db-wal").stat().st_ino == log.st_ino
    assert run_inline(new.count()) == {"default": {State.PENDING: 2}}
    for broker in (old, new):
        run_inline(broker.close())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
def test_a_file_deleted_within_a_transaction_is_let_go_of_after_it(tmp_path: Path) -> None:
    """A transaction ends on the connection that it began on."""
    path = tmp_path / "qcore.db"
    link = BlockingSqliteLink(path)

    def act(tx: Tx) -> object:
        tx.execute("CREATE TABLE words (word TEXT)")
        path.unlink()
        return tx.execute("SELECT count(*) FROM words")

    with capture_logs() as logs:
        assert run_inline(link.write(act)) == [(0,)]
        assert logs == []
        with pytest.raises(BrokerUnusable, match="no such table: words"):
            run_inline(link.read(lambda tx: tx.execute("SELECT * FROM words")))
    assert len(logs) == 1
    run_inline(link.close())


async def test_a_sweep_beside_active_tasks_says_that_the_file_can_be_written(
    tmp_path: Path,
) -> None:
    """Their leases cannot be renewed while another program holds the lock; it must not hide that.

    Workers take an answer to say that others could renew. Nothing is written, which would wake the
    workers of other processes; and where nothing is active, nothing waits for the lock.
    """
    path = tmp_path / "queue.db"
    broker = SqliteBroker(AsyncSqliteLink(path, timeout=0))
    await broker.enqueue([a_task()], now=NOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await broker.sweep(["default"], 10, now=NOW) == Swept()
        other.execute("ROLLBACK")
        await broker.claim(a_demand(), now=NOW, until=NOW + 30)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerUnavailable):
            await broker.sweep(["default"], 10, now=NOW)
        other.execute("ROLLBACK")
        before = other.execute("PRAGMA data_version").fetchone()
        assert await broker.sweep(["default"], 10, now=NOW) == Swept()
        assert other.execute("PRAGMA data_version").fetchone() == before
    await broker.close()
