"""The producer's move."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import Line, keep, lines_made
from qcore.adapters.sqlite.rare_options import has_more, more_shown
from qcore.adapters.sqlite.records import STATES, row_of, unique_row_of
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import forget, let_go
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.lifecycle import ENDED, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import REPLACE, NewTask, TaskId
from qcore.domain.task import state_of_new

_SQL: Final = statements("enqueue")


def enqueue(tx: Tx, tasks: Sequence[NewTask], now: Moment) -> list[Admission]:
    """Store tasks."""
    names: defaultdict[str, list[TaskId]] = defaultdict(list)
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks:
        names[task.queue].append(task.id)
        if task.unique_key is not None:
            keys[task.queue].append(task.unique_key)
    arrivals = {
        name: _Arrivals(tx, line, names[name], now) for name, line in lines_made(tx, names).items()
    }
    for name, wanted in keys.items():
        arrivals[name].look_for_holders(tx, wanted)
    answers = [arrivals[task.queue].add(task) for task in tasks]
    for queue in arrivals.values():
        queue.write(tx)
    keep(tx, [queue.line for queue in arrivals.values()])
    return answers


class _Arrivals:
    """What a batch brings to one queue."""

    def __init__(self, tx: Tx, line: Line, ids: Sequence[TaskId], now: Moment) -> None:
        self.line = line
        self._now = now
        self._rows: list[Row] = []
        self._unique: dict[TaskId, Row] = {}
        """Apart, as a later task of the batch may take the place of one."""
        self._replaced: list[int] = []
        self._lapsed: list[int] = []
        """Those whose unique key another has taken when its time was over."""
        self._holders: dict[str, TaskId] = {}
        """Unique key to the task that has it."""
        self._idle: dict[str, int] = {}
        """Unique key to the stored task that has it for no good reason any more."""
        self._keys: dict[TaskId, int] = {}
        self._states: dict[TaskId, State] = {}
        for task, key, state in tx.execute(_SQL["living"], (json.dumps(ids), line.key)):
            self._keys[task] = key
            self._states[task] = STATES.get(state, State.GONE)

    def look_for_holders(self, tx: Tx, unique_keys: Sequence[str]) -> None:
        """Learn who has which of the unique keys."""
        asked = json.dumps(unique_keys), self.line.key
        for unique_key, task, key, stored, since, more in tx.execute(_SQL["holders"], asked):
            state = STATES.get(stored, State.GONE)
            # somebody may have ended a task by hand
            if state not in ENDED and self._has_time(since, more_shown(more).unique_for):
                self._holders[unique_key] = task
                self._keys[task], self._states[task] = key, state
            else:
                self._idle[unique_key] = key

    def _has_time(self, since: Moment, unique_for: float | None) -> bool:
        return unique_for is None or since + unique_for > self._now

    def add(self, task: NewTask) -> Admission:
        """Take in a task, in place of an ended one of its id, or of one that has its unique key."""
        if task.unique_key is not None:
            holder = self._in_the_way(task, task.unique_key)
            if holder is not None:
                return Duplicate(holder, self._states[holder])
        before = self._states.get(task.id)
        if before is not None:
            if before not in ENDED:
                return Conflict(task.id, before)
            self.line.moved(before, State.GONE)
            if task.id in self._keys:
                self._replaced.append(self._keys.pop(task.id))
        state = self._states[task.id] = state_of_new(task, self._now)
        self.line.counts[state] += 1
        row = row_of(task, self.line.key, self.line.next_sequence(), state, self._now)
        if has_more(task):
            holds = task.unique_key is not None and self._take(task.unique_key, task)
            self._unique[task.id] = unique_row_of(row, task, holds=holds)
        else:
            self._rows.append(row)
        return Enqueued(task.id, state)

    def _in_the_way(self, task: NewTask, unique_key: str) -> TaskId | None:
        """Return who has a task's unique key and keeps it; take out who gives way."""
        holder = self._holders.get(unique_key)
        same = holder == task.id
        # an id that lives comes first: there the task ends anyway
        if holder is None or not (same or self._states.get(task.id, State.GONE) in ENDED):
            return None
        if task.on_duplicate != REPLACE or self._states[holder] is State.ACTIVE:
            return None if same else holder
        self._take_out(holder)
        return None

    def _take_out(self, task: TaskId) -> None:
        """Leave nothing of a task that is stored, or that came earlier in the batch."""
        self.line.moved(self._states.pop(task), State.GONE)
        if self._unique.pop(task, None) is None:
            self._replaced.append(self._keys.pop(task))

    def _take(self, unique_key: str, task: NewTask) -> bool:
        """Let a task have a key that is free; return whether it has any time for it."""
        if unique_key in self._idle:
            self._lapsed.append(self._idle.pop(unique_key))
        # a moment is coarser than the shortest of times
        has_time = self._has_time(self._now, task.unique_for)
        if has_time:
            self._holders[unique_key] = task.id
        return has_time

    def write(self, tx: Tx) -> None:
        """Write what the batch brings, once what it takes the place of is out of the way."""
        forget(tx, self._replaced)
        let_go(tx, self._lapsed)
        tx.executemany(_SQL["insert"], self._rows)
        if self._unique:
            tx.executemany(_SQL["insert_unique"], self._unique.values())
