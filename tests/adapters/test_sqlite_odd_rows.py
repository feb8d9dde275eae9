import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qcore.adapters.links.sqlite import BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Enqueued, Moved
from qcore.domain.states import State
from qcore.domain.task import Task, updated
from qcore.domain.transitions import Archived, Deleted, RunNow
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

Edit = Callable[[str], None]

READABLE = {
    "a payload stored as text": "payload = '{\"n\": 1}'",
    "a truncated payload": "payload = substr(payload, 1, 3)",
    "no content type": "content_type = ''",
    "no time at all": "timeout = 0",
    "an unknown curve": "backoff = 'nonsense'",
    "a name that is too long": "name = printf('%.*c', 999, 'x')",
    "a payload that is not UTF-8, stored as text": "payload = CAST(x'ff00' AS TEXT)",
}

UNREADABLE = {
    "truncated headers": ("headers = '{\"a'", "headers"),
    "headers that are a list": ("headers = '[1]'", "headers"),
    "headers that are not text": ("headers = '{\"a\": 1}'", "headers"),
    "headers nested too deep": ("headers = printf('%.*c', 200000, '[')", "headers"),
    "headers stored as bytes": ("headers = x'ff'", "headers"),
    "a name that is not UTF-8": ("name = CAST(x'ff' AS TEXT)", "name"),
    "a time in words": ("timeout = 'soon'", "timeout"),
    "an end in words": ("expires = 'soon'", "expires"),
    "a moment in words": ("created = 'then'", "created"),
    "an order in words": ("priority = 'first'", "priority"),
    "crashes in words": ("max_crashes = 'many'", "max_crashes"),
}


@pytest.fixture
def broker(path: Path) -> Iterator[SqliteBroker]:
    """A broker with five tasks, t0 to t4, each with a header."""
    broker = SqliteBroker(BlockingSqliteLink(path))
    tasks = [a_task(id=f"t{n}", headers={"a": "b"}) for n in range(5)]
    run_inline(broker.enqueue(tasks, now=NOW))
    yield broker
    run_inline(broker.close())


@pytest.fixture
def edit(path: Path) -> Edit:
    """Write to the file as somebody with a shell would."""

    def edit(sql: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(sql)

    return edit


def changed(values: str) -> str:
    """Return the statement that changes the row of the task t1."""
    return f"UPDATE qcore_tasks SET {values} WHERE id = 't1'"  # noqa: S608


def claimed(broker: SqliteBroker) -> list[str]:
    """Claim all there is; return the ids."""
    claims = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    return [claim.task.id for claim in claims]


def found(broker: SqliteBroker, name: str = "t1") -> Task:
    """Return a task that is stored."""
    (task,) = run_inline(broker.get("default", [name]))
    assert task is not None
    return task


@pytest.mark.parametrize("change", READABLE.values(), ids=READABLE)
def test_a_row_that_could_not_be_enqueued_is_claimed(
    broker: SqliteBroker, edit: Edit, change: str
) -> None:
    """A row is not held to the rules for new tasks: its worker will say what is wrong with it."""
    edit(changed(change))
    assert found(broker).state is State.PENDING
    assert claimed(broker) == ["t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(("written", "read"), [("'é'", "é".encode()), ("x'ff' || ''", b"\xff")])
def test_a_payload_stored_as_text_is_its_bytes(
    broker: SqliteBroker, edit: Edit, written: str, read: bytes
) -> None:
    """What an edit in a shell made text is read as the bytes it is stored in."""
    edit(changed(f"payload = {written}"))
    assert found(broker).spec.payload == read
    claims = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + LEASE))
    assert claims[1].task.spec.payload == read


@pytest.mark.parametrize(("change", "what"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_dies_alone(
    broker: SqliteBroker, edit: Edit, change: str, what: str
) -> None:
    """It is dead with the reason when its turn comes, and the others are claimed as usual."""
    edit(changed(change))
    assert found(broker).state is State.PENDING
    assert claimed(broker) == ["t0", "t2", "t3", "t4"]
    dead = found(broker)
    assert (dead.state, dead.finished) == (State.DEAD, NOW)
    assert (dead.error or "").startswith(f"the stored row cannot be read: {what} is ")
    assert len(dead.error or "") < 300
    page = run_inline(broker.browse("default", State.DEAD, 10))
    assert [task.id for task in page.tasks] == ["t1"]
    assert run_inline(broker.count()) == {"default": {State.ACTIVE: 4, State.DEAD: 1}}
    assert claimed(broker) == []


@pytest.mark.parametrize(("change", "what"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_can_be_moved(
    broker: SqliteBroker, edit: Edit, change: str, what: str
) -> None:
    """An operator may set it aside, have it run again (it dies again, unless mended) or delete."""
    edit(changed(change))
    ends: list[object] = []
    for order in (Archived(), RunNow(), Deleted()):
        ends += run_inline(broker.execute("default", ["t1"], order, now=NOW))
        if isinstance(order, RunNow):
            # its expiry is forgotten by that order
            assert ("t1" in claimed(broker)) == (what == "expires")
            edit("UPDATE qcore_queues SET dead = dead + active, active = 0")
            edit("UPDATE qcore_tasks SET state = 'dead' WHERE state = 'active'")
    assert ends == [Moved(State.ARCHIVED), Moved(State.PENDING), Moved(State.GONE)]


def test_a_row_that_waits_and_cannot_be_read_dies_when_due(
    broker: SqliteBroker, edit: Edit
) -> None:
    """It does not stop those that become due with it."""
    tasks = [a_task(id=f"later{n}", due=NOW + 1) for n in range(2)]
    run_inline(broker.enqueue(tasks, now=NOW))
    edit("UPDATE qcore_tasks SET priority = 'first', due = 'soon' WHERE id = 'later0'")
    claims = run_inline(broker.claim(a_demand(), now=NOW + 1, until=NOW + LEASE))
    assert [claim.task.id for claim in claims][-1] == "later1"
    assert found(broker, "later0").state is State.DEAD


def test_a_row_in_no_known_state_is_as_good_as_gone(broker: SqliteBroker, edit: Edit) -> None:
    """It is shown, the others are claimed, and a new task may take its place."""
    edit("UPDATE qcore_tasks SET state = 'paused' WHERE id = 't1'")
    assert found(broker).state is State.GONE
    assert claimed(broker) == ["t0", "t2", "t3", "t4"]
    answers = run_inline(broker.enqueue([a_task(id="t1")], now=NOW))
    assert answers == [Enqueued("t1", State.PENDING)]


def test_rows_deleted_by_hand_do_not_hold_up_a_claim(broker: SqliteBroker, edit: Edit) -> None:
    """A claim that finds fewer tasks than were counted takes what there is, and counts anew."""
    edit("DELETE FROM qcore_tasks WHERE id <> 't1'")
    assert claimed(broker) == ["t1"]
    assert run_inline(broker.count()) == {"default": {State.ACTIVE: 1}}


def test_a_row_that_is_not_utf8_is_read_over_a_borrowed_connection(
    broker: SqliteBroker, edit: Edit, path: Path
) -> None:
    """The owner's own connection reads text as before."""
    edit("UPDATE qcore_tasks SET name = CAST(x'ff' AS TEXT) WHERE id = 't1'")
    with closing(sqlite3.connect(path)) as connection:
        borrowed = SqliteBroker(BorrowedSqliteLink(connection))
        assert found(borrowed).spec.name == found(broker).spec.name == "\ufffd"
        assert connection.text_factory is str


def test_what_a_newer_qcore_wrote_is_passed_over(
    broker: SqliteBroker, edit: Edit, path: Path
) -> None:
    """A field of an unknown name does not hinder the others; it outlives a change of those."""
    edit(changed('more = \'{"colour":"red","unique_for":9.5}\''))
    assert found(broker).spec.unique_for == 9.5
    run_inline(broker.execute("default", ["t1"], updated(priority=-1), now=NOW))
    assert claimed(broker)[-1] == "t1"
    with closing(sqlite3.connect(path)) as connection:
        ((more,),) = connection.execute("SELECT more FROM qcore_tasks WHERE id = 't1'")
    assert more == '{"colour":"red","unique_for":9.5}'
