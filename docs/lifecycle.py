"""Write docs/reference/lifecycle.md from the table it describes: `python -m docs.lifecycle`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias, get_args

from qcore.domain.lifecycle import MOVES, Cell, Fork, Return
from qcore.domain.states import ENDED, State
from qcore.domain.transitions import Command, Transition

PAGE: Final = Path(__file__).parent / "reference" / "lifecycle.md"
COMMANDS: Final[tuple[type, ...]] = get_args(Command)

Arrow: TypeAlias = tuple[State, type, State, str]
"""From, transition, to, and the condition under which it goes there, "" for always."""


def arrows() -> Iterator[Arrow]:
    """Yield every move of the table, one for each end of a fork."""
    for state, row in MOVES.items():
        for transition, cell in row.items():
            if isinstance(cell, Fork):
                yield state, transition, cell.then, cell.question
                yield state, transition, cell.otherwise, "else"
            elif isinstance(cell, Return):
                for end in cell.ends:
                    yield state, transition, end, f"it was {end}"
            else:
                yield state, transition, cell, ""


def page() -> str:
    """Return the page as it should be."""
    by_itself = [arrow for arrow in arrows() if arrow[1] not in COMMANDS]
    return _TEMPLATE.format(
        ended=", ".join(f"*{state}*" for state in State if state in ENDED and MOVES[state]),
        by_itself=_diagram(by_itself),
        by_command="\n".join(_commands()),
        rows="\n".join(_rows()),
        transitions="\n".join(
            f"| {each.__name__} | {each.__doc__} |" for each in get_args(Transition)
        ),
    )


def _diagram(chosen: Iterable[Arrow]) -> str:
    """Return moves as a Mermaid diagram, with one arrow between two states."""
    labels: dict[tuple[State, State], list[str]] = {}
    for start, transition, end, condition in chosen:
        name = transition.__name__
        label = f"{name} [{condition}]" if condition else name
        labels.setdefault((start, end), []).append(label)
    lines = [f"    {start} --> {end}: {', '.join(names)}" for (start, end), names in labels.items()]
    return "\n".join(["stateDiagram-v2", *lines])


def _commands() -> Iterator[str]:
    """Yield a table with a row for each state and a column for each command."""
    yield f"| | {' | '.join(each.__name__ for each in COMMANDS)} |"
    yield f"|---|{'---|' * len(COMMANDS)}"
    for state, row in MOVES.items():
        if any(each in row for each in COMMANDS):
            ends = (_short(row[each]) if each in row else "–" for each in COMMANDS)
            yield f"| **{state}** | {' | '.join(ends)} |"


def _short(cell: Cell) -> str:
    return "where it was" if isinstance(cell, Return) else _shown(cell)


def _rows() -> Iterator[str]:
    for state, row in MOVES.items():
        if not row:
            yield f"| {state} | – | nothing can happen any more |"
        for transition, cell in row.items():
            yield f"| {state} | {transition.__name__} | {_shown(cell)} |"


def _shown(cell: Cell) -> str:
    if isinstance(cell, Return):
        ends = ", ".join(cell.ends)
        return f"where it was discarded ({ends}), else {cell.otherwise}"
    if isinstance(cell, Fork):
        return f"{cell.then} if {cell.question}, else {cell.otherwise}"
    return str(cell)


_TEMPLATE: Final = """\
# The life of a task

<!-- Made by `python -m docs.lifecycle` from qcore.lifecycle.MOVES; do not edit. -->

Every move that a task can make is a cell of one table, `qcore.lifecycle.MOVES`. What the
table does not list cannot happen, in any broker. This page is made from the table, and a test
keeps the two equal.

A new task begins as *scheduled* if it is due later, else as *pending*. In the states {ended}
nothing more happens by itself until the task's time of keeping is over, and a new task may take its
id. *Gone* is the state of a task that is no longer stored.

## What happens by itself

```mermaid
{by_itself}
    [*] --> scheduled: enqueued [due later]
    [*] --> pending: enqueued [due now]
```

## What an operator may command

To which state each command moves a task; – where it is refused, and the task stays as it is.

{by_command}

## The table

| from | transition | to |
|---|---|---|
{rows}

## The transitions

| transition | meaning |
|---|---|
{transitions}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
