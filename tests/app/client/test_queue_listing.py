"""The queues, page by page: sizes by state, how long the first task has waited, limits."""

from typing import Any

import pytest

from qcore import InvalidOption, InvalidTask, State
from qcore.domain.queue_limits import Limits
from qcore.testing import a_task
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def test_a_queue_is_shown_with_its_sizes_and_its_limits(lab: Lab) -> None:
    """States without tasks too; whether it is paused."""
    now = lab.clock.now()
    await lab.client.enqueue_many([a_task(), a_task(due=now + 60)])
    await lab.inspector.pause("default")
    lab.manual.advance(30)
    [queue] = (await lab.inspector.queues()).queues
    assert queue.name == "default"
    assert len(queue.sizes) == len(State) - 1
    assert {state: n for state, n in queue.sizes.items() if n} == {
        State.PENDING: 1,
        State.SCHEDULED: 1,
    }
    assert queue.is_paused
    assert queue.waited == 30


async def test_a_task_that_is_due_waits_though_nobody_makes_it_pending(lab: Lab) -> None:
    """As in a queue without workers; one that is due later does not wait."""
    await lab.client.enqueue(a_task(due=lab.clock.now() + 60))
    assert (await lab.inspector.queues()).queues[0].waited is None
    lab.manual.advance(100)
    assert (await lab.inspector.queues()).queues[0].waited == 40


async def test_a_task_behind_others_of_a_higher_priority_has_waited_longest(lab: Lab) -> None:
    """Though these were enqueued long after it, and go first."""
    await lab.client.enqueue(a_task(priority=-1))
    lab.manual.advance(30)
    await lab.client.enqueue_many([a_task(), a_task(priority=9)])
    lab.manual.advance(10)
    assert (await lab.inspector.queues()).queues[0].waited == 40


async def test_thousands_of_queues_come_in_pages(lab: Lab) -> None:
    """In the order of their names, each once."""
    names = [f"q{i:04}" for i in range(250)]
    await lab.client.enqueue_many([a_task(queue=name) for name in names])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await lab.inspector.queues(limit=100, cursor=cursor)
        seen += [queue.name for queue in page.queues]
        assert len(page.queues) <= 100
        if (cursor := page.cursor) is None:
            break
    assert seen == names


async def test_a_queue_that_a_worker_serves_is_there_though_it_is_empty(lab: Lab) -> None:
    """With zeros, so that it can be seen and paused."""

    @lab.task("any", queue="idle")
    async def any_task(_: Any) -> None: ...

    async with lab.working(queues=["idle"]):
        [queue] = (await lab.inspector.queues()).queues
    assert (queue.name, {*queue.sizes.values()}, queue.waited) == ("idle", {0}, None)


@pytest.mark.parametrize("wrong", [0, -1, "9", True])
async def test_a_limit_that_is_none_is_refused(lab: Lab, wrong: Any) -> None:
    """In one line."""
    with pytest.raises(InvalidOption, match=rf"^limit is {wrong!r}: expected a whole number"):
        await lab.inspector.queues(limit=wrong)


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 129, '["mail", "group"]', 5, b"mail"])
async def test_a_cursor_that_is_none_is_refused(lab: Lab, wrong: Any) -> None:
    """As that of a page of groups is: it is no queue's name."""
    with pytest.raises(InvalidOption, match=r"^cursor is "):
        await lab.inspector.queues(cursor=wrong)


@pytest.mark.parametrize("wrong", ["", "a b", "a{b", "x" * 129, "\n"])
async def test_no_limit_is_set_for_what_can_be_no_queue(lab: Lab, wrong: str) -> None:
    """Its name is refused as that of a task's queue is, and nothing is kept of it."""
    orders = (
        lab.inspector.pause(wrong),
        lab.inspector.limit_rate(wrong, "1/s"),
        lab.inspector.limit_in_flight(wrong, 1),
    )
    for order in orders:
        with pytest.raises(InvalidTask, match=r"^queue is "):
            await order
    assert await lab.inspector.limits(wrong) == Limits()


async def test_a_query_selects_queues_by_their_names(lab: Lab) -> None:
    """With patterns and exceptions, also over several pages; the counts are of all queues."""
    for name in ("mail", "mail-eu", "sms", "images"):
        await lab.client.enqueue_many([a_task(queue=name)])
    page = await lab.inspector.queues("queue:mail*,sms -queue:mail-*", limit=1)
    assert ([queue.name for queue in page.queues], page.cursor) == (["mail"], "mail")
    assert {*page.counts} == {"mail", "mail-eu", "sms", "images"}
    page = await lab.inspector.queues("queue:mail*,sms -queue:mail-*", cursor=page.cursor)
    assert ([queue.name for queue in page.queues], page.cursor) == (["sms"], None)


async def test_a_query_of_queues_that_asks_for_tasks_is_refused(lab: Lab) -> None:
    """It would be passed over in silence."""
    with pytest.raises(InvalidOption, match=r"the query of queues has state:…: expected only"):
        await lab.inspector.queues("state:dead")
