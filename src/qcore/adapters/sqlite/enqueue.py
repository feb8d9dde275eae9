"""`enqueue`: new tasks, their ids and unique keys checked against those that are stored."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import QueueRow, ensure_queues, write_queues
from qcore.adapters.sqlite.rare_options import decode_options_leniently, has_defaults
from qcore.adapters.sqlite.records import STATES, full_row_of, row_of
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import delete_tasks, release_unique_keys
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.lifecycle import ENDED, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import REPLACE, NewTask, TaskId
from qcore.domain.task import state_of_new

_SQL: Final = statements("enqueue")


def enqueue(tx: Tx, tasks: Sequence[NewTask], now: Moment) -> list[Admission]:
    """Store tasks, and answer each in the order given."""
    ids: defaultdict[str, list[TaskId]] = defaultdict(list)
    unique_keys: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks:
        ids[task.queue].append(task.id)
        if task.unique_key is not None:
            unique_keys[task.queue].append(task.unique_key)
    batches = {
        name: _QueueBatch(tx, row, ids[name], now) for name, row in ensure_queues(tx, ids).items()
    }
    for name, wanted in unique_keys.items():
        batches[name].read_holders(tx, wanted)
    answers = [batches[task.queue].add(task) for task in tasks]
    for batch in batches.values():
        batch.write(tx)
    write_queues(tx, [batch.queue_row for batch in batches.values()])
    return answers


class _QueueBatch:
    """The tasks of a batch that go into one queue, decided in memory and written together."""

    def __init__(self, tx: Tx, queue_row: QueueRow, ids: Sequence[TaskId], now: Moment) -> None:
        self.queue_row = queue_row
        self._now = now
        self._rows: list[Row] = []
        self._full_rows: dict[TaskId, Row] = {}
        """Rows of tasks with rare options, by id, as a later task of the batch may replace one."""
        self._replaced: list[int] = []
        """Keys of stored tasks to delete, as new ones replace them."""
        self._lapsed: list[int] = []
        """Keys of stored tasks that lose their unique key, as its time is over."""
        self._holders: dict[str, TaskId] = {}
        """The task that holds each unique key."""
        self._idle: dict[str, int] = {}
        """Unique keys that a stored task, by its key, holds although they are free to take."""
        self._keys: dict[TaskId, int] = {}
        self._states: dict[TaskId, State] = {}
        for task, key, state in tx.execute(_SQL["by_id"], (json.dumps(ids), queue_row.key)):
            self._keys[task] = key
            self._states[task] = STATES.get(state, State.GONE)

    def read_holders(self, tx: Tx, unique_keys: Sequence[str]) -> None:
        """Read which tasks hold the unique keys."""
        values = json.dumps(unique_keys), self.queue_row.key
        for unique_key, task, key, stored, since, more in tx.execute(_SQL["holders"], values):
            state = STATES.get(stored, State.GONE)
            # an ended task holds no key, unless it was ended by hand
            if state not in ENDED and self._lasts(since, decode_options_leniently(more).unique_for):
                self._holders[unique_key] = task
                self._keys[task], self._states[task] = key, state
            else:
                self._idle[unique_key] = key

    def _lasts(self, since: Moment, unique_for: float | None) -> bool:
        return unique_for is None or since + unique_for > self._now

    def add(self, task: NewTask) -> Admission:
        """Admit a task; it replaces an ended one of its id, and a holder that gives way to it."""
        if task.unique_key is not None:
            holder = self._conflicting_holder(task, task.unique_key)
            if holder is not None:
                return Duplicate(holder, self._states[holder])
        before = self._states.get(task.id)
        if before is not None:
            if before not in ENDED:
                return Conflict(task.id, before)
            self.queue_row.count_move(before, State.GONE)
            if task.id in self._keys:
                self._replaced.append(self._keys.pop(task.id))
        state = self._states[task.id] = state_of_new(task, self._now)
        self.queue_row.counts[state] += 1
        row = row_of(task, self.queue_row.key, self.queue_row.next_sequence(), state, self._now)
        if has_defaults(task):
            self._rows.append(row)
        else:
            holds = task.unique_key is not None and self._take_key(task.unique_key, task)
            self._full_rows[task.id] = full_row_of(row, task, holds=holds)
        return Enqueued(task.id, state)

    def _conflicting_holder(self, task: NewTask, unique_key: str) -> TaskId | None:
        """Return the task that keeps its unique key from this one; remove one that gives way."""
        holder = self._holders.get(unique_key)
        same = holder == task.id
        # a live task of the same id is a Conflict, whoever holds the unique key
        if holder is None or not (same or self._states.get(task.id, State.GONE) in ENDED):
            return None
        if task.on_duplicate != REPLACE or self._states[holder] is State.ACTIVE:
            return None if same else holder
        self._remove(holder)
        return None

    def _remove(self, task: TaskId) -> None:
        """Remove a task that is stored, or that came earlier in the batch."""
        self.queue_row.count_move(self._states.pop(task), State.GONE)
        if self._full_rows.pop(task, None) is None:
            self._replaced.append(self._keys.pop(task))

    def _take_key(self, unique_key: str, task: NewTask) -> bool:
        """Give a free unique key to a task; return whether the task holds it for any time."""
        if unique_key in self._idle:
            self._lapsed.append(self._idle.pop(unique_key))
        # `now + unique_for` may round to `now`: epoch seconds as a double are 0.2 µs apart
        lasts = self._lasts(self._now, task.unique_for)
        if lasts:
            self._holders[unique_key] = task.id
        return lasts

    def write(self, tx: Tx) -> None:
        """Delete what is replaced, then insert: ids and unique keys have unique indexes."""
        delete_tasks(tx, self._replaced)
        release_unique_keys(tx, self._lapsed)
        tx.executemany(_SQL["insert"], self._rows)
        if self._full_rows:
            tx.executemany(_SQL["insert_full"], self._full_rows.values())
