"""What SQLite keeps of runs beside the tasks, and how another process hears of it."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event as Flag

import pytest

from qcore.adapters.links.sqlite import AsyncSqliteLink, BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.adapters.sqlite.statements import statements
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Settled
from qcore.domain.audit import audit_record
from qcore.domain.lifecycle import IllegalMove
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import AttemptError, Details, DetailsSaved, DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import Claim, RetentionPolicy, Verdict
from qcore.domain.transitions import (
    Cancelled,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Rescheduled,
    RunNow,
    Succeeded,
    Transition,
)
from qcore.ports import Notification, TasksChanged
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

PATIENCE = 30.0
HALF = Progress(NOW, 0.5, "half of it")
MEGABYTE = bytes(range(256)) * 4096

CANCEL = """
import sys
from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.transitions import Cancelled
from qcore.testing.builders import NOW

broker = SqliteBroker(BlockingSqliteLink(sys.argv[1]))
run_inline(broker.execute("default", ["the-one"], Cancelled(), now=NOW))
"""


@pytest.fixture
def broker(path: Path) -> Iterator[SqliteBroker]:
    """A broker that blocks, which forgets at once what was archived or is dead."""
    broker = SqliteBroker(BlockingSqliteLink(path), keep=RetentionPolicy(count=0))
    run_inline(broker.open())
    yield broker
    run_inline(broker.close())


def a_claimed(broker: SqliteBroker, task: NewTask) -> Claim:
    """Enqueue and claim a task."""
    run_inline(broker.enqueue([task], now=NOW))
    return take(broker)


def take(broker: SqliteBroker) -> Claim:
    """Claim the one task there is."""
    (claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    return claim


def end(broker: SqliteBroker, claim: Claim, outcome: Transition) -> None:
    """End a lease that is good."""
    (answer,) = run_inline(broker.settle([Verdict(claim.lease, outcome)], now=NOW))
    assert isinstance(answer, Settled)


def a_noted(broker: SqliteBroker, task: NewTask, saved: bytes = b"so far") -> Claim:
    """Claim a task for the second time, with an error, progress and saved work behind it."""
    end(broker, a_claimed(broker, task), Failed("no", NOW, worker="w", traceback="there"))
    claim = take(broker)
    notes = [DetailsUpdate(claim.lease, HALF, saved)]
    assert list(run_inline(broker.save_details(notes))) == [DetailsSaved()]
    return claim


def details(broker: SqliteBroker, task: TaskId) -> Details | None:
    """Return what is kept of a task."""
    (found,) = run_inline(broker.details("default", [task]))
    return found


def run(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Run a statement as somebody in a shell would."""
    with closing(sqlite3.connect(path)) as shell, shell:
        return shell.execute(sql).fetchall()


def rows(path: Path) -> int:
    """Return of how many tasks anything is kept."""
    kept = run(path, "SELECT task FROM qcore_details")
    assert set(run(path, "SELECT task FROM qcore_audit")) <= set(kept)
    return len(kept)


def test_details_survive_the_process(broker: SqliteBroker, path: Path) -> None:
    """Who opens the file later finds all of them, a megabyte of saved work too."""
    claim = a_noted(broker, a_task(), MEGABYTE)
    run_inline(broker.close())
    later = SqliteBroker(BlockingSqliteLink(path))
    fault = AttemptError(NOW, 1, "no", "w", "there")
    assert details(later, claim.task.id) == Details((fault,), HALF, MEGABYTE)
    run_inline(later.close())


def test_a_plain_task_has_no_row_of_details(broker: SqliteBroker, path: Path) -> None:
    """Tasks that wait, run or succeed without a word cost nothing there."""
    end(broker, a_claimed(broker, a_task(retention=60)), Succeeded(b"1", "a/b"))
    run_inline(broker.enqueue([a_task()], now=NOW))
    take(broker)
    assert rows(path) == 0


def _succeeds(broker: SqliteBroker, claim: Claim) -> None:
    end(broker, claim, Succeeded())


def _is_deleted(broker: SqliteBroker, claim: Claim) -> None:
    end(broker, claim, Rejected("no"))
    run_inline(broker.execute("default", [claim.task.id], Deleted(), now=NOW))


def _is_trimmed(broker: SqliteBroker, claim: Claim) -> None:
    end(broker, claim, Exhausted("no"))
    assert run_inline(broker.sweep(["default"], 9, now=NOW)).trimmed == 1


def _is_replaced(broker: SqliteBroker, claim: Claim) -> None:
    end(broker, claim, Exhausted("no"))
    run_inline(broker.enqueue([a_task(id=claim.task.id)], now=NOW))


def _gives_way(broker: SqliteBroker, claim: Claim) -> None:
    end(broker, claim, Failed("no", NOW + 9))
    task = a_task(unique_key="k", on_duplicate="replace")
    run_inline(broker.enqueue([task], now=NOW))


@pytest.mark.parametrize(
    "way",
    [_succeeds, _is_deleted, _is_trimmed, _is_replaced, _gives_way],
    ids=lambda way: way.__name__.strip("_"),
)
def test_nothing_is_left_of_a_task_that_is_gone(
    broker: SqliteBroker, path: Path, way: Callable[[SqliteBroker, Claim], None]
) -> None:
    """However a task goes, its row of details goes in the same step; those of others stay."""
    other = a_noted(broker, a_task())
    claim = a_noted(broker, a_task(unique_key="k"))
    # as if an operator had touched both
    run(path, "INSERT INTO qcore_audit SELECT task, '[]' FROM qcore_details")
    assert rows(path) == 2
    way(broker, claim)
    assert rows(path) == 1
    assert run(path, "SELECT count(*) FROM qcore_audit") == [(1,)]
    found = details(broker, other.task.id)
    assert found is not None
    assert found.saved == b"so far"


def test_an_audit_trail_that_cannot_be_read_begins_anew(broker: SqliteBroker, path: Path) -> None:
    """Whatever somebody has written there by hand, the next command is recorded."""
    run_inline(broker.enqueue([task := a_task()], now=NOW))
    order = Rescheduled(NOW + 9, "ann", "why")
    for text in ("'nonsense'", "'[1]'", "x'ff00'", "7", "NULL"):
        run_inline(broker.execute("default", [task.id], order, now=NOW))
        run(path, f"UPDATE qcore_audit SET records = {text}")  # noqa: S608  (values of this test)
        assert details(broker, task.id) == Details()
        run_inline(broker.execute("default", [task.id], order, now=NOW))
        assert details(broker, task.id) == Details(audit=(audit_record(order, NOW),))


@pytest.mark.parametrize("name", ["claim", "enqueue", "transitions", "queues"])
def test_what_every_task_needs_reads_no_details(name: str) -> None:
    """No statement of the plain path names the table, whatever is in it."""
    assert not [sql for sql in statements(name).values() if "qcore_details" in sql]


def test_errors_of_an_older_version_are_read(broker: SqliteBroker, path: Path) -> None:
    """Theirs named no version of the application; a new one is added behind them."""
    claim = a_noted(broker, a_task())
    old = [{"at": NOW, "attempt": 1, "error": "no", "worker": "w", "traceback": None}]
    run(path, f"UPDATE qcore_details SET errors = '{json.dumps(old)}'")  # noqa: S608  (of this test)
    before = AttemptError(NOW, 1, "no", "w")
    assert details(broker, claim.task.id).errors == (before,)
    end(broker, claim, Failed("again", NOW, version="1.4"))
    after = AttemptError(NOW, 2, "again", version="1.4")
    assert details(broker, claim.task.id).errors[-2:] == (before, after)


@pytest.mark.parametrize("text", ["'nonsense'", "'[1]'", "x'ff00'", "7", "'[' || '['"])
def test_details_that_cannot_be_read_are_left_out(
    broker: SqliteBroker, path: Path, text: str
) -> None:
    """Whatever somebody has written there by hand, the task runs, and a new error is kept."""
    claim = a_noted(broker, a_task())
    run(path, f"UPDATE qcore_details SET errors = {text}, progress = {text}, saved = 'by hand'")  # noqa: S608  (values of this test)
    assert details(broker, claim.task.id) == Details(saved=b"by hand")
    end(broker, claim, Failed("once more", NOW))
    fault = AttemptError(NOW, 2, "once more")
    assert details(broker, claim.task.id) == Details((fault,), saved=b"by hand")
    assert take(broker).task.id == claim.task.id


def test_what_follows_is_in_the_callers_transaction(tmp_path: Path, path: Path) -> None:
    """A verdict and the tasks that follow it are committed or undone with the caller's rows."""
    with closing(sqlite3.connect(path)) as connection:
        mine = SqliteBroker(BorrowedSqliteLink(connection))
        run_inline(mine.enqueue([first := a_task()], now=NOW))
        connection.commit()
        claim = take(mine)
        connection.commit()
        for last in (connection.rollback, connection.commit):
            end(mine, claim, Succeeded(then=(a_task(id="then", queue="b"),)))
            assert run(path, "SELECT id FROM qcore_tasks") == [(first.id,)]
            last()
    assert run(path, "SELECT id FROM qcore_tasks") == [("then",)]


def test_a_batch_with_a_verdict_that_is_none_leaves_nothing(
    broker: SqliteBroker, path: Path
) -> None:
    """What follows the verdict before it is undone with it."""
    run_inline(broker.enqueue([a_task(), a_task()], now=NOW))
    one, two = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    follows = Verdict(one.lease, Succeeded(then=(a_task(queue="b"),)))
    with pytest.raises(IllegalMove):
        run_inline(broker.settle([follows, Verdict(two.lease, RunNow())], now=NOW))
    assert run_inline(broker.count()) == {"default": {State.ACTIVE: 2}}
    assert run(path, "SELECT name FROM qcore_queues") == [("default",)]


async def test_another_broker_of_this_process_is_followed_at_once(path: Path) -> None:
    """The subscriber has been told, with the id, when the call returns."""
    here, there = SqliteBroker(AsyncSqliteLink(path)), SqliteBroker(AsyncSqliteLink(path))
    told: list[Notification] = []
    ear = await here.subscribe(["default"], {TasksChanged}, told.append)
    await there.enqueue([a_task(id="the-one")], now=NOW)
    (claim,) = await there.claim(a_demand(), now=NOW, until=NOW + LEASE)
    told.clear()
    await there.save_details([DetailsUpdate(claim.lease, HALF)])
    assert TasksChanged("default", ["the-one"]) in told
    told.clear()
    await there.execute("default", ["the-one"], Cancelled(), now=NOW)
    assert TasksChanged("default", ["the-one"]) in told
    await ear.close()
    await there.close()
    await here.close()


@pytest.mark.system
async def test_what_another_process_ended_is_heard_of(path: Path) -> None:
    """Who follows is told that any task may have news, of each queue, and can read what."""
    broker = SqliteBroker(AsyncSqliteLink(path))
    await broker.enqueue([a_task(id="the-one")], now=NOW)
    flags = {"default": Flag(), "b": Flag()}

    def told(notification: Notification) -> None:
        assert isinstance(notification, TasksChanged)
        if not notification.ids:
            flags[notification.queue].set()

    ear = await broker.subscribe([*flags], {TasksChanged}, told)
    for flag in flags.values():
        flag.clear()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CANCEL, path)
    assert await child.wait() == 0
    assert all([await asyncio.to_thread(flag.wait, PATIENCE) for flag in flags.values()])
    (task,) = await broker.get("default", ["the-one"])
    assert task is not None
    assert task.state is State.DEAD
    await ear.close()
    await broker.close()
