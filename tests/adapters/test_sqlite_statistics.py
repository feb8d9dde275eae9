"""How SQLite keeps statistics: in rows whose number is bounded."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from qcore.adapters.links.sqlite import AsyncSqliteLink, Tx
from qcore.adapters.sqlite import SqliteBroker
from qcore.domain.answers import Settled
from qcore.domain.statistics import Resolution, merged
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.steps import a_claimed, put, take
from tests.adapters.test_sqlite_odd_values import ODD, edit

HOUR = 3_600
COLUMNS = ("queue", "seconds", "start", "name", "counts")


@pytest.fixture
async def broker() -> AsyncIterator[SqliteBroker]:
    """A broker of a database in memory."""
    broker = SqliteBroker(AsyncSqliteLink(":memory:"))
    yield broker
    await broker.close()


async def run_one(broker: SqliteBroker, now: float) -> None:
    """Complete a task."""
    claim = await a_claimed(broker, now=now)
    verdict = Verdict(claim.lease, Succeeded(), 1.0, 2.0)
    (answer,) = await broker.settle([verdict], now=now)
    assert isinstance(answer, Settled)


async def rows_of(broker: SqliteBroker) -> dict[int, int]:
    """Return the number of rows by the seconds of their periods."""

    def count(tx: Tx) -> dict[int, int]:
        return dict(tx.execute("SELECT seconds, count(*) FROM qcore_statistics GROUP BY seconds"))

    return await broker.link.read(count)


async def test_old_minutes_become_hours_then_days_and_old_days_go(broker: SqliteBroker) -> None:
    """However long a queue is used, and though nobody sweeps; and nothing is counted twice."""
    for n in range(700):
        await run_one(broker, NOW + n * 30)
    rows = await rows_of(broker)
    assert rows[60] <= Resolution.MINUTE.periods + 1
    assert rows[3_600] == 3
    assert 86_400 not in rows
    for n in range(1, 101):
        await run_one(broker, NOW + n * 86_400)
    rows = await rows_of(broker)
    assert rows[60] == 1
    assert rows[3_600] <= 2
    assert rows[86_400] <= Resolution.DAY.periods + 1
    found = await broker.statistics(
        None, since=0, until=NOW + 100 * 86_400 + 1, resolution=Resolution.DAY
    )
    # of the first days, which ended more than 90 days ago, there is nothing
    assert merged(row.statistics for row in found).succeeded == Resolution.DAY.periods + 1


async def test_a_file_that_knew_no_hours_is_read_as_before(broker: SqliteBroker) -> None:
    """Its old minutes are in their days already: these go on, and hours begin with the minutes."""
    for n in range(5):
        await run_one(broker, NOW + n * HOUR)
    await edit(
        broker,
        # as it was written before: minutes that are too old were added to their days at once
        "UPDATE qcore_statistics SET seconds = 86400, start = start / 86400 * 86400 "
        "WHERE seconds = 3600",
    )
    before = await rows_of(broker)
    assert before == {60: 4, 86_400: 1}
    ask = partial(broker.statistics, None, since=NOW, resolution=Resolution.DAY)
    days = await ask(until=NOW + 4 * HOUR + 1)
    assert merged(row.statistics for row in days).succeeded == 5
    for n in (10, 30):
        await run_one(broker, NOW + n * HOUR)
    days = await ask(until=NOW + 30 * HOUR + 1)
    assert merged(row.statistics for row in days).succeeded == 7
    hours = await ask(until=NOW + 30 * HOUR + 1, resolution=Resolution.HOUR)
    assert merged(row.statistics for row in hours).succeeded == 6
    await run_one(broker, NOW + 90 * HOUR)
    days = await ask(until=NOW + 90 * HOUR + 1)
    assert merged(row.statistics for row in days).succeeded == 8


async def test_a_read_changes_nothing(broker: SqliteBroker) -> None:
    """Minutes that are yet to become a day count for it, however often they are read."""
    for n in range(5):
        await run_one(broker, NOW + n * HOUR)
    for _ in range(2):
        rows = await broker.statistics(
            ["default"], since=NOW, until=NOW + 4 * HOUR + 1, resolution=Resolution.DAY
        )
        assert merged(row.statistics for row in rows).succeeded == 5


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("column", COLUMNS)
async def test_odd_rows_keep_no_task_from_ending(
    broker: SqliteBroker, column: str, value: str
) -> None:
    """What somebody has made of the statistics is read as far as it can be."""
    for now in (NOW - 5 * HOUR, NOW - 60, NOW):
        await run_one(broker, now)
    await edit(broker, f"UPDATE OR IGNORE qcore_statistics SET {column} = {value}")  # noqa: S608
    for now in (NOW, NOW + 60, NOW + 9 * HOUR):
        await run_one(broker, now)
        for resolution in Resolution:
            rows = await broker.statistics(
                None, since=NOW - 9 * HOUR, until=now + 60, resolution=resolution
            )
            assert merged(row.statistics for row in rows).succeeded >= 1


async def test_what_is_rolled_back_is_not_counted(broker: SqliteBroker) -> None:
    """Verdicts and statistics are one transaction: a table that is gone takes back both."""
    await put(broker, a_task())
    (claim,) = await take(broker, 1)
    await edit(broker, "ALTER TABLE qcore_statistics RENAME TO elsewhere")
    with pytest.raises(Exception, match="qcore_statistics"):
        await broker.settle([Verdict(claim.lease, Succeeded())], now=NOW)
    await edit(broker, "ALTER TABLE elsewhere RENAME TO qcore_statistics")
    assert await broker.extend([claim.lease], until=NOW + LEASE) == [claim.lease]
    await broker.settle([Verdict(claim.lease, Succeeded())], now=NOW)
    assert await rows_of(broker) == {60: 1}
