"""`enqueue`: new tasks, their ids and unique keys checked against those that are stored."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import QueueRow, ensure_queues, write_queues
from qcore.adapters.sqlite.rare_options import RARE_OPTIONS
from qcore.adapters.sqlite.records import STATES, full_row_of, row_of
from qcore.adapters.sqlite.row_validation import text
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import delete_tasks, release_unique_keys
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import KEEP, REJECT, RERUN, NewTask, TaskId
from qcore.domain.states import ENDED, State
from qcore.domain.task import state_of_new

_SQL: Final = statements("enqueue")

SUCCESSOR: Final = "\n"
"""In front of the unique key that a task holds which waits for the end of the holder."""


def enqueue(tx: Tx, tasks: Sequence[NewTask], now: Moment) -> list[Admission]:
    """Store tasks, and answer each in the order given."""
    ids: defaultdict[str, list[TaskId]] = defaultdict(list)
    unique_keys: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks:
        ids[task.queue].append(task.id)
        if task.unique_key is not None:
            unique_keys[task.queue].append(task.unique_key)
    batches = {
        name: QueueBatch(tx, row, ids[name], now) for name, row in ensure_queues(tx, ids).items()
    }
    for name, wanted in unique_keys.items():
        batches[name].read_holders(tx, wanted)
    answers = [batches[task.queue].add(task) for task in tasks]
    for batch in batches.values():
        batch.write(tx)
    write_queues(tx, [batch.queue_row for batch in batches.values()])
    return answers


class QueueBatch:
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
        self._successors: dict[str, TaskId] = {}
        """The task that waits for the end of the one that holds each unique key."""
        self._idle: dict[str, int] = {}
        """Unique keys that a stored task, by its key, holds although they are free to take."""
        self._keys: dict[TaskId, int] = {}
        self._states: dict[TaskId, State] = {}
        for task, key, state in tx.execute(_SQL["by_id"], (json.dumps(ids), queue_row.key)):
            self._keys[task] = key
            self._states[task] = STATES.get(state, State.GONE)

    def read_holders(self, tx: Tx, unique_keys: Sequence[str]) -> None:
        """Read which tasks hold the unique keys."""
        values = json.dumps([SUCCESSOR + key for key in unique_keys]), self.queue_row.key
        for held, task, key, stored, *_ in tx.execute(_SQL["holders"], values):
            self._successors[held.removeprefix(SUCCESSOR)] = task
            self._keys[task], self._states[task] = key, STATES.get(stored, State.GONE)
        values = json.dumps(unique_keys), self.queue_row.key
        for unique_key, task, key, stored, since, more in tx.execute(_SQL["holders"], values):
            state = STATES.get(stored, State.GONE)
            # an ended task holds no key, unless it was ended by hand
            if state not in ENDED and (
                unique_key in self._successors
                or self._lasts(since, RARE_OPTIONS.decode_leniently(more).unique_for)
            ):
                self._holders[unique_key] = text(task)
                self._keys[text(task)], self._states[text(task)] = key, state
            else:
                self._idle[unique_key] = key

    def _lasts(self, since: Moment, unique_for: float | None) -> bool:
        return unique_for is None or since + unique_for > self._now

    def add(self, task: NewTask) -> Admission:
        """Admit a task; it replaces an ended one of its id, and those that give way to it."""
        holder: TaskId | None = None
        giving_way: tuple[TaskId, ...] = ()
        if task.unique_key is not None:
            holder = self._holders.get(task.unique_key)
            giving_way = self._giving_way(task, task.unique_key)
        before = self._states.get(task.id)
        if before is not None and task.id not in giving_way:
            if before not in ENDED or (task.on_conflict == KEEP and before is not State.GONE):
                return Conflict(task.id, before)
            giving_way = (*giving_way, task.id)
        if holder is not None and holder not in giving_way and task.on_duplicate != RERUN:
            return Duplicate(holder, self._states[holder])
        for each in giving_way:
            self._remove(each)
        if holder is None:
            return self._store(task, state_of_new(task, self._now))
        self._successors.pop(task.unique_key or "", None)
        if holder in giving_way:
            del self._holders[task.unique_key or ""]
            return self._store(task, state_of_new(task, self._now))
        return self._store(task, State.SCHEDULED, LAST_MOMENT)

    def _giving_way(self, task: NewTask, unique_key: str) -> tuple[TaskId, ...]:
        """Return the tasks that make room for this one, as it replaces those that do not run."""
        holder = self._holders.get(unique_key)
        if holder is None or task.on_duplicate == REJECT:
            return ()
        runs = self._states[holder] is State.ACTIVE
        if runs and task.on_duplicate != RERUN:
            return ()
        successor = self._successors.get(unique_key)
        waiting = () if successor is None else (successor,)
        return waiting if runs else (*waiting, holder)

    def _store(self, task: NewTask, state: State, due: Moment | None = None) -> Enqueued:
        """Add a row for a task, due at `due` if not as it was asked for."""
        self._states[task.id] = state
        self.queue_row.counts[state] += 1
        sequence = self.queue_row.next_sequence()
        if due is None:
            due = task.due if task.due is not None and state is State.SCHEDULED else self._now
        row = row_of(task, self.queue_row.key, sequence, state, self._now, due=due)
        if RARE_OPTIONS.has_defaults(task):
            self._rows.append(row)
        else:
            self._full_rows[task.id] = full_row_of(row, task, self._hold_of(task))
        return Enqueued(task.id, state)

    def _remove(self, task: TaskId) -> None:
        """Remove a task that is stored, or that came earlier in the batch."""
        self.queue_row.count_move(self._states.pop(task), State.GONE)
        if self._full_rows.pop(task, None) is None:
            self._replaced.append(self._keys.pop(task))

    def _hold_of(self, task: NewTask) -> str | None:
        """Give a task its unique key, or the place behind its holder; return the column `holds`."""
        unique_key = task.unique_key
        if unique_key is None:
            return None
        if unique_key in self._holders:
            self._successors[unique_key] = task.id
            return SUCCESSOR + unique_key
        # `now + unique_for` may round to `now`: epoch seconds as a double are 0.2 µs apart
        if not self._lasts(self._now, task.unique_for):
            return None
        return self._take_key(unique_key, task.id)

    def _take_key(self, unique_key: str, task: TaskId) -> str:
        """Give a task a unique key that is free; return the column `holds`."""
        if unique_key in self._idle:
            self._lapsed.append(self._idle.pop(unique_key))
        self._holders[unique_key] = task
        return unique_key

    def write(self, tx: Tx) -> None:
        """Delete what is replaced, then insert: ids and unique keys have unique indexes."""
        delete_tasks(tx, self._replaced)
        release_unique_keys(tx, self._lapsed)
        tx.executemany(_SQL["insert"], self._rows)
        if self._full_rows:
            tx.executemany(_SQL["insert_full"], [*self._full_rows.values()])
