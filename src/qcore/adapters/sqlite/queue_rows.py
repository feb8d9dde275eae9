"""A queue's row: its counters, and the number of its tasks by state."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.lifecycle import State

_SQL: Final = statements("queues")

STORED: Final = tuple(state for state in State if state is not State.GONE)
"""The states that tasks are stored in, in the order of the columns that count them."""


class Line:
    """A queue, read at the start of a move and written at its end."""

    def __init__(self, row: Row) -> None:
        self.key: int
        self.name: str
        self.sequence: int
        self.token: int
        self.key, self.name, self.sequence, self.token, *counts = row
        self.counts = dict(zip(STORED, counts, strict=True)) | {State.GONE: 0}

    def next_sequence(self) -> int:
        """Return the next place in the line."""
        self.sequence += 1
        return self.sequence

    def next_token(self) -> int:
        """Return the next token, greater than any that the queue has given."""
        self.token += 1
        return self.token

    def moved(self, before: State, after: State, tasks: int = 1) -> None:
        """Note that tasks went from one state to another; GONE is nowhere."""
        self.counts[before] -= tasks
        self.counts[after] += tasks


def lines(tx: Tx, names: Iterable[str]) -> dict[str, Line]:
    """Return those of the queues that exist, in the order named."""
    return {row[1]: Line(row) for row in tx.execute(_SQL["lines"], (json.dumps(list(names)),))}


def lines_made(tx: Tx, names: Iterable[str]) -> dict[str, Line]:
    """Return the queues, those that do not exist made."""
    wanted = set(names)
    found = lines(tx, wanted)
    if len(found) < len(wanted):
        tx.executemany(_SQL["begin"], [(name,) for name in sorted(wanted - found.keys())])
        found = lines(tx, wanted)
    return found


def keep(tx: Tx, changed: Iterable[Line]) -> None:
    """Write queues back."""
    tx.executemany(
        _SQL["keep"],
        [(q.sequence, q.token, *(q.counts[state] for state in STORED), q.key) for q in changed],
    )


def counted(tx: Tx) -> dict[str, dict[State, int]]:
    """Count the tasks of every queue that has any."""
    return {name: states for name, *row in tx.execute(_SQL["count"]) if (states := _some(row))}


def _some(numbers: Sequence[int]) -> dict[State, int]:
    return {state: n for state, n in zip(STORED, numbers, strict=True) if n}
