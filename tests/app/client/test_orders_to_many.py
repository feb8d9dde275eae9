"""Orders to all tasks of a kind, in steps that no store minds."""

from collections.abc import Sequence
from typing import Any

import pytest

from qcore import InvalidOption, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.lifecycle import Command
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.testing import a_task, some_tasks
from tests.app.kit import Lab


class Counting(MemoryBroker):
    """A broker that remembers how many tasks it was given an order for at once."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    async def execute(
        self, queue: str, ids: Sequence[TaskId], order: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        self.steps.append(len(ids))
        return await super().execute(queue, ids, order, now=now)


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab(Counting())


async def test_all_tasks_of_a_state_are_moved_in_bounded_steps(lab: Lab) -> None:
    """However many there are, no more than 500 at once; the answer says how many were moved."""
    await lab.client.enqueue_many(some_tasks(1_700))
    assert await lab.inspector.cancel_all(queue="default", state=State.PENDING) == 1_700
    assert isinstance(lab.broker, Counting)
    assert lab.broker.steps == [500, 500, 500, 200]
    assert await lab.inspector.counts() == {"default": {State.DEAD: 1_700}}
    assert await lab.inspector.delete_all(state=State.DEAD) == 1_700
    assert await lab.inspector.counts() == {}


async def test_orders_reach_all_queues_unless_one_is_named(lab: Lab) -> None:
    """What is in another queue stays as it is."""
    await lab.client.enqueue_many([a_task(queue=queue) for queue in "aab"])
    assert await lab.inspector.archive_all(queue="a", state=State.PENDING) == 2
    assert await lab.inspector.counts() == {
        "a": {State.ARCHIVED: 2},
        "b": {State.PENDING: 1},
    }
    await lab.client.enqueue_many([a_task(queue=queue) for queue in "ab"])
    assert await lab.inspector.delete_all(state=State.PENDING) == 3


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("mail", {"mail:welcome", "mail:news", "mailing"}),
        ("mail:", {"mail", "mailing"}),
        ("nothing", {"mail", "mail:welcome", "mail:news", "mailing"}),
    ],
)
async def test_a_name_says_which(lab: Lab, name: str, left: set[str]) -> None:
    """Exactly, or what it begins with if it ends in a colon, as handlers are found."""
    names = ["mail", "mail:welcome", "mail:news", "mailing"]
    await lab.client.enqueue_many([a_task(name=each) for each in names])
    await lab.inspector.delete_all(state=State.PENDING, name=name)
    page = await lab.inspector.browse("default", State.PENDING)
    assert {task.name for task in page.tasks} == left


async def test_an_age_says_which(lab: Lab) -> None:
    """What was enqueued so long ago, or longer."""
    for _ in range(3):
        await lab.client.enqueue(a_task(due=lab.clock.now() + 1_000))
        lab.manual.advance(10)
    assert await lab.inspector.run_all(state=State.SCHEDULED, older_than=20) == 2
    assert await lab.inspector.totals() == {State.PENDING: 2, State.SCHEDULED: 1}


async def test_what_may_not_be_moved_is_not_counted(lab: Lab) -> None:
    """Those that are done can be run again or deleted; they cannot be archived."""
    await lab.client.enqueue_many(some_tasks(3))
    await lab.inspector.cancel_all(state=State.PENDING)
    assert await lab.inspector.archive_all(state=State.DEAD) == 0
    assert await lab.inspector.run_all(state=State.DEAD) == 3


@pytest.mark.parametrize(
    "which", [{}, {"queue": "default"}, {"state": State.DEAD, "older": 5}], ids=str
)
async def test_orders_to_who_knows_what_are_refused(lab: Lab, which: dict[str, Any]) -> None:
    """A misspelt filter must not move everything."""
    await lab.client.enqueue(a_task())
    with pytest.raises(InvalidOption, match="expected state=…"):
        await lab.inspector.delete_all(**which)
    assert await lab.inspector.totals() == {State.PENDING: 1}
