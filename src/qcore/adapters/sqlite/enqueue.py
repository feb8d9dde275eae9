"""The producer's move."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.lines import Line, keep, lines_made
from qcore.adapters.sqlite.moving import forget
from qcore.adapters.sqlite.rows import STATES, row_of
from qcore.adapters.sqlite.statements import statements
from qcore.domain.lifecycle import ENDED, State
from qcore.domain.moments import Moment
from qcore.domain.task import Conflict, Enqueued, NewTask, TaskId

_SQL: Final = statements("enqueue")


def enqueue(tx: Tx, tasks: Sequence[NewTask], now: Moment) -> list[Enqueued | Conflict]:
    """Store tasks."""
    names: defaultdict[str, list[TaskId]] = defaultdict(list)
    for task in tasks:
        names[task.queue].append(task.id)
    arrivals = {
        name: _Arrivals(tx, line, names[name]) for name, line in lines_made(tx, names).items()
    }
    answers = [arrivals[task.queue].add(task, now) for task in tasks]
    for queue in arrivals.values():
        forget(tx, queue.replaced)
        tx.executemany(_SQL["insert"], queue.rows)
    keep(tx, [queue.line for queue in arrivals.values()])
    return answers


class _Arrivals:
    """What a batch brings to one queue."""

    def __init__(self, tx: Tx, line: Line, ids: Sequence[TaskId]) -> None:
        self.line = line
        self.rows: list[Row] = []
        self.replaced: list[int] = []
        self._keys: dict[TaskId, int] = {}
        self._states: dict[TaskId, State] = {}
        for task, key, state in tx.execute(_SQL["living"], (json.dumps(ids), line.key)):
            self._keys[task] = key
            self._states[task] = STATES.get(state, State.GONE)

    def add(self, task: NewTask, now: Moment) -> Enqueued | Conflict:
        """Take in a task, in place of an ended one of its id."""
        before = self._states.get(task.id, State.GONE)
        if before not in ENDED:
            return Conflict(task.id, before)
        if task.id in self._keys:
            self.replaced.append(self._keys[task.id])
        waits = task.due is not None and task.due > now
        state = self._states[task.id] = State.SCHEDULED if waits else State.PENDING
        self.line.moved(before, state)
        sequence = self.line.next_sequence()
        self.rows.append(row_of(task, self.line.key, sequence, state, now))
        return Enqueued(task.id, state)
