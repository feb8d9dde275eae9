"""Rows of the table `qcore_queues`: a queue's two counters, and its number of tasks by state."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite import statistics
from qcore.adapters.sqlite.row_validation import MAX_WHOLE, whole
from qcore.adapters.sqlite.statements import statements
from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.domain.statistics import Ending, Resolution, StatisticsRow, tallied
from qcore.domain.task import token_floor

_SQL: Final = statements("queues")

STORED: Final = tuple(state for state in State if state is not State.GONE)
"""The states that a stored task can have, in the order of the columns that count them."""


class QueueRow:
    """A queue's row, read at the start of a transaction and written back at its end."""

    def __init__(self, row: Row) -> None:
        self.key: int
        self.name: str
        self.sequence: int
        self.token: int
        self.key, self.name, self.sequence, self.token, *counts = row
        self.counts = dict(zip(STORED, counts, strict=True)) | {State.GONE: 0}
        self.endings: Final[list[Ending]] = []
        """What has moved in this transaction,"""
        self.moved_at: Moment = 0.0
        """and when."""

    def next_sequence(self) -> int:
        """Return the next sequence number: tasks of equal priority are claimed in its order."""
        self.sequence += 1
        return self.sequence

    def next_tokens(self, number: int, now: Moment) -> range:
        """Return the next fencing tokens, greater than any that the queue has given."""
        first = max(self.token, token_floor(now)) + 1
        self.token = first + number - 1
        return range(first, first + number)

    def count_move(self, before: State, after: State, tasks: int = 1) -> None:
        """Move `tasks` from the count of one state to that of another; GONE is not stored."""
        self.counts[before] -= tasks
        self.counts[after] += tasks


def read_queues(tx: Tx, names: Iterable[str]) -> dict[str, QueueRow]:
    """Return the rows of those of the queues that have one, in the order named.

    Numbers that somebody has made something else are made anew: the tasks are counted, and a token
    is greater than the time in any case.
    """
    rows = tx.execute(_SQL["read"], (json.dumps(list(names)),))
    return {row[1]: QueueRow(_sound(tx, row)) for row in rows}


def _are_whole(numbers: Row) -> bool:
    """Return whether these are numbers of something, in half the time of asking each."""
    try:
        total = sum(numbers)
    except TypeError:
        # a text, a blob or nothing
        return False
    return type(total) is int and total <= MAX_WHOLE and min(numbers) >= 0


def _sound(tx: Tx, row: Row) -> Row:
    """Return a row whose numbers are numbers of something."""
    numbers = row[2:]
    if _are_whole(numbers):
        return row
    key, name = row[:2]
    sequence, token, *_ = numbers
    counted: dict[str, int] = dict(tx.execute(_SQL["count_states"], (key,)))
    ((last,),) = tx.execute(_SQL["last_sequence"], (key,))
    return (
        key,
        name,
        whole(sequence, whole(last, 0)),
        whole(token, 0),
        *(counted.get(str(state), 0) for state in STORED),
    )


def ensure_queues(tx: Tx, names: Iterable[str]) -> dict[str, QueueRow]:
    """Return the rows of all the queues, inserting those that are missing."""
    wanted = set(names)
    found = read_queues(tx, wanted)
    if len(found) < len(wanted):
        tx.executemany(_SQL["insert"], [(name,) for name in sorted(wanted - found.keys())])
        found = read_queues(tx, wanted)
    return found


def write_queues(tx: Tx, changed: Collection[QueueRow]) -> None:
    """Write rows back, and what ended in their queues."""
    tx.executemany(
        _SQL["write"],
        [(q.sequence, q.token, *(q.counts[state] for state in STORED), q.key) for q in changed],
    )
    for queue in changed:
        if ended := tallied(queue.endings):
            statistics.record(tx, queue.key, ended, queue.moved_at)


def count_tasks(tx: Tx) -> dict[str, dict[State, int]]:
    """Return the number of tasks by queue and state, without zeros."""
    rows = (_sound(tx, row) for row in tx.execute(_SQL["all"]) if isinstance(row[1], str))
    return {name: states for _, name, _, _, *row in rows if (states := _some(row))}


def read_statistics(
    tx: Tx, queues: Sequence[str] | None, since: Moment, until: Moment, resolution: Resolution
) -> list[StatisticsRow]:
    """Return what ended in queues, in all if they are None, by queue, period and name."""
    if queues is None:
        rows = tx.execute(_SQL["all"])
        queues = sorted(name for _, name, *_ in rows if isinstance(name, str))
    keys = {name: row.key for name, row in read_queues(tx, queues).items()}
    return statistics.read(tx, keys, since, until, resolution)


def remove_queue(tx: Tx, queue: str, now: Moment) -> QueueRemoved | QueueNotEmpty:
    """Delete the row, the limits and the statistics of a queue without tasks and entries."""
    ((entries,),) = tx.execute(_SQL["count_entries"], (queue,))
    row = read_queues(tx, [queue]).get(queue)
    # not by the counts of the row: what somebody has changed by hand must not cost tasks
    if row is not None and tx.execute(_SQL["any_task"], (row.key,)):
        return QueueNotEmpty(max(1, sum(row.counts.values())), entries)
    if entries:
        return QueueNotEmpty(0, entries)
    if row is None:
        return QueueRemoved()
    tx.execute(_SQL["remove_limits"], (row.key,))
    tx.execute(_SQL["remove_statistics"], (row.key,))
    if row.token <= token_floor(now):
        # else the clock has not passed its last token, which must not be given again
        tx.execute(_SQL["remove"], (row.key,))
    return QueueRemoved()


def _some(numbers: Sequence[int]) -> dict[State, int]:
    return {state: n for state, n in zip(STORED, numbers, strict=True) if n}
