"""`restore`: tasks as they were, their ids and unique keys checked against what is stored."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.enqueue import SUCCESSOR, QueueBatch
from qcore.adapters.sqlite.queue_rows import QueueRow, ensure_queues, write_queues
from qcore.adapters.sqlite.records import full_row_of, place_of, row_of
from qcore.adapters.sqlite.statements import statements
from qcore.domain.answers import Conflict, Duplicate, Restoration, Restored
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import NO_DETAILS
from qcore.domain.snapshots import (
    TaskSnapshot,
    asked_due,
    is_successor,
    key_until,
    restored_state,
)
from qcore.domain.states import ENDED, State
from qcore.domain.stored_details import columns_of
from qcore.domain.task import Task

_SQL: Final = statements("restore")


def restore(
    tx: Tx, snapshots: Sequence[TaskSnapshot], now: Moment, over: str | None
) -> list[Restoration]:
    """Store tasks as they were, and answer each in the order given."""
    by_queue: defaultdict[str, list[Task]] = defaultdict(list)
    for each in snapshots:
        by_queue[each.queue].append(each.task)
    batches = {
        name: _Batch(tx, row, [task.id for task in by_queue[name]], now, over)
        for name, row in ensure_queues(tx, by_queue).items()
    }
    for name, tasks in by_queue.items():
        keys = [task.spec.unique_key for task in tasks if task.spec.unique_key is not None]
        batches[name].read_holders(tx, keys)
    answers = [batches[each.queue].restore(each) for each in snapshots]
    for batch in batches.values():
        batch.write(tx)
    write_queues(tx, [batch.queue_row for batch in batches.values()])
    return answers


class _Batch(QueueBatch):
    """The tasks of a batch that are restored in one queue."""

    def __init__(
        self, tx: Tx, queue_row: QueueRow, ids: Sequence[TaskId], now: Moment, over: str | None
    ) -> None:
        super().__init__(tx, queue_row, ids, now)
        # to be equal to NULL is to be nothing
        rows = tx.execute(_SQL["set_aside"], (json.dumps(ids), queue_row.key, over))
        self._aside = {task for (task,) in rows}
        """Ids of stored tasks that are replaced."""
        self._restored: list[Row] = []
        self._details: list[Mapping[str, Any]] = []

    def restore(self, snapshot: TaskSnapshot) -> Restoration:
        """Store a task as it was, unless its id or its unique key is taken."""
        task = snapshot.task
        stored = self._states.get(task.id)
        gives_way = task.id in self._aside
        # what this very call has restored is replaced by nothing
        self._aside.discard(task.id)
        if stored is not None and not gives_way:
            return Conflict(task.id, stored)
        holder = self._holder_in_the_way(task)
        if holder is not None and not self._may_wait_for(task):
            return Duplicate(holder, self._states[holder])
        if stored is not None:
            self._remove(task.id)
        state = restored_state(task)
        self._states[task.id] = state
        self.queue_row.counts[state] += 1
        holds = self._key_for(task, holder)
        self._restored.append(self._row(task, state, holds, is_waiting=holder is not None))
        if snapshot.details != NO_DETAILS:
            values = columns_of(snapshot.details)
            self._details.append({"queue": self.queue_row.key, "id": task.id, **values})
        return Restored(task.id, state)

    def _holder_in_the_way(self, task: Task) -> TaskId | None:
        """Return the task that has the unique key which this one would take or wait for."""
        key = task.spec.unique_key
        if key is None or task.state in ENDED:
            return None
        return self._holders.get(key) if is_successor(task) or key_until(task) > self._now else None

    def _may_wait_for(self, task: Task) -> bool:
        return is_successor(task) and task.spec.unique_key not in self._successors

    def _key_for(self, task: Task, holder: TaskId | None) -> str | None:
        """Give a task its unique key, or the place behind its holder; return the column `holds`."""
        key = task.spec.unique_key
        if key is None or task.state in ENDED:
            return None
        if holder is not None:
            self._successors[key] = task.id
            return SUCCESSOR + key
        return self._take_key(key, task.id) if key_until(task) > self._now else None

    def _row(self, task: Task, state: State, holds: str | None, *, is_waiting: bool) -> Row:
        due = task.due
        if is_successor(task):
            due = LAST_MOMENT if is_waiting else asked_due(task)
        sequence = self.queue_row.next_sequence()
        row = row_of(task.spec, self.queue_row.key, sequence, state, task.created, due=due)
        place = place_of(state, task.spec.priority, due, task.finished or 0.0)
        row = (*row[:_PLACE], place, *row[_PLACE + 1 :])
        return (
            *full_row_of(row, task.spec, holds),
            task.attempts,
            task.failures,
            task.crashes,
            task.unhandled_since,
            task.error,
            task.result_type,
            task.result,
        )

    def write(self, tx: Tx) -> None:
        """Delete what is replaced, then insert."""
        super().write(tx)
        tx.executemany(_SQL["insert"], self._restored)
        tx.executemany(_SQL["details"], self._details)
        tx.executemany(_SQL["audit"], [each for each in self._details if each["audit"]])


_PLACE: Final = 3
"""Where the column `place` is in the values of "insert"."""
