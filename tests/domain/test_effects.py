from typing import Final

import pytest
from attrs import define, field

from qcore.domain.effects import apply
from qcore.domain.lifecycle import IllegalMove
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.transitions import (
    Cancelled,
    Crashed,
    Due,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.testing.builders import NOW

LATER: Final = NOW + 60


@define
class Kept:
    """A task as a broker might keep it."""

    spec: NewTask = field(factory=lambda: NewTask("test", id="one"))
    state: State = State.ACTIVE
    due: float = NOW
    failures: int = 2
    crashes: int = 1
    error: str | None = "before"
    result: bytes | None = None
    result_type: str | None = None
    unhandled_since: float | None = NOW - 9


@pytest.mark.parametrize(
    ("event", "failures", "crashes", "due", "error"),
    [
        (Succeeded(b"1", "a/b"), 2, 1, NOW, None),
        (Failed("no", LATER), 3, 1, LATER, "no"),
        (Failed("no", LATER, burns=False), 2, 1, LATER, "no"),
        (Exhausted("no"), 3, 1, NOW, "no"),
        (Rejected("no"), 2, 1, NOW, "no"),
        (Snoozed(LATER), 2, 1, LATER, "before"),
        (Released(), 2, 1, NOW, "before"),
        (Crashed("lost"), 2, 2, NOW, "lost"),
        (Cancelled(), 2, 1, NOW, "cancelled"),
    ],
)
def test_a_verdict_burns_what_it_says_and_no_more(
    event: Transition, failures: int, crashes: int, due: float, error: str | None
) -> None:
    """Each changes its own counters, the moment due, and what is said of the last failure."""
    task = Kept()
    apply(task, event, NOW)
    assert (task.failures, task.crashes, task.due, task.error) == (failures, crashes, due, error)
    assert task.unhandled_since is None


def test_a_task_put_back_remembers_since_when() -> None:
    """The first worker without a handler begins the count, and the later ones go on with it."""
    task = Kept(unhandled_since=None)
    apply(task, Snoozed(LATER, unhandled=True), NOW)
    assert task.unhandled_since == NOW
    task.state = State.SCHEDULED
    apply(task, Due(), LATER)
    task.state = State.ACTIVE
    apply(task, Snoozed(LATER + 60, unhandled=True), LATER)
    assert task.unhandled_since == NOW


def test_to_run_now_is_to_begin_afresh() -> None:
    """An operator's order clears the budgets, the error, the result and the wait."""
    task = Kept(state=State.DEAD, result=b"1", result_type="a/b")
    assert apply(task, RunNow(), LATER) is State.PENDING
    assert (task.failures, task.crashes, task.error, task.due) == (0, 0, None, LATER)
    assert (task.result, task.result_type, task.unhandled_since) == (None, None, None)


def test_another_moment_is_all_that_an_order_to_reschedule_changes() -> None:
    """What was burned, and what went wrong, is as it was."""
    task = Kept(state=State.RETRY)
    assert apply(task, Rescheduled(LATER), NOW) is State.RETRY
    assert task == Kept(state=State.RETRY, due=LATER)


def test_an_order_to_update_changes_nothing_of_how_far_a_task_has_come() -> None:
    """What was asked for is the broker's to change."""
    task = Kept(state=State.DEAD)
    assert apply(task, Updated({"priority": 5}), LATER) is State.DEAD
    assert task == Kept(state=State.DEAD)


def test_a_move_that_the_table_lacks_changes_nothing() -> None:
    """The table is asked before anything is written."""
    task = Kept(state=State.PENDING)
    with pytest.raises(IllegalMove):
        apply(task, Failed("no", LATER), NOW)
    assert task == Kept(state=State.PENDING)
