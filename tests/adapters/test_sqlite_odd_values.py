"""Whatever value stands in whatever column, its task ends or is shown, and its neighbours run."""

import sqlite3
from collections.abc import AsyncIterator

import pytest

from qcore.adapters.links.sqlite import AsyncSqliteLink, Tx
from qcore.adapters.sqlite import SqliteBroker, schema
from qcore.adapters.sqlite.row_validation import COLUMNS
from qcore.domain.answers import LeaseLost
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.queue_limits import NO_LIMITS, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.states import ENDED, State
from qcore.domain.task import Verdict, updated
from qcore.domain.transitions import Archived, Rescheduled, RunNow, Succeeded
from qcore.errors import BrokerUnusable
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.states import LATER, bring_to
from qcore.testing.contract.steps import browse_all, put, sweep_all, take

ODD = {
    "nothing": "NULL",
    "a word": "'zz'",
    "no word": "''",
    "bytes": "x'ff00'",
    "text that is not UTF-8": "CAST(x'ff' AS TEXT)",
    "the greatest integer": "9223372036854775807",
    "the least integer": "-9223372036854775808",
    "a large number": "1e300",
    "infinity": "9e999",
    "minus infinity": "-9e999",
}
STATES = [state for state in State if state is not State.GONE]
ROUNDS = 4
"""As many as a task may crash before it is dead, and one more."""


@pytest.fixture
async def broker() -> AsyncIterator[SqliteBroker]:
    """A broker of a database in memory."""
    broker = SqliteBroker(AsyncSqliteLink(":memory:"))
    yield broker
    await broker.close()


async def edit(broker: SqliteBroker, sql: str) -> bool:
    """Change the database as somebody with a shell would; return whether it let itself be."""

    def change(tx: Tx) -> bool:
        try:
            tx.execute(sql)
        except sqlite3.IntegrityError:
            return False
        return True

    return await broker.link.write(change)


async def all_done(broker: SqliteBroker) -> set[TaskId]:
    """Let workers and operators do all they do until nothing happens; return what has run."""
    done: set[TaskId] = set()
    for n in range(ROUNDS):
        now = LATER + n * 2 * LEASE
        await broker.next_due(["default"])
        for group in await broker.groups("default", 100):
            assert type(group.name) is str
            assert group.last - group.first >= 0
            members = [task.id for task in await broker.members("default", group.name, 100)]
            if members:
                one = NewTask("one", id=f"one-{n}")
                await broker.aggregate("default", group.name, members, one, now=now)
                done |= {*members}
        claims = await take(broker, now=now)
        leases = [claim.lease for claim in claims]
        await broker.extend(leases, until=now + LEASE)
        await broker.save_details(
            [DetailsUpdate(lease, progress=Progress(now, 0.5)) for lease in leases]
        )
        answers = await broker.settle([Verdict(lease, Succeeded()) for lease in leases], now=now)
        assert LeaseLost() not in answers
        done |= {lease.id for lease in leases}
        await sweep_all(broker, now=now + LEASE)
        await broker.count()
    return done


async def shown(broker: SqliteBroker) -> set[TaskId]:
    """Return what an operator finds, page by page."""
    return {task.id for state in STATES for task in await browse_all(broker, state, limit=1)}


async def wipe(broker: SqliteBroker) -> None:
    """Remove all there is."""
    for table in ("tasks", "queues", "details", "limits"):
        await edit(broker, f"DELETE FROM qcore_{table}")  # noqa: S608


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("state", STATES)
async def test_a_task_with_an_odd_value_is_alone_with_it(
    broker: SqliteBroker, state: State, value: str
) -> None:
    """It runs, or is dead with a reason, whichever column of its row it is."""
    victims = {
        column: (await bring_to(broker, state, a_task(unique_key=column))).id
        for column in [*COLUMNS, "holds"]
    }
    others = [(await bring_to(broker, state)).id for _ in range(3)]
    await put(broker, later := a_task())
    del victims["key"]
    for column, victim in [*victims.items()]:
        sql = f"UPDATE qcore_tasks SET {column} = {value} WHERE id = '{victim}'"  # noqa: S608
        if not await edit(broker, sql):
            del victims[column]
    await shown(broker)
    every = [*victims.values(), *others]
    await broker.get("default", every)
    await broker.details("default", every)
    done = await all_done(broker)
    assert later.id in done
    if state not in ENDED:
        assert {*others} <= done
        for column in victims.keys() - {"id", "state"}:
            await is_explained(broker, victims[column], done, column)
    for command in (updated(priority=3), Archived(), RunNow(), Rescheduled(NOW)):
        await broker.execute("default", every, command, now=NOW)


@pytest.mark.parametrize("other", ODD.values(), ids=ODD)
@pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.ACTIVE, State.RETRY])
async def test_a_task_with_two_odd_values_is_alone_with_them(
    broker: SqliteBroker, state: State, other: str
) -> None:
    """What is done to one that is dead for the one must bear the other."""
    pairs = [
        (a, b) for a in ("attempts", "headers") for b in ("holds", "group_name", "more", "error")
    ]
    victims = {
        f"{a} {b}": (await bring_to(broker, state, a_task(unique_key=a + b))).id for a, b in pairs
    }
    for (a, b), victim in zip(pairs, [*victims.values()], strict=True):
        sql = f"UPDATE qcore_tasks SET {a} = x'ff00', {b} = {other} WHERE id = '{victim}'"  # noqa: S608
        if not await edit(broker, sql):
            del victims[f"{a} {b}"]
    await put(broker, later := a_task())
    done = await all_done(broker)
    assert later.id in done
    for columns, victim in victims.items():
        await is_explained(broker, victim, done, columns)


async def is_explained(
    broker: SqliteBroker, victim: TaskId, done: set[TaskId], column: str
) -> None:
    """Fail unless a task has run, or is dead with a reason."""
    if victim not in done:
        (task,) = await broker.get("default", [victim])
        assert task is not None, column
        assert task.state is State.DEAD, column
        assert task.error, column


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_a_queue_with_an_odd_value_is_served(broker: SqliteBroker, value: str) -> None:
    """Its counters and numbers of tasks are made anew; another name is another queue's."""
    columns = ["name", "sequence", "token", *(str(state) for state in STATES)]
    for column in columns:
        await put(broker, one := a_task())
        if await edit(broker, f"UPDATE qcore_queues SET {column} = {value}"):  # noqa: S608
            assert all(type(name) is str for name in await broker.count())
            await put(broker, other := a_task())
            await put(broker, a_task(due=LATER), a_task(group="g"))
            done = await all_done(broker)
            assert other.id in done
            assert column == "name" or one.id in done
            counted = (await broker.count()).get("default", {})
            assert all(number > 0 for number in counted.values())
        await wipe(broker)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_an_odd_limit_limits_nothing(broker: SqliteBroker, value: str) -> None:
    """The queue is served, and its limits can be set again."""
    for column in ("count", "per", "full", "in_flight", "is_paused"):
        await broker.set_limit("default", SetRate(Rate(100, 1.0)), now=NOW)
        await broker.set_limit("default", SetInFlight(100), now=NOW)
        await put(broker, one := a_task())
        if await edit(broker, f"UPDATE qcore_limits SET {column} = {value}"):  # noqa: S608
            await broker.limits(["default"])
            assert one.id in await all_done(broker), column
        await broker.set_limit("default", SetInFlight(None), now=NOW)
        await broker.set_limit("default", SetPaused(is_paused=False), now=NOW)
        assert await broker.set_limit("default", SetRate(None), now=NOW) == NO_LIMITS
        await wipe(broker)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_odd_details_are_none(broker: SqliteBroker, value: str) -> None:
    """What a run has left is read as far as it can be."""
    for column in ("errors", "progress", "saved"):
        retried = await bring_to(broker, State.RETRY)
        sql = f"UPDATE qcore_details SET {column} = {value}"  # noqa: S608
        assert await edit(broker, sql)
        (details,) = await broker.details("default", [retried.id])
        assert details is not None
        assert retried.id in await all_done(broker)


def opened(tx: Tx) -> None:
    """Do what is done with a new connection, which is closed after an error."""
    try:
        schema.prepare(tx)
    except BrokerUnusable:
        tx.execute("ROLLBACK")
        raise


@pytest.mark.parametrize("value", [*ODD.values(), "4e0 - 0.5"], ids=[*ODD, "a fraction"])
async def test_an_odd_version_is_named(broker: SqliteBroker, value: str) -> None:
    """The table that says which schema it is has been spoiled: what to do is said."""
    await broker.open()
    await edit(broker, "CREATE TABLE spoilt (version)")
    await edit(broker, f"INSERT INTO spoilt VALUES ({value})")  # noqa: S608
    await edit(broker, "DROP TABLE qcore_meta")
    await edit(broker, "ALTER TABLE spoilt RENAME TO qcore_meta")
    with pytest.raises(BrokerUnusable, match=r"qcore_meta|schema version"):
        await broker.link.read(opened)
    for each in ("DELETE FROM qcore_meta", "INSERT INTO qcore_meta VALUES (3)"):
        await edit(broker, each)
    await put(broker, a_task())
