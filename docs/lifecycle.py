"""Write docs/reference/lifecycle.md from the table it describes: `python -m docs.lifecycle`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias, get_args

from qcore.domain.lifecycle import ENDED, MOVES, Command, Fork, State, Transition

PAGE: Final = Path(__file__).parent / "reference" / "lifecycle.md"
ORDERS: Final = frozenset(get_args(Command))

Arrow: TypeAlias = tuple[State, type, State, str]
"""From, event, to, and the condition under which it goes there, "" for always."""


def arrows() -> Iterator[Arrow]:
    """Yield every move of the table, one for each end of a fork."""
    for state, row in MOVES.items():
        for event, cell in row.items():
            if isinstance(cell, Fork):
                yield state, event, cell.then, cell.question
                yield state, event, cell.otherwise, "else"
            else:
                yield state, event, cell, ""


def page() -> str:
    """Return the page as it should be."""
    all_arrows = list(arrows())
    by_itself = [arrow for arrow in all_arrows if arrow[1] not in ORDERS]
    by_order = [arrow for arrow in all_arrows if arrow[1] in ORDERS]
    return _TEMPLATE.format(
        ended=", ".join(f"*{state}*" for state in State if state in ENDED and MOVES[state]),
        by_itself=_diagram(by_itself),
        by_order=_diagram(by_order),
        rows="\n".join(_rows()),
        events="\n".join(f"| {each.__name__} | {each.__doc__} |" for each in get_args(Transition)),
    )


def _diagram(chosen: Iterable[Arrow]) -> str:
    """Return moves as a Mermaid diagram, with one arrow between two states."""
    labels: dict[tuple[State, State], list[str]] = {}
    for start, event, end, condition in chosen:
        label = f"{event.__name__} [{condition}]" if condition else event.__name__
        labels.setdefault((start, end), []).append(label)
    lines = [f"    {start} --> {end}: {', '.join(names)}" for (start, end), names in labels.items()]
    return "\n".join(["stateDiagram-v2", *lines])


def _rows() -> Iterator[str]:
    for state, row in MOVES.items():
        if not row:
            yield f"| {state} | – | nothing can happen any more |"
        for event, cell in row.items():
            yield f"| {state} | {event.__name__} | {_shown(cell)} |"


def _shown(cell: State | Fork) -> str:
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
id. *Gone* is no row in a store: it is how we speak of a task that is no longer there.

## What happens by itself

```mermaid
{by_itself}
    [*] --> scheduled: enqueued [due later]
    [*] --> pending: enqueued [due now]
```

## What an operator may order

```mermaid
{by_order}
```

## The table

| from | event | to |
|---|---|---|
{rows}

## The events

| event | meaning |
|---|---|
{events}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
