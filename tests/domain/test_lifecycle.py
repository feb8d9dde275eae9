import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain import lifecycle
from qcore.domain.errors import InvalidTask
from qcore.domain.lifecycle import MOVES, Cell, Fork, IllegalMove, Return, advance
from qcore.domain.states import ENDED, State
from qcore.domain.task_error import reason_of
from qcore.domain.transitions import (
    Aggregated,
    Archived,
    BroughtBack,
    Cancelled,
    Claimed,
    Crashed,
    Deleted,
    Discarded,
    Due,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.testing.builders import NOW, a_stored_task, a_task

EVENTS: tuple[Transition, ...] = (
    Due(),
    Claimed(),
    Succeeded(),
    Failed("no", NOW),
    Exhausted("no"),
    Rejected("no"),
    Revoked(),
    Snoozed(NOW),
    Released(),
    Crashed("lost"),
    Cancelled("unwanted"),
    Expired("too late"),
    Aggregated(),
    RunNow(),
    Archived("set aside"),
    Discarded(),
    BroughtBack(),
    Deleted(),
    Rescheduled(NOW),
    Updated({"priority": 1}),
)

DESIGN = """
scheduled, retry: Due -> pending | aggregating
pending: Claimed -> active
active: Succeeded -> completed | gone
active: Failed -> retry
active: Exhausted -> archived
active: Rejected -> dead
active: Revoked -> gone
active: Snoozed -> scheduled
active: Released -> pending
active: Crashed -> pending | dead
active: Cancelled -> dead
scheduled, pending, retry, aggregating: Cancelled -> dead
pending: Expired -> dead
aggregating: Aggregated -> gone
scheduled, retry, archived, dead, completed, aggregating: RunNow -> pending
scheduled, pending, retry, aggregating: Archived -> archived
scheduled, pending, retry, aggregating, archived, dead: Discarded -> archived
archived: BroughtBack -> scheduled | pending | aggregating | retry | archived | dead
scheduled, pending, retry, aggregating, archived, dead, completed: Deleted -> gone
scheduled, pending, aggregating: Rescheduled -> scheduled
retry: Rescheduled -> retry
scheduled: Updated -> scheduled
pending: Updated -> pending
aggregating: Updated -> aggregating
retry: Updated -> retry
archived: Updated -> archived
dead: Updated -> dead
"""
"""The table as the design has it, row by row."""


def designed() -> dict[tuple[State, str], set[State]]:
    """Return the table that the design describes."""
    cells: dict[tuple[State, str], set[State]] = {}
    for line in DESIGN.strip().splitlines():
        states, move = line.split(": ")
        event, ends = move.split(" -> ")
        for state in states.split(", "):
            cells[State(state), event] = {State(end) for end in ends.split(" | ")}
    return cells


def ends(cell: Cell) -> set[State]:
    """Return where a cell may lead."""
    if isinstance(cell, Return):
        return {*cell.ends, cell.otherwise}
    return {cell.then, cell.otherwise} if isinstance(cell, Fork) else {cell}


def test_the_table_is_the_one_of_the_design() -> None:
    """Every row of the design is in the table, and nothing else is."""
    table = {
        (s, event.__name__): ends(cell) for s, row in MOVES.items() for event, cell in row.items()
    }
    assert table == designed()


def test_every_state_has_a_row_and_the_last_is_empty() -> None:
    """Nothing happens any more to a task that is gone."""
    assert list(MOVES) == list(State)
    assert list(MOVES)[-1] is State.GONE
    assert MOVES[State.GONE] == {}


def test_every_event_can_happen() -> None:
    """No event is without a state to which it may happen, and no other events are known."""
    reachable = {event for row in MOVES.values() for event in row}
    assert reachable == {type(event) for event in EVENTS}
    assert reachable == set(lifecycle.Transition.__args__)


def test_every_state_can_be_reached_and_left() -> None:
    """There is a way from what is enqueued to every state, and from every state to the end."""
    seen = {State.SCHEDULED, State.PENDING}
    while more := {e for s in seen for c in MOVES[s].values() for e in ends(c)} - seen:
        seen |= more
    assert seen == set(State)
    for state in set(State) - {State.GONE}:
        assert Deleted in MOVES[state] or state is State.ACTIVE


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_advance_leads_where_the_table_says_or_refuses(state: State, event: Transition) -> None:
    """A cell is answered with its state; where there is none the move is illegal, and named."""
    task = a_stored_task(state=state)
    cell = MOVES[state].get(type(event))
    if cell is not None:
        assert advance(task, event) in ends(cell)
        return
    with pytest.raises(IllegalMove, match=f"{type(event).__name__} .* {state}"):
        advance(task, event)


def test_nothing_happens_by_itself_to_what_has_ended() -> None:
    """Only an operator can make anything else of it, or change it where it is."""
    for state in ENDED:
        assert set(MOVES[state]) <= {RunNow, Discarded, BroughtBack, Deleted, Updated}
        assert MOVES[state].get(Updated, state) is state


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRY])
@pytest.mark.parametrize(("group", "end"), [(None, State.PENDING), ("g", State.AGGREGATING)])
def test_what_is_due_waits_for_its_group_if_it_has_one(
    state: State, group: str | None, end: State
) -> None:
    """A task of a group is gathered when it is due; any other is pending."""
    assert advance(a_stored_task(a_task(group=group), state=state), Due()) is end


@pytest.mark.parametrize(
    ("retention", "end"), [(0.0, State.GONE), (0.001, State.COMPLETED), (60.0, State.COMPLETED)]
)
def test_a_success_is_kept_if_it_has_a_retention(retention: float, end: State) -> None:
    """Retention, however short, keeps a completed task; none lets it go."""
    task = a_stored_task(a_task(retention=retention), state=State.ACTIVE)
    assert advance(task, Succeeded()) is end


@pytest.mark.parametrize(
    ("crashes", "most", "end"),
    [
        (0, 1, State.DEAD),
        (0, 2, State.PENDING),
        (1, 3, State.PENDING),
        (2, 3, State.DEAD),
        (7, 3, State.DEAD),
    ],
)
def test_the_crash_that_reaches_the_budget_is_the_last(crashes: int, most: int, end: State) -> None:
    """A task is poison once as many workers were lost as it may cost."""
    task = a_stored_task(a_task(max_crashes=most), state=State.ACTIVE, crashes=crashes)
    assert advance(task, Crashed()) is end


@given(st.integers(0, 1_000), st.integers(1, 1_000))
def test_crashes_end(crashes: int, most: int) -> None:
    """However many crashes there were, one more is either within the budget or the last."""
    task = a_stored_task(a_task(max_crashes=most), state=State.ACTIVE, crashes=crashes)
    assert (advance(task, Crashed()) is State.DEAD) == (crashes + 1 >= most)


def test_an_event_says_why_it_happened_if_it_has_a_reason() -> None:
    """Errors and reasons are kept with the task; other events have nothing to say."""
    reasons = {type(e).__name__: r for e in EVENTS if (r := reason_of(e)) is not None}
    assert reasons == {
        "Failed": "no",
        "Exhausted": "no",
        "Rejected": "no",
        "Crashed": "lost",
        "Cancelled": "unwanted",
        "Expired": "too late",
        "Archived": "set aside",
    }


def test_events_have_reasons_of_their_own() -> None:
    """What nobody gave a reason for still says what it was."""
    assert [reason_of(event) for event in (Cancelled(), Expired())] == ["cancelled", "expired"]
    assert "lease" in (reason_of(Crashed()) or "")
    assert "operator" in (reason_of(Archived()) or "")


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), -1.0, 1e12])
def test_a_task_is_rescheduled_to_a_moment(moment: float) -> None:
    """What is none is refused before any store hears of it."""
    with pytest.raises(InvalidTask, match="at is"):
        Rescheduled(moment)
