"""Thousands of queues with a task or two each: what is looked at is bounded by reads, too."""

from qcore import Qcore
from qcore.app.client.task_listing import FEW_READS
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.transitions import RunNow
from qcore.testing import ManualClock
from qcore.testing.builders import NOW, a_stored_task, a_task

QUEUES = FEW_READS + 50


async def with_dead_tasks() -> Qcore:
    """Return a store with a dead task in each of many queues, and ten in the last one."""
    q = Qcore("memory://", clock=ManualClock(), instruments=[])
    await q.broker.open()
    names = [f"q{n:03}" for n in range(QUEUES)] + [f"q{QUEUES - 1:03}"] * 9
    dead = [a_stored_task(a_task(queue=name), state=State.DEAD, finished=NOW) for name in names]
    await q.broker.restore([TaskSnapshot(each) for each in dead], now=NOW)
    return q


async def test_a_preview_says_that_it_has_not_seen_all() -> None:
    """It counts what it has read until then."""
    q = await with_dead_tasks()
    preview = await q.inspector.preview("state:dead", RunNow())
    assert preview.is_complete
    assert preview.count == QUEUES + 9
    preview = await q.inspector.preview("state:dead", RunNow(), look=QUEUES + 9)
    assert not preview.is_complete
    assert preview.count == preview.looked == FEW_READS


async def test_a_preview_finds_what_is_behind_many_others() -> None:
    """It looks at each queue and state as far as at the others."""
    q = Qcore("memory://", clock=ManualClock(), instruments=[])
    await q.broker.open()
    many = [a_task(queue="a", name="many") for _ in range(300)]
    one = a_task(queue="b", name="one")
    dead = [a_stored_task(each, state=State.DEAD, finished=NOW) for each in (*many, one)]
    await q.broker.restore([TaskSnapshot(each) for each in dead], now=NOW)
    preview = await q.inspector.preview("state:dead name:one", RunNow(), look=100)
    assert (preview.count, preview.looked, preview.is_complete) == (1, 51, False)


async def test_pages_of_a_query_go_on_where_one_has_read_enough() -> None:
    """Each task is on one of them."""
    q = await with_dead_tasks()
    page = await q.inspector.tasks("state:dead", limit=500, look=500)
    assert len(page.tasks) == FEW_READS
    rest = await q.inspector.tasks("state:dead", limit=500, look=500, cursor=page.cursor)
    assert rest.cursor is None
    assert len({each.id for each in (*page.tasks, *rest.tasks)}) == QUEUES + 9


async def test_a_page_has_the_counts_that_were_read_for_it() -> None:
    """None where the query names its queues, as nothing is counted then."""
    q = await with_dead_tasks()
    assert (await q.inspector.tasks("state:dead")).counts == await q.inspector.counts()
    assert (await q.inspector.tasks("queue:q001")).counts is None


async def test_failures_are_looked_for_where_there_are_most() -> None:
    """The report says that others were not looked at."""
    q = await with_dead_tasks()
    report = await q.inspector.failures(look=1_000)
    assert report.looked == FEW_READS + 9
    assert not report.is_complete
