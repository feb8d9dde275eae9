"""Orders to all tasks of a kind, in steps that no store minds."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from qcore import InvalidOption, InvalidTask, Qcore, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.transitions import Command
from qcore.testing import a_task, some_tasks
from qcore.testing.builders import NOW
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


class TestSelection:
    """Which tasks an operator means: a misreading would move others."""

    async def test_a_state_may_be_given_as_its_text(self, lab: Lab) -> None:
        """As it is shown in logs and on the command line."""
        text: Any = "pending"
        await lab.client.enqueue_many(some_tasks(3))
        assert len((await lab.inspector.browse("default", text)).tasks) == 3
        assert await lab.inspector.reschedule_all(state=text, delay=60) == 3
        text = "scheduled"
        assert await lab.inspector.reschedule_all(state=text, delay=60) == 0
        assert await lab.inspector.update_all({"priority": 1}, state=text) == 3
        assert await lab.inspector.delete_all(state=text) == 3

    @pytest.mark.parametrize("wrong", ["pendng", "Pending", "", None, 3])
    @pytest.mark.parametrize(
        "order",
        ["browse", "run_all", "archive_all", "cancel_all", "delete_all", "reschedule_all"],
    )
    async def test_what_is_no_state_is_refused(self, lab: Lab, order: str, wrong: Any) -> None:
        """Not: there is nothing in that state."""
        given: dict[str, Any] = {"state": wrong}
        given |= {"queue": "default"} if order == "browse" else {}
        given |= {"delay": 60} if order == "reschedule_all" else {}
        with pytest.raises(InvalidOption, match=r"state is .*: expected one of 'scheduled'"):
            await getattr(lab.inspector, order)(**given)

    @pytest.mark.parametrize("order", ["run_now", "archive", "cancel", "delete", "reschedule"])
    @pytest.mark.parametrize("wrong", ["12", b"12", 12])
    async def test_a_single_id_is_refused(self, lab: Lab, order: str, wrong: Any) -> None:
        """The id "12" is not the two ids "1" and "2"."""
        await lab.client.enqueue_many([a_task(id=name, due=NOW + 9) for name in ("1", "2")])
        more = {"delay": 60} if order == "reschedule" else {}
        with pytest.raises(InvalidOption, match=r"tasks is b?'?12'?: expected several ids"):
            await getattr(lab.inspector, order)("default", wrong, **more)
        with pytest.raises(InvalidOption, match="tasks is 12"):
            await lab.inspector.update("default", 12, priority=1)  # type: ignore[arg-type]
        assert await lab.inspector.counts() == {"default": {State.SCHEDULED: 2}}

    async def test_what_is_no_id_is_refused(self, lab: Lab) -> None:
        """As a handle in the place of its id, which no task would have."""
        handle: Any = await lab.client.enqueue(a_task())
        for call in (
            lab.inspector.delete("default", [handle]),
            lab.inspector.get("default", [handle.id]),  # type: ignore[arg-type]
            lab.inspector.details("default", handle),
        ):
            with pytest.raises(InvalidOption, match=r"expected text, such as handle\.id"):
                await call

    @pytest.mark.parametrize("wrong", ["queue", "name"])
    async def test_several_queues_or_names_are_refused(self, lab: Lab, wrong: str) -> None:
        """A filter has one of each."""
        given: dict[str, Any] = {"state": State.DEAD, wrong: ["a", "b"]}
        with pytest.raises(InvalidOption, match=f"{wrong} is .*: expected the name of one {wrong}"):
            await lab.inspector.delete_all(**given)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"limit": -1},
            {"limit": 1.5},
            {"limit": "3"},
            {"limit": None},
            {"limit": True},
            {"cursor": 5},
            {"cursor": b"0 aa"},
            {"cursor": "\ud800"},
        ],
        ids=str,
    )
    async def test_what_is_no_page_is_refused(self, lab: Lab, wrong: dict[str, Any]) -> None:
        """Not with an error of the store, which would be another one on each broker."""
        [(what, value)] = wrong.items()
        with pytest.raises(InvalidOption, match=re.escape(f"{what} is {value!r}: expected")):
            await lab.inspector.browse("default", State.DEAD, **wrong)

    async def test_what_is_no_text_is_refused(self, lab: Lab) -> None:
        """A lone surrogate: some stores could not even be asked for it."""
        for call in (
            lab.inspector.get("default", "\ud800"),
            lab.inspector.delete("default", ["1", "\ud800"]),
            lab.inspector.limits("\ud800"),
            lab.inspector.remove_queue("\ud800"),
        ):
            with pytest.raises(InvalidOption, match=re.escape(r"is '\ud800': expected")):
                await call

    async def test_what_is_neither_true_nor_false_forces_nothing(self, lab: Lab) -> None:
        """As the text "no", which would be true."""
        await lab.client.enqueue(a_task())
        with pytest.raises(InvalidOption, match="force is 'no': expected True or False"):
            await lab.inspector.remove_queue("default", force="no")  # type: ignore[arg-type]
        assert await lab.inspector.counts() == {"default": {State.PENDING: 1}}


@pytest.mark.parametrize("wrong", [["a", "b"], b"a", None, 5])
async def test_what_is_no_queue_is_refused(lab: Lab, wrong: Any) -> None:
    """A verb for one queue takes one name, on every broker."""
    inspector, state = lab.inspector, State.DEAD
    for call in (
        inspector.get(wrong, "1"),
        inspector.details(wrong, "1"),
        inspector.browse(wrong, state),
        inspector.delete(wrong, ["1"]),
        inspector.update(wrong, ["1"], priority=1),
        inspector.pause(wrong),
        inspector.limits(wrong),
        inspector.remove_queue(wrong, force=True),
    ):
        with pytest.raises(InvalidOption, match=r"queue is .*: expected the name of one queue"):
            await call


@pytest.mark.parametrize("wrong", [a_task(), "task", b"task", {"a": 1}, 5])
async def test_a_single_request_to_enqueue_many_is_refused(lab: Lab, wrong: Any) -> None:
    """Nor is a text several requests."""
    for enqueue in (lab.client.enqueue_many, lab.blocking.enqueue_many):
        with pytest.raises(InvalidTask, match=r"expected several, as \[task\.call"):
            _ = await enqueue(wrong) if enqueue == lab.client.enqueue_many else enqueue(wrong)


@pytest.mark.parametrize("wrong", ["abc", b"abc", 5])
def test_a_single_queue_of_a_worker_is_refused(lab: Lab, wrong: Any) -> None:
    """The queue "abc" is not the three queues "a", "b" and "c"."""
    with pytest.raises(InvalidOption, match=r"queues is .*: expected \["):
        lab.worker(queues=wrong)


def test_a_single_instrument_is_refused() -> None:
    """It belongs into a list."""
    with pytest.raises(InvalidOption, match=r"instruments is .*: expected \["):
        Qcore("memory://", instruments=print)  # type: ignore[arg-type]
