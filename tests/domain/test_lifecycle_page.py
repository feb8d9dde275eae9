"""The page about the life of a task is the table, drawn."""

from docs.lifecycle import PAGE, arrows, page
from qcore.domain.lifecycle import MOVES
from qcore.domain.states import State


def test_the_page_is_what_the_table_makes_of_it() -> None:
    """The committed page is what `python -m docs.lifecycle` would write."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m docs.lifecycle`"


def test_every_cell_of_the_table_is_on_the_page() -> None:
    """Each state with each of its events has a row, whatever the diagrams show."""
    rows = PAGE.read_text(encoding="utf-8").splitlines()
    for state, row in MOVES.items():
        for event in row:
            assert any(line.startswith(f"| {state} | {event.__name__} |") for line in rows)


def test_both_ends_of_a_fork_are_drawn() -> None:
    """Where the task decides, there is an arrow to each end."""
    ends = {end for start, event, end, _ in arrows() if (start, event.__name__) == SUCCESS}
    assert ends == {State.COMPLETED, State.GONE}


SUCCESS = (State.ACTIVE, "Succeeded")
