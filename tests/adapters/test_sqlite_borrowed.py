import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from qcore.adapters.links.sqlite import AsyncSqliteLink, BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Settled
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.domain.lifecycle import IllegalMove
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import RunNow, Succeeded
from qcore.ports import Capability, LeaseEnded, Notification, WorkAvailable
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

PATIENCE = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An application's own database."""
    return tmp_path / "app.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """An application's connection, with a table and a taste of its own."""
    with closing(sqlite3.connect(path, timeout=0.02)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.commit()
        yield connection


@pytest.fixture
def broker(connection: sqlite3.Connection) -> SqliteBroker:
    """A broker in the application's transactions."""
    return SqliteBroker(BorrowedSqliteLink(connection))


def stored(path: Path) -> tuple[int, int]:
    """Return how many users and tasks another connection sees."""
    with closing(sqlite3.connect(path)) as other:
        (users,) = other.execute("SELECT count(*) FROM users").fetchone()
        made = other.execute("PRAGMA table_info(qcore_tasks)").fetchall()
        tasks = other.execute("SELECT count(*) FROM qcore_tasks").fetchone()[0] if made else 0
        return users, tasks


def test_a_task_is_committed_with_the_callers_rows(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """Nobody sees the task before the caller commits, and then a worker can claim it."""
    connection.execute("INSERT INTO users VALUES ('ann')")
    run_inline(broker.enqueue([task := a_task()], now=NOW))
    assert stored(path) == (0, 0)
    connection.commit()
    assert stored(path) == (1, 1)
    worker = SqliteBroker(BlockingSqliteLink(path))
    (claim,) = run_inline(worker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    assert claim.task.spec == task
    run_inline(worker.close())


def test_a_task_is_rolled_back_with_the_callers_rows(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """What the caller undoes was never enqueued, also when it undid our tables with it."""
    for _ in range(2):
        connection.execute("INSERT INTO users VALUES ('ann')")
        run_inline(broker.enqueue([a_task()], now=NOW))
        connection.rollback()
    assert stored(path) == (0, 0)
    run_inline(broker.enqueue([a_task()], now=NOW))
    connection.commit()
    assert stored(path) == (0, 1)


def test_a_transaction_begins_if_there_is_none(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """The first enqueue begins the caller's transaction, and does not commit it."""
    run_inline(broker.enqueue([a_task()], now=NOW))
    assert connection.in_transaction
    assert stored(path) == (0, 0)


def test_a_call_that_fails_leaves_the_callers_rows(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """What a call wrote before it failed is undone, and what the caller wrote is not."""
    run_inline(broker.enqueue([a_task(), a_task()], now=NOW))
    one, two = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    connection.execute("INSERT INTO users VALUES ('ann')")
    verdicts = [Verdict(one.lease, RunNow()), Verdict(two.lease, RunNow())]
    with pytest.raises(IllegalMove):
        run_inline(broker.settle(verdicts, now=NOW))
    assert run_inline(broker.count()) == {"default": {State.ACTIVE: 2}}
    connection.commit()
    assert stored(path) == (1, 2)


def test_the_callers_rows_keep_their_shape(
    broker: SqliteBroker, connection: sqlite3.Connection
) -> None:
    """A row factory is the caller's, before and after."""
    connection.execute("INSERT INTO users VALUES ('ann')")
    run_inline(broker.enqueue([a_task()], now=NOW))
    assert connection.execute("SELECT name FROM users").fetchone()["name"] == "ann"


def test_a_connection_with_other_text_is_refused(connection: sqlite3.Connection) -> None:
    """A connection that reads text as bytes would corrupt what it stores."""
    connection.text_factory = bytes
    with pytest.raises(BrokerUnusable, match="text_factory"):
        BorrowedSqliteLink(connection)


def test_a_lock_is_mapped_as_everywhere(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """Another process's lock is a broker that is not available now."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerUnavailable, match=r"app\.db"):
            run_inline(broker.enqueue([a_task()], now=NOW))
    run_inline(broker.enqueue([a_task()], now=NOW))


def test_a_call_that_fails_leaves_no_transaction_open(
    broker: SqliteBroker, connection: sqlite3.Connection
) -> None:
    """One that was begun for the call alone would keep its lock, and its owner knows of none."""
    run_inline(broker.enqueue([a_task()], now=NOW))
    (claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    connection.commit()
    with pytest.raises(IllegalMove):
        run_inline(broker.settle([Verdict(claim.lease, RunNow())], now=NOW))
    assert not connection.in_transaction


def test_to_ask_leaves_no_transaction_open(
    broker: SqliteBroker, connection: sqlite3.Connection
) -> None:
    """Whoever only looks at a task does not keep a worker from writing; the tables may be new."""
    assert run_inline(broker.count()) == {}
    assert not connection.in_transaction
    connection.execute("INSERT INTO users VALUES ('ann')")
    assert run_inline(broker.count()) == {}
    assert connection.in_transaction


def test_a_transaction_that_has_read_too_early_is_named(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """SQLite says "locked" of that, too; but to wait does not help."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM users").fetchall()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("INSERT INTO users VALUES ('bob')")
    with pytest.raises(BrokerUnavailable, match=r"app\.db: the open transaction has read before"):
        run_inline(broker.enqueue([a_task()], now=NOW))


def test_a_connection_that_cannot_be_used_is_named_with_its_file(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """Closed, or another thread's: the driver's words, and whose connection it is."""
    with ThreadPoolExecutor(1) as threads:
        called = threads.submit(run_inline, broker.enqueue([a_task()], now=NOW))
        with pytest.raises(BrokerUnusable, match=r"caller's connection to .*app\.db .*thread"):
            called.result()
    connection.close()
    with pytest.raises(BrokerUnusable, match=r"connection to .*app\.db cannot be used: .*closed"):
        run_inline(broker.enqueue([a_task()], now=NOW))
    with pytest.raises(BrokerUnusable, match=r"to its database cannot be used: .*closed"):
        BorrowedSqliteLink(connection)


def test_what_is_no_connection_is_refused() -> None:
    """Wrappers have the driver's connection inside; the error says where."""
    wrapper: Any = object()
    with pytest.raises(InvalidOption, match=r"is a builtins.object: expected a sqlite3.Connection"):
        BorrowedSqliteLink(wrapper)


def test_a_connection_in_autocommit_needs_an_open_transaction(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """Its owner, as Django, commits nothing that was not begun, and so the lock would stay."""
    connection.isolation_level = None
    with pytest.raises(InvalidOption, match=r"app\.db is in autocommit mode and has no open trans"):
        run_inline(broker.enqueue([a_task()], now=NOW))
    assert not connection.in_transaction
    connection.execute("BEGIN")
    run_inline(broker.enqueue([a_task()], now=NOW))
    connection.execute("COMMIT")
    assert stored(path) == (0, 1)


def test_so_does_one_of_python_3_12(connection: sqlite3.Connection) -> None:
    """With `autocommit=True` its `commit` does nothing at all."""

    class Autocommitting:
        autocommit = True
        isolation_level = ""
        text_factory = str
        in_transaction = False
        cursor = connection.cursor
        execute = connection.execute

    mine: Any = Autocommitting()
    broker = SqliteBroker(BorrowedSqliteLink(mine))
    with pytest.raises(InvalidOption, match="has no open transaction"):
        run_inline(broker.enqueue([a_task()], now=NOW))


async def test_a_worker_serves_the_applications_database(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """Once the tables are in it, any link opens the database, and leaves its journal mode."""
    run_inline(broker.open())
    connection.commit()
    worker = SqliteBroker(AsyncSqliteLink(path))
    await worker.enqueue([a_task()], now=NOW)
    assert await worker.count() == {"default": {State.PENDING: 1}}
    await worker.close()
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


def test_it_is_as_lasting_as_its_connection(broker: SqliteBroker) -> None:
    """A connection to a file is durable and shared, one to memory neither."""
    lasting = {Capability.SHARED, Capability.DURABLE}
    assert broker.capabilities >= lasting
    assert broker.blocking() is broker
    with closing(sqlite3.connect(":memory:")) as fleeting:
        in_memory = SqliteBroker(BorrowedSqliteLink(fleeting))
        assert in_memory.capabilities == broker.capabilities - lasting


def test_what_others_write_is_not_looked_into_over_the_callers_connection(
    broker: SqliteBroker, connection: sqlite3.Connection, path: Path
) -> None:
    """It is another thread that hears of it; who listens is told that there is something."""
    run_inline(broker.enqueue([a_task()], now=NOW))
    (claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    connection.commit()
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    heard, lost = Event(), Event()

    def notify(notification: Notification) -> None:
        (heard if notification == WorkAvailable() else lost).set()

    ear = run_inline(broker.subscribe(["default"], {WorkAvailable, LeaseEnded}, notify))
    for _ in range(2):
        heard.clear()
        with closing(sqlite3.connect(path)) as other:
            other.execute("INSERT INTO users VALUES ('bob')")
            other.commit()
        assert heard.wait(PATIENCE)
    run_inline(ear.close())
    assert asked == []
    assert not lost.is_set()
    assert run_inline(broker.settle([Verdict(claim.lease, Succeeded())], now=NOW)) == [
        Settled(State.GONE)
    ]
