"""Who gives an order, and why: tasks keep it, and instruments are told of it."""

import getpass
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from qcore import Context, InvalidOption, InvalidTask, Qcore, State
from qcore.adapters.memory import MemoryBroker
from qcore.app.client.auditing import default_operator
from qcore.app.client.inspector import Inspector
from qcore.domain.events import Event, Operated
from qcore.domain.transitions import Archived, Cancelled, RunNow
from qcore.queries import MoveProgress
from qcore.tasks import AuditRecord
from qcore.testing import ManualClock, a_task
from tests.app.kit import Lab

ANN = "ann@laptop"
Order = Callable[[Inspector, str], Awaitable[object]]


class Watched(Lab):
    """A queue that keeps what operators have done."""

    def __init__(self) -> None:
        self.told: list[Operated] = []
        super().__init__()
        self.instruments = (self.note,)
        self._wire()

    def note(self, event: Event) -> None:
        """Keep what an operator has done."""
        if isinstance(event, Operated):
            self.told.append(event)

    async def audit(self, task: str) -> tuple[AuditRecord, ...]:
        """Return the audit trail of a task that must be stored."""
        details = await self.inspector.details("default", task)
        assert details is not None
        return details.audit


@pytest.fixture
def lab() -> Watched:
    """Return a queue in memory."""
    return Watched()


ORDERS: list[tuple[str, Order]] = [
    ("run", lambda i, why: i.run_now("default", ["a"], by=ANN, reason=why)),
    ("archive", lambda i, why: i.archive("default", ["a"], by=ANN, reason=why)),
    ("cancel", lambda i, why: i.cancel("default", ["a"], by=ANN, reason=why)),
    ("reschedule", lambda i, why: i.reschedule("default", ["a"], delay=9, by=ANN, reason=why)),
    ("update", lambda i, why: i.update("default", ["a"], priority=7, by=ANN, reason=why)),
    ("update", lambda i, why: i.update("default", ["a"], headers={"a": "b"}, by=ANN, reason=why)),
    ("run", lambda i, why: i.run_all(state=State.SCHEDULED, by=ANN, reason=why)),
    ("archive", lambda i, why: i.archive_all(state=State.SCHEDULED, by=ANN, reason=why)),
    ("cancel", lambda i, why: i.cancel_all(state=State.SCHEDULED, by=ANN, reason=why)),
    (
        "reschedule",
        lambda i, why: i.reschedule_all(delay=9, state=State.SCHEDULED, by=ANN, reason=why),
    ),
    (
        "update",
        lambda i, why: i.update_all({"priority": 7}, state=State.SCHEDULED, by=ANN, reason=why),
    ),
]


@pytest.mark.parametrize(("action", "order"), ORDERS)
async def test_each_order_is_kept_with_the_task_and_told(
    lab: Watched, action: str, order: Order
) -> None:
    """Whichever it is, for tasks by their ids or for all of a filter."""
    await lab.client.enqueue(a_task(id="a", due=lab.clock.now() + 60))
    await order(lab.inspector, "a customer waits")
    [record] = await lab.audit("a")
    assert (record.at, record.action, record.by) == (lab.clock.now(), action, ANN)
    assert record.reason == "a customer waits"
    [told] = lab.told
    assert told == Operated(
        lab.clock.now(), action, "default", ANN, "a customer waits", record.detail, ("a",)
    )


async def test_a_reason_of_what_ends_a_task_is_its_error_too(lab: Watched) -> None:
    """As it is shown in each list; without one it says what was done."""
    await lab.client.enqueue_many([a_task(id="a"), a_task(id="b"), a_task(id="c")])
    await lab.inspector.archive("default", ["a"], reason="closed\udcff")
    await lab.inspector.cancel("default", ["b"], reason="not wanted")
    await lab.inspector.cancel("default", ["c"])
    found = [await lab.inspector.get("default", task) for task in "abc"]
    assert [task and task.error for task in found] == ["closed\\udcff", "not wanted", "cancelled"]
    assert [(await lab.audit(task))[0].reason for task in "abc"] == [
        "closed\\udcff",
        "not wanted",
        None,
    ]


async def test_who_deletes_is_told_as_no_task_can_keep_it(lab: Watched) -> None:
    """With the ids of those that are gone, and of no other."""
    await lab.client.enqueue_many([a_task(id="a"), a_task(id="b")])
    await lab.inspector.delete("default", ["a", "nobody"], by=ANN, reason="a test")
    [told] = lab.told
    assert (told.action, told.tasks, told.reason) == ("delete", ("a",), "a test")
    await lab.inspector.delete("default", ["nobody"], by=ANN)
    assert len(lab.told) == 1


async def test_a_move_of_many_is_told_of_at_each_step(lab: Watched) -> None:
    """Up to 500 tasks at a time, each of which keeps it."""
    await lab.client.enqueue_many([a_task(id=f"{n}") for n in range(600)])
    moving = lab.inspector.move("state:pending", Archived("closed"), by=ANN, reason="it is over")
    assert [step.done async for step in moving][-1] == 600
    assert [len(each.tasks) for each in lab.told] == [500, 100]
    assert {(each.action, each.by, each.reason) for each in lab.told} == {
        ("archive", ANN, "it is over")
    }
    [record] = await lab.audit("599")
    assert (record.action, record.by, record.reason) == ("archive", ANN, "it is over")


async def test_a_move_may_say_itself_by_whom_it_is(lab: Watched) -> None:
    """As a command of the port does."""
    await lab.client.enqueue(a_task(id="a"))
    assert [s async for s in lab.inspector.move("state:pending", Cancelled("no", ANN))][-1].done
    assert await lab.audit("a") == (AuditRecord(lab.clock.now(), "cancel", ANN, "no"),)


async def test_options_of_all_tasks_of_a_query_are_changed(lab: Watched) -> None:
    """Each once, although one of another priority comes again on a later page."""
    tasks = [a_task(id=f"{n}", tags=("vip",) if n % 2 else ()) for n in range(1_200)]
    await lab.client.enqueue_many(tasks)
    preview = await lab.inspector.preview("state:pending tag:vip", {"priority": -3})
    assert (preview.count, preview.is_complete) == (600, True)
    moving = lab.inspector.move("state:pending tag:vip", {"priority": -3}, by=ANN)
    assert [step async for step in moving][-1].done == 600
    page = await lab.inspector.tasks("state:pending priority:-3", limit=1_000)
    assert {task.spec.tags for task in page.tasks} == {("vip",)}
    assert len(page.tasks) == 600
    again = lab.inspector.move("state:pending tag:vip", {"priority": -3})
    assert [step async for step in again][-1].done == 0


@pytest.mark.parametrize("changes", [{}, {"priority": "high"}, {"queue": "other"}, {"at": 1.0}])
async def test_changes_that_make_no_sense_are_refused(lab: Watched, changes: Any) -> None:
    """Before anything is moved."""
    await lab.client.enqueue(a_task(id="a"))
    with pytest.raises(InvalidTask):
        await lab.inspector.preview("state:pending", changes)
    with pytest.raises(InvalidTask):
        [_ async for _ in lab.inspector.move("state:pending", changes)]
    assert await lab.audit("a") == ()


async def test_queues_and_entries_are_told_of(lab: Watched) -> None:
    """What is done to them, by whom and why."""
    await lab.client.enqueue(a_task(id="a"))
    say: dict[str, Any] = {"by": ANN, "reason": "an outage"}
    await lab.inspector.pause("default", **say)
    await lab.inspector.resume("default", **say)
    await lab.inspector.limit_rate("default", "100/min", **say)
    await lab.inspector.limit_in_flight("default", None, **say)

    @lab.task("tick")
    async def tick(ctx: Context) -> None: ...

    await lab.entries.put(timedelta(hours=1), tick.call(), name="e", **say)
    await lab.entries.change("e", max_runs=3, **say)
    await lab.entries.pause("e", **say)
    await lab.entries.resume("e", **say)
    await lab.entries.run_now("e", **say)
    await lab.entries.remove("e", **say)
    assert not await lab.entries.remove("e", **say)
    await lab.inspector.remove_queue("default", force=True, **say)
    assert {(each.by, each.reason, each.queue) for each in lab.told} == {
        (ANN, "an outage", "default")
    }
    assert [(each.action, each.detail, each.entry) for each in lab.told] == [
        ("pause queue", "", None),
        ("resume queue", "", None),
        ("limit rate", "100 in 60 s", None),
        ("limit in flight", "none", None),
        ("write entry", "", "e"),
        ("change entry", "", "e"),
        ("pause entry", "", "e"),
        ("resume entry", "", "e"),
        ("run entry", "", "e"),
        ("remove entry", "", "e"),
        ("delete", "", None),
        ("remove queue", "", None),
    ]


async def test_who_does_not_say_so_is_the_user_at_this_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or whom the variable QCORE_BY names, or who was named once for all."""
    monkeypatch.delenv("QCORE_BY", raising=False)
    assert default_operator() == f"{getpass.getuser()}@{socket.gethostname()}"
    monkeypatch.setenv("QCORE_BY", "night shift")
    lab = Watched()
    await lab.client.enqueue(a_task(id="a"))
    await lab.inspector.run_all(state=State.PENDING)
    await lab.inspector.reschedule("default", ["a"], delay=9)
    assert [each.by for each in await lab.audit("a")] == ["night shift"]
    named = Inspector(lab.broker, clock=lab.clock, by="the dashboard")
    await named.run_now("default", ["a"])
    assert [each.by for each in await lab.audit("a")] == ["night shift", "the dashboard"]


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number."""
    monkeypatch.delenv("QCORE_BY", raising=False)

    def getuser() -> str:
        raise KeyError("uid not found: 1000")

    monkeypatch.setattr("qcore.app.client.auditing.getuser", getuser)
    assert default_operator().partition("@")[0].isdigit()


@pytest.mark.parametrize("said", [{"by": 7}, {"reason": b"why"}])
async def test_what_is_no_text_is_refused(lab: Watched, said: dict[str, Any]) -> None:
    """In one line, with nothing moved."""
    await lab.client.enqueue(a_task(id="a"))
    [what] = said
    with pytest.raises(InvalidOption, match=f"^{what} is .*: expected text$"):
        await lab.inspector.archive("default", ["a"], **said)
    with pytest.raises(InvalidOption, match=f"^{what} is .*: expected text$"):
        [_ async for _ in lab.inspector.move("state:pending", RunNow(), **said)]
    with pytest.raises(InvalidOption, match=f"^{what} is .*: expected text$"):
        await lab.inspector.pause("default", **said)
    with pytest.raises(InvalidOption, match=f"^{what} is .*: expected text$"):
        await lab.inspector.remove_queue("default", force=True, **said)
    with pytest.raises(InvalidOption, match=f"^{what} is .*: expected text$"):
        await lab.entries.remove("e", **said)
    assert await lab.inspector.totals() == {State.PENDING: 1}
    assert not (await lab.inspector.limits("default")).is_paused


def test_code_that_blocks_says_who_and_why(tmp_path: Path) -> None:
    """With the same options; what it does is told, too."""
    told: list[Event] = []
    q = Qcore(f"sqlite:///{tmp_path}/q.db", clock=ManualClock(), instruments=[told.append])
    q.blocking.enqueue(a_task(id="a"))
    steps = [*q.blocking_inspector.move("state:pending", {"priority": 2}, by=ANN, reason="why")]
    assert steps[-1] == MoveProgress(1, 0, 0, 1, is_finished=True)
    q.blocking_inspector.pause("default", by=ANN)
    details = q.blocking_inspector.details("default", "a")
    assert details is not None
    assert [(each.action, each.by, each.reason) for each in details.audit] == [
        ("update", ANN, "why")
    ]
    assert [each.action for each in told if isinstance(each, Operated)] == ["update", "pause queue"]
    q.blocking.close()


def test_a_queue_whose_instruments_do_not_want_it_is_told_nothing() -> None:
    """Then no event is made."""

    class Deaf:
        wants = frozenset[type]()

        def __call__(self, event: Event) -> None:
            raise AssertionError(event)

    q = Qcore(broker=MemoryBroker(), instruments=[Deaf()])
    q.blocking.enqueue(a_task(id="a"))
    q.blocking_inspector.pause("default", by=ANN)
    q.blocking_inspector.run_all(state=State.PENDING, by=ANN)
