"""Many tasks are moved by a query: previewed, frozen, in steps that report and can be stopped."""

from collections.abc import Sequence
from typing import Any

import pytest

from qcore import InvalidOption, State
from qcore.adapters.memory import MemoryBroker
from qcore.answers import Missing, Moved, NotAllowed
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.transitions import Archived, Cancelled, Command, Deleted, Rescheduled, RunNow
from qcore.queries import MoveProgress
from qcore.testing import a_task
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def dead(lab: Lab, number: int, prefix: str = "", **options: Any) -> None:
    """Leave dead tasks in a queue."""
    tasks = [a_task(id=f"{prefix}{i}", **options) for i in range(number)]
    await lab.client.enqueue_many(tasks)
    await lab.inspector.cancel(tasks[0].queue, [task.id for task in tasks])


async def steps(lab: Lab, query: str, move: Any, **bounds: Any) -> list[MoveProgress]:
    """Move many, and return what was reported."""
    return [each async for each in lab.inspector.move(query, move, **bounds)]


async def test_a_preview_counts_and_shows_some_and_moves_nothing(lab: Lab) -> None:
    """Of the tasks that the order can move."""
    await dead(lab, 30, name="mail")
    await dead(lab, 5, "other-", name="sms")
    preview = await lab.inspector.preview("state:dead,pending name:mail", RunNow(), sample=3)
    assert (preview.count, preview.looked, preview.is_complete) == (30, 35, True)
    assert [task.name for task in preview.sample] == ["mail"] * 3
    assert await lab.inspector.totals() == {State.DEAD: 35}
    bounded = await lab.inspector.preview("state:dead", RunNow(), look=20)
    assert (bounded.count, bounded.looked, bounded.is_complete) == (20, 20, False)
    exact = await lab.inspector.preview("state:dead", RunNow(), look=35)
    assert (exact.count, exact.is_complete) == (35, True)


async def test_a_move_reports_after_each_step_and_says_when_all_is_done(lab: Lab) -> None:
    """However many there are, no more than 500 in one call."""
    await dead(lab, 1_200)
    seen = await steps(lab, "state:dead", RunNow())
    assert [each.done for each in seen] == [500, 1_000, 1_200, 1_200]
    assert seen[-1] == MoveProgress(1_200, 0, 0, 1_200, is_finished=True)
    assert await lab.inspector.totals() == {State.PENDING: 1_200}


async def test_what_came_after_the_preview_is_not_touched(lab: Lab) -> None:
    """Tasks enqueued later, and tasks that have ended later."""
    await dead(lab, 3)
    await lab.client.enqueue(a_task(id="alive"))
    preview = await lab.inspector.preview("state:dead", Deleted())
    lab.manual.advance(1)
    await lab.inspector.cancel("default", ["alive"])
    await dead(lab, 2, "later-")
    [*_, last] = await steps(lab, "state:dead", Deleted(), as_of=preview.as_of)
    assert last.done == preview.count == 3
    assert await lab.inspector.totals() == {State.DEAD: 3}


async def test_ages_are_those_of_the_preview(lab: Lab) -> None:
    """A task that has grown old enough since was not shown, and is not moved."""
    await dead(lab, 1)
    lab.manual.advance(100)
    await dead(lab, 1, "young-")
    preview = await lab.inspector.preview("state:dead created:>50s", Deleted())
    lab.manual.advance(100)
    [*_, last] = await steps(lab, "state:dead created:>50s", Deleted(), as_of=preview.as_of)
    assert (preview.count, last.done) == (1, 1)


async def test_a_limit_stops_a_move_and_the_next_goes_on(lab: Lab) -> None:
    """Ten first, and the rest when those went well."""
    await dead(lab, 25)
    first = await steps(lab, "state:dead", RunNow(), limit=10)
    assert (first[-1].done, first[-1].is_finished) == (10, False)
    rest = await steps(lab, "state:dead", RunNow())
    assert (rest[-1].done, rest[-1].is_finished) == (15, True)


async def test_a_pace_spreads_a_move_over_time(lab: Lab) -> None:
    """So many a second: a store or a service that has just come back is not flooded."""
    await dead(lab, 30)
    start = lab.clock.now()
    moving = lab.blocking_inspector.move("state:dead", RunNow(), pace=10)
    at = [(each.done, lab.clock.now() - start) for each in moving]
    assert at == [(10, 0), (20, 1), (30, 2), (30, 3)]


async def test_a_slow_pace_reports_each_second(lab: Lab) -> None:
    """So that it can be stopped then, and not only when its next task is due."""
    await dead(lab, 2)
    start = lab.clock.now()
    moving = lab.blocking_inspector.move("state:dead", RunNow(), pace=0.4)
    at = [(each.done, lab.clock.now() - start) for each in moving]
    assert at == [(1, 0), (1, 1), (1, 2), (2, 2.5), (2, 3.5), (2, 4.5), (2, 5)]


async def test_a_move_ends_when_nobody_asks_for_more(lab: Lab) -> None:
    """What was moved stays moved."""
    await dead(lab, 1_200)
    moving = lab.inspector.move("state:dead", RunNow())
    await anext(moving)
    await moving.aclose()
    assert await lab.inspector.totals() == {State.PENDING: 500, State.DEAD: 700}


class Racing(MemoryBroker):
    """A broker in which somebody deletes a task just before an order for it is carried out."""

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if isinstance(command, RunNow):
            await super().execute(queue, [ids[0]], Deleted(), now=now)
            await super().execute(queue, [ids[1]], RunNow(), now=now)
        return await super().execute(queue, ids, command, now=now)


async def test_what_is_no_longer_as_it_was_found_is_skipped_and_counted() -> None:
    """The store checks each task's state again."""
    lab = Lab(Racing())
    await dead(lab, 5)
    [*_, last] = await steps(lab, "state:dead", RunNow())
    assert (last.done, last.skipped) == (3, 2)


class Refusing(MemoryBroker):
    """A broker whose store does not take an order."""

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if queue == "broken":
            raise BrokerRefused("too large")
        return await super().execute(queue, ids, command, now=now)


async def test_what_the_store_refuses_is_counted_and_the_rest_goes_on() -> None:
    """As one queue of several may be full."""
    lab = Lab(Refusing())
    await lab.client.enqueue_many([a_task(queue=queue) for queue in ("broken", "well", "well")])
    [*_, last] = await steps(lab, "state:pending", Archived("closed"))
    assert (last.done, last.failed, last.is_finished) == (2, 1, True)


@pytest.mark.parametrize(
    ("move", "state"),
    [
        (Archived("by Ann: closed"), State.ARCHIVED),
        (Cancelled("by Ann: closed"), State.DEAD),
    ],
)
async def test_a_reason_is_kept_on_the_task(lab: Lab, move: Any, state: State) -> None:
    """Who looks at it later sees why it is there."""
    await lab.client.enqueue_many([a_task(id="a"), a_task(id="b")])
    await steps(lab, "state:pending", move)
    page = await lab.inspector.browse("default", state)
    assert [task.error for task in page.tasks] == ["by Ann: closed"] * 2


async def test_a_task_that_stays_in_its_state_is_moved_once(lab: Lab) -> None:
    """Tasks that are due later come again on later pages, and are not counted again."""
    due = lab.clock.now() + 10
    await lab.client.enqueue_many([a_task(id=f"{i}", due=due + i) for i in range(600)])
    [*_, last] = await steps(lab, "state:scheduled", Rescheduled(due + 5_000))
    assert (last.done, last.skipped) == (600, 0)


@pytest.mark.parametrize("query", ["", "name:mail", "-state:dead"])
async def test_a_query_for_many_names_its_states(lab: Lab, query: str) -> None:
    """Else completed tasks would run again, when somebody meant those that failed."""
    with pytest.raises(InvalidOption, match="expected one that names states"):
        await lab.inspector.preview(query, RunNow())
    with pytest.raises(InvalidOption, match="expected one that names states"):
        await steps(lab, query, RunNow())


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"limit": 0}, "limit is 0: expected a whole number from 1"),
        ({"pace": 0}, "pace is 0: expected more than 0 tasks a second"),
        ({"pace": "fast"}, "pace is 'fast': expected more than 0"),
        ({"as_of": "now"}, "as_of is 'now': expected"),
    ],
)
async def test_a_bound_that_makes_no_sense_is_refused(
    lab: Lab, bounds: dict[str, Any], said: str
) -> None:
    """In one line, before anything is moved."""
    await dead(lab, 2)
    with pytest.raises(InvalidOption, match=f"^{said}"):
        await steps(lab, "state:dead", Deleted(), **bounds)
    assert await lab.inspector.totals() == {State.DEAD: 2}


async def test_what_is_no_move_is_refused(lab: Lab) -> None:
    """A text is none: it might be misread."""
    wrong: Any = "delete"
    with pytest.raises(InvalidOption, match=r"^the move is 'delete': expected RunNow\(\)"):
        await lab.inspector.preview("state:dead", wrong)
